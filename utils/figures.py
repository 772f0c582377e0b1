"""Pictures of digits and of answers, all in one style; drawn without a screen and without global state."""

import io
import math
import textwrap
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from utils.answers import Answers
from utils.atomic_files import write_whole
from utils.image_set import ImageSet

INK = "#1f2933"
COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#b83280", "#6b46c1", "#b7791f", "#4a5568", "#c53030")
TILE_INCHES = 0.95
CHARACTER_INCHES = 0.085  # of a title
SAVED_DPI = 130


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file's content, on white."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=SAVED_DPI, facecolor="white")
    return content.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG on white."""
    write_whole(path, as_png(figure))


def plain_axes(figure: Figure, *position: int) -> Axes:
    """Axes of the house style: no box, light grid."""
    axes = figure.add_subplot(*position)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def confusion_matrix_figure(answers: Answers, class_names: tuple[str, ...], set_name: str) -> Figure:
    """True classes down, predicted across; the colour shows the mistakes, the most frequent the darkest."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(answers.labels, answers.predicted, labels=range(len(class_names)))
    mistakes = counts.astype(np.float64)
    np.fill_diagonal(mistakes, np.nan)
    most = max(1.0, float(np.nanmax(mistakes)))
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#dbeafe")  # behind the diagonal
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=most)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            colour = "white" if mistakes[row, column] > 0.6 * most else INK
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=10)
    axes.set_xticks(range(len(class_names)), class_names)
    axes.set_yticks(range(len(class_names)), class_names)
    if max(map(len, class_names)) > 5:  # Fashion-MNIST's would run into one another
        axes.tick_params(axis="x", labelrotation=90)
    num_wrong = int((~answers.is_right).sum())
    title = f"{set_name}: {num_wrong:,} of {len(answers.labels):,} wrong"
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def answers_figure(
    answers: Answers, indices: Int64[np.ndarray, " m"], image_set: ImageSet, title: str | None = None
) -> Figure:
    """The digits at these indices, each with its label, what it was taken for, and how surely."""
    names = image_set.class_names
    captions = []
    for i in indices.tolist():
        sign = "=" if answers.is_right[i] else "!="
        names_and_sign = f"{names[answers.labels[i]]} {sign} {names[answers.predicted[i]]}"
        confidence = ">99%" if answers.confidence[i] > 0.995 else f"{answers.confidence[i]:.0%}"
        captions.append(f"{names_and_sign}, {confidence}")
    return digit_grid_figure(image_set.images[torch.from_numpy(indices)], captions, columns=5, title=title)


def digit_grid_figure(
    images: UInt8[Tensor, "n 28 28"],
    captions: list[str] | None = None,
    columns: int = 8,
    title: str | None = None,
    tile_inches: float = TILE_INCHES,
) -> Figure:
    """Digits row by row, dark on bright as on paper, each with its caption above."""
    tiles = images.numpy().astype(np.float32) / 255
    return tiled_figure(tiles, captions, columns, title, cmap="gray_r", limits=(0.0, 1.0), tile_inches=tile_inches)


def draw_pixel_values(axes: Axes, image: UInt8[Tensor, "28 28"]) -> None:
    """A digit bright on dark as it lies in the file, the value of each pixel written into it."""
    axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)
    for (row, column), value in np.ndenumerate(image.numpy()):
        colour = "black" if value > 110 else "white" if value else "0.5"
        axes.text(column, row, str(value), ha="center", va="center", fontsize=6, color=colour)


def filters_figure(weights: Float[np.ndarray, "filters height width"], title: str, columns: int = 8) -> Figure:
    """First-layer weights, one small picture a filter: red adds, blue takes away; all on one scale."""
    limit = float(np.abs(weights).max()) or 1.0
    return tiled_figure(weights, None, columns, title, cmap="RdBu_r", limits=(-limit, limit))


def tiled_figure(
    tiles: Float[np.ndarray, "n height width"],
    captions: list[str] | None,
    columns: int,
    title: str | None,
    cmap: str,
    limits: tuple[float, float],
    tile_inches: float = TILE_INCHES,
) -> Figure:
    """Small pictures in one large one, which is drawn many times faster than axes for each."""
    num_tiles, height, width = tiles.shape
    columns = max(1, min(columns, num_tiles))
    rows = max(1, math.ceil(num_tiles / columns))
    gap = max(1, width // 10)
    head = round(height * 0.3) if captions else gap  # room for a caption above each tile
    canvas = np.full((rows * (height + head), columns * (width + gap)), np.nan, np.float32)
    figure_width = columns * tile_inches
    lines = textwrap.wrap(title or "", max(10, int(figure_width / CHARACTER_INCHES)))
    title_inches = 0.1 + 0.2 * len(lines)
    figure_height = canvas.shape[0] / canvas.shape[1] * figure_width + title_inches
    figure = Figure(figsize=(figure_width, figure_height))
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - title_inches / figure_height))
    axes.axis("off")
    for number, tile in enumerate(tiles):
        top, left = (number // columns) * (height + head) + head, (number % columns) * (width + gap) + gap // 2
        canvas[top : top + height, left : left + width] = tile
        if captions:
            place = (left + width / 2, top - head * 0.15)
            axes.text(*place, captions[number], ha="center", va="bottom", fontsize=8, color=INK, parse_math=False)
    axes.imshow(canvas, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    place = (0.5, 1 - 0.08 / figure_height)
    figure.text(*place, "\n".join(lines), fontsize=10, color=INK, ha="center", va="top", parse_math=False)
    return figure
