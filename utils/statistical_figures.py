"""Figures that need seaborn: heat maps and confusion matrices. Training imports this module only to draw a figure."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from seaborn.utils import relative_luminance

from utils.figures import SEQUENTIAL, elided, figure_style, name_ticks, percent_tick, set_title
from utils.predictions import Predictions

CELL_INCHES = 0.36
MAX_DARK_LUMINANCE = 0.18  # of cells with white text: black and white have the same contrast there
MIN_DARKEST = 5  # mistakes of the darkest cell: fewer are never dark


def heat_map(
    axes: Axes,
    table: pd.DataFrame,
    texts: pd.DataFrame | None = None,
    style: str = "{:.1%}",
    cmap: str | Colormap = SEQUENTIAL,
    limits: tuple[float | None, float | None] = (None, None),
    scale: str | None = None,
) -> None:
    """A table as colours, with the value of each cell in the cell, by seaborn.

    NaN is an empty cell. `texts` replaces the values in the cells; `style` is their format. `limits` are the values of
    the first and last colour, `scale` is the label of a colour bar. Rows and columns are named by the table.
    """
    shown_texts = table.map(style.format) if texts is None else texts
    sns.heatmap(
        table, ax=axes, annot=shown_texts, fmt="", cmap=cmap, vmin=limits[0], vmax=limits[1], mask=table.isna(),
        linewidths=1, linecolor="white", annot_kws={"fontsize": 9}, cbar=scale is not None,
        cbar_kws={"label": scale, "pad": 0.02, "format": percent_tick if style.endswith("%}") else None},
        xticklabels=False, yticklabels=False,
    )  # fmt: skip
    mesh = axes.collections[0]
    for text in axes.texts:  # seaborn's white texts on cells of medium brightness have too little contrast
        column, row = (int(place) for place in text.get_position())
        cell_color = mesh.cmap(mesh.norm(np.asarray(table)[row, column]))
        text.set_color("white" if relative_luminance(cell_color) < MAX_DARK_LUMINANCE else "black")
    axes.set_facecolor("#f5f7fa")  # of empty cells
    axes.grid(visible=False)
    axes.set(xlabel="", ylabel="")
    name_ticks(axes.xaxis, [str(name) for name in table.columns], first=0.5)
    name_ticks(axes.yaxis, [str(name) for name in table.index], first=0.5)
    axes.tick_params(length=0)


@figure_style()
def confusion_matrix_figure(predictions: Predictions, class_names: tuple[str, ...], set_name: str) -> Figure:
    """True classes as rows, predicted classes as columns. The colour shows the mistakes only: the darkest cell is the
    most frequent mistake."""
    num_classes = len(class_names)
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (predictions.labels, predictions.predicted), 1)
    mistakes = counts.astype(np.float64)
    np.fill_diagonal(mistakes, 0)
    names = [elided(name) for name in class_names]
    texts = pd.DataFrame(counts, names, names).map(lambda count: f"{count:,}" if count else "")
    side = max(5.2, 1.4 + CELL_INCHES * num_classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    limits = (0, max(MIN_DARKEST, mistakes.max()))
    heat_map(axes, pd.DataFrame(mistakes, names, names), texts, cmap="Oranges", limits=limits)
    for place in range(num_classes):
        axes.add_patch(Rectangle((place, place), 1, 1, facecolor="#dbeafe", edgecolor="white"))
    axes.set(xlabel="predicted class", ylabel="true class", aspect="equal")
    set_title(figure, f"{set_name}: {_finding(predictions, mistakes, names)}")
    return figure


def _finding(predictions: Predictions, mistakes: np.ndarray, names: list[str]) -> str:
    """The number of mistakes, and the most frequent one."""
    num_wrong = int((~predictions.is_correct).sum())
    result = f"{num_wrong:,} of {len(predictions.labels):,} wrong"
    if not num_wrong:
        return result
    true, predicted = np.unravel_index(mistakes.argmax(), mistakes.shape)
    times = "once" if mistakes.max() == 1 else f"{int(mistakes.max()):,}x"
    return f"{result}; most often {names[true]} read as {names[predicted]} ({times})"
