"""Figures of digits and predictions in one style, drawn without a display and without pyplot's global state."""

import io
import math
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from utils.data.datasets import ImageSet
from utils.files import write_whole
from utils.predictions import Predictions

INK = "#1f2933"
COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#b83280", "#6b46c1", "#b7791f", "#4a5568", "#c53030")
TILE_INCHES = 0.95
CHARACTER_INCHES = 0.085  # width of a character of a title
CAPTION_CHARACTER_INCHES, CAPTION_LINE_INCHES = 0.07, 0.15
SCALE_INCHES = 0.6  # height of the colour scale below tiles
MAX_NAME_LENGTH = 14  # characters of a class name in a figure
HALF_STEPS = [number / 2 for number in range(2, 20)]  # ticks per decade of a short logarithmic axis
MAX_LEVEL_CHARACTERS = 30  # of all class names on an x axis; longer names are vertical
SAVED_DPI = 130
SHADES = " .:-=+*#%@"  # characters from dark to bright


def as_png(figure: Figure) -> bytes:
    """The content of a PNG file of the figure, on white."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=SAVED_DPI, facecolor="white")
    return content.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the figure as a PNG on white."""
    write_whole(path, as_png(figure))


def plain_axes(figure: Figure, *position: int) -> Axes:
    """New axes without a box and with a light grid."""
    axes = figure.add_subplot(*position)
    use_plain_style(axes)
    return axes


def use_plain_style(axes: Axes) -> None:
    """Removes the box of the axes and adds a light grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def elided(text: str, length: int = MAX_NAME_LENGTH) -> str:
    """The text, cut to `length` characters with an ellipsis if it is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def name_ticks(axis: Axis, names: Sequence[str], first: int = 0) -> None:
    """One tick per class, from position `first`, with the class name. Long names are vertical on an x axis."""
    shown_names = [elided(name) for name in names]
    axis.set_ticks(range(first, first + len(names)), shown_names, parse_math=False)
    if axis is axis.axes.xaxis and sum(map(len, shown_names)) > MAX_LEVEL_CHARACTERS:
        axis.set_tick_params(rotation=90)


