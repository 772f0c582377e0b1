"""Pictures of digits and of answers, all in one style; drawn without a screen and without global state."""

import math

import numpy as np
from jaxtyping import Float, Int64, UInt8
from matplotlib.figure import Figure
from torch import Tensor

INK = "#1f2933"
TILE_INCHES = 0.95


def confusion_matrix_figure(
    labels: Int64[np.ndarray, " n"], predicted: Int64[np.ndarray, " n"], class_names: tuple[str, ...], title: str
) -> Figure:
    """True classes down, predicted across; the colour is the share of the true class, scaled to show rare mistakes."""
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
    tiles = images.numpy().astype(np.float32) / 255
    return _tiled_figure(tiles, captions, columns, title, cmap="gray_r", limits=(0.0, 1.0))


def filters_figure(weights: Float[np.ndarray, "filters height width"], title: str, columns: int = 8) -> Figure:
    """First-layer weights, one small picture a filter: red adds, blue takes away; all on one scale."""
    limit = float(np.abs(weights).max()) or 1.0
    return _tiled_figure(weights, [""] * len(weights), columns, title, cmap="RdBu_r", limits=(-limit, limit))


def _tiled_figure(
    tiles: Float[np.ndarray, "n height width"],
    captions: list[str],
    columns: int,
    title: str | None,
    cmap: str,
    limits: tuple[float, float],
) -> Figure:
    """Small pictures in one large one, which is drawn many times faster than axes for each."""
    num_tiles, height, width = tiles.shape
    columns = max(1, min(columns, num_tiles))
    rows = max(1, math.ceil(num_tiles / columns))
    gap = max(1, width // 10)
    head = round(height * 0.3) if any(captions) else gap  # room for a caption above each tile
    canvas = np.full((rows * (height + head), columns * (width + gap)), np.nan, np.float32)
    figure = Figure(figsize=(columns * TILE_INCHES, canvas.shape[0] / canvas.shape[1] * columns * TILE_INCHES + 0.35))
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.3 / figure.get_figheight()))
    axes.axis("off")
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        top, left = (number // columns) * (height + head) + head, (number % columns) * (width + gap) + gap // 2
        canvas[top : top + height, left : left + width] = tile
        axes.text(left + width / 2, top - head * 0.15, caption, ha="center", va="bottom", fontsize=8, color=INK)
    axes.imshow(canvas, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    if title:
        figure.suptitle(title, fontsize=10, color=INK, y=0.995, va="top")
    return figure
