"""Pictures of digits and of answers, all in one style; drawn without a screen and without global state."""

import math

import numpy as np
from jaxtyping import Float, Int64, UInt8
from matplotlib.figure import Figure
from torch import Tensor

INK = "#1f2933"
CELL_INCHES = 0.95


def confusion_matrix_figure(
    labels: Int64[np.ndarray, " n"], predicted: Int64[np.ndarray, " n"], class_names: tuple[str, ...], title: str
) -> Figure:
    """True classes down, predicted across; colour is the share of the true class, on a scale that shows rare mistakes."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(labels, predicted, labels=range(len(class_names)))
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.3 else INK
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(class_names)), class_names)
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def digit_grid_figure(
    images: UInt8[Tensor, "n 28 28"], captions: list[str], columns: int = 8, title: str | None = None
) -> Figure:
    """Digits row by row, dark on bright as on paper, each with its caption above."""
    columns = max(1, min(columns, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    figure = Figure(figsize=(columns * CELL_INCHES + 0.3, rows * (CELL_INCHES + 0.3) + 0.4), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, image, caption in zip(figure.axes, images, captions, strict=False):
        axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8, color=INK, pad=3)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def filters_figure(weights: Float[np.ndarray, "filters height width"], title: str, columns: int = 8) -> Figure:
    """First-layer weights, one small picture a filter: red adds, blue takes away; all on one scale."""
    columns = min(columns, len(weights))
    rows = math.ceil(len(weights) / columns)
    limit = float(np.abs(weights).max()) or 1.0
    figure = Figure(figsize=(columns * 0.8 + 0.9, rows * 0.8 + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, weight in zip(grid.flat, weights, strict=False):
        picture = axes.imshow(weight, cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(picture, ax=grid, shrink=0.8)
    figure.suptitle(title, fontsize=10)
    return figure