def plain_log_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic y axis as plain numbers, such as 0.02 instead of 2 x 10^-2. To be called after drawing."""
    low, high = axes.get_ylim()
    ratio = high / low
    steps = [1] if ratio > 1e4 else [1, 2, 5] if ratio > 5 else [1, 1.5, 2, 3, 4, 5, 7] if ratio > 2 else HALF_STEPS
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:,.10g}")


def confusion_matrix_figure(predictions: Predictions, class_names: tuple[str, ...], set_name: str) -> Figure:
    """True classes as rows, predicted classes as columns. The colour shows the mistakes only: the darkest cell is the
    most frequent mistake."""
    num_classes = len(class_names)
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (predictions.labels, predictions.predicted), 1)
    mistakes = counts.astype(np.float64)
    np.fill_diagonal(mistakes, np.nan)
    most = max(1.0, float(np.nanmax(mistakes)))
    side = max(5.4, 1.4 + 0.36 * num_classes)
    figure = Figure(figsize=(side + 0.2, side), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#dbeafe")  # behind the diagonal
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=most)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            colour = "white" if mistakes[row, column] > 0.6 * most else INK
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=10)
    name_ticks(axes.xaxis, class_names)
    name_ticks(axes.yaxis, class_names)
    num_wrong = int((~predictions.is_correct).sum())
    title = f"{set_name}: {num_wrong:,} of {len(predictions.labels):,} wrong"
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def predictions_figure(
    predictions: Predictions, indices: Int64[np.ndarray, " m"], image_set: ImageSet, title: str | None = None
) -> Figure:
    """The digits at these indices, each with its index, its label, its predicted class and the confidence."""
    names = [elided(name) for name in image_set.class_names]
    separator = "\n" if max(map(len, names)) > 3 else " "
    captions = []
    for i in indices.tolist():
        sign = "=" if predictions.is_correct[i] else "!="
        confidence = ">99%" if predictions.confidence[i] > 0.995 else f"{predictions.confidence[i]:.0%}"
        true, predicted = names[predictions.labels[i]], names[predictions.predicted[i]]
        captions.append(f"no. {i}\n{true}{separator}{sign} {predicted}, {confidence}")
    images, tile_inches = image_set.images[torch.from_numpy(indices)], TILE_INCHES if separator == " " else 1.6
    return digit_grid_figure(images, captions, columns=5, title=title, tile_inches=tile_inches)


def digit_grid_figure(
    images: UInt8[Tensor, "n 28 28"],
    captions: list[str] | None = None,
    columns: int = 8,
    title: str | None = None,
    tile_inches: float = TILE_INCHES,
) -> Figure:
    """Digits row by row, dark on white, each with its caption above."""
    tiles = images.numpy().astype(np.float32) / 255
    return tiled_figure(tiles, captions, columns, title, cmap="gray_r", limits=(0.0, 1.0), tile_inches=tile_inches)


def draw_pixel_values(axes: Axes, image: UInt8[Tensor, "28 28"]) -> None:
    """Draws a digit, bright on dark, with the value of each pixel as a number."""
    axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)
    for (row, column), value in np.ndenumerate(image.numpy()):
        colour = "black" if value > 110 else "white" if value else "0.5"
        axes.text(column, row, str(value), ha="center", va="center", fontsize=6, color=colour)


def filters_figure(weights: Float[np.ndarray, "filters height width"], title: str, columns: int = 8) -> Figure:
    """First-layer weights, one tile per filter on one colour scale from blue (negative) to red (positive)."""
    limit = float(np.abs(weights).max()) or 1.0
    return tiled_figure(weights, None, columns, title, cmap="RdBu_r", limits=(-limit, limit), scale="weight")


def tiled_figure(
    tiles: Float[np.ndarray, "n height width"],
    captions: list[str] | None,
    columns: int,
    title: str | None,
    cmap: str,
    limits: tuple[float, float],
    tile_inches: float = TILE_INCHES,
    scale: str | None = None,
) -> Figure:
    """Tiles in a grid, as one image on one pair of axes: many times faster than axes per tile.

    Captions may have several lines; each is cut to the width of a tile. `scale` is the label of a colour scale below
    the tiles.
    """
    num_tiles, height, width = tiles.shape
    columns = max(1, min(columns, num_tiles))
    rows = max(1, math.ceil(num_tiles / columns))
    gap = max(1, width // 10)
    pixels_per_inch = (width + gap) / tile_inches
    num_lines = max((caption.count("\n") + 1 for caption in captions or ()), default=0)
    head = max(gap, math.ceil((0.08 + CAPTION_LINE_INCHES * num_lines) * pixels_per_inch))  # space above a tile
    canvas = np.full((rows * (height + head), columns * (width + gap)), np.nan, np.float32)
    figure_width = columns * tile_inches
    lines = textwrap.wrap(title or "", max(10, int(figure_width / CHARACTER_INCHES)))
    title_inches = 0.1 + 0.2 * len(lines)
    scale_inches = SCALE_INCHES if scale else 0.0
    figure_height = canvas.shape[0] / canvas.shape[1] * figure_width + title_inches + scale_inches
    figure = Figure(figsize=(figure_width, figure_height))
    bottom = 0.01 + scale_inches / figure_height
    axes = figure.add_axes((0.01, bottom, 0.98, 0.99 - bottom - title_inches / figure_height))
    axes.axis("off")
    for number, tile in enumerate(tiles):
        top, left = (number // columns) * (height + head) + head, (number % columns) * (width + gap) + gap // 2
        canvas[top : top + height, left : left + width] = tile
        if captions:
            length = int(tile_inches / CAPTION_CHARACTER_INCHES)
            caption = "\n".join(elided(line, length) for line in captions[number].split("\n"))
            place = (left + width / 2, top - 0.04 * pixels_per_inch)
            axes.text(*place, caption, ha="center", va="bottom", fontsize=8, color=INK, parse_math=False)
    picture = axes.imshow(canvas, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    if scale:
        bar_width = min(0.8, 3 / figure_width)
        bar_axes = figure.add_axes(((1 - bar_width) / 2, 0.42 / figure_height, bar_width, 0.1 / figure_height))
        bar = figure.colorbar(picture, cax=bar_axes, orientation="horizontal")
        bar.ax.tick_params(labelsize=8)
        bar.set_label(scale, fontsize=8, labelpad=1)
    place = (0.5, 1 - 0.08 / figure_height)
    figure.text(*place, "\n".join(lines), fontsize=10, color=INK, ha="center", va="top", parse_math=False)
    return figure


def terminal_picture(image: UInt8[Tensor, "28 28"], has_colours: bool | None = None) -> str:
    """The digit as lines of text: grey half blocks if the output has colours, else two characters per pixel.

    By default the output has colours if it is a terminal.
    """
    rows = image.tolist()
    if sys.stdout.isatty() if has_colours is None else has_colours:
        # One line shows two rows of pixels: the upper as the colour of the half block, the lower as its background.
        return "\n".join(
            "".join(f"\x1b[38;2;{a};{a};{a};48;2;{b};{b};{b}m▀" for a, b in zip(upper, lower, strict=True)) + "\x1b[0m"
            for upper, lower in zip(rows[::2], rows[1::2], strict=True)
        )
    shades = [[SHADES[value * len(SHADES) // 256] * 2 for value in row] for row in rows]
    return "\n".join("".join(row).rstrip() for row in shades)
