"""The one style of all figures, and figures of digits and predictions, drawn without a display and without pyplot.

A function that draws a figure is decorated with `@figure_style()`. Figures that need seaborn are in
`utils.statistical_figures`, so that training does not load it.
"""

import io
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from cycler import cycler
from jaxtyping import Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from PIL import Image
from torch import Tensor

from utils.data.datasets import ImageSet
from utils.files import write_whole
from utils.predictions import Predictions

INK, GREY, LIGHT_GREY = "#1f2933", "#7b8794", "#e4e7eb"
# Colour-blind safe colours of Okabe and Ito 2008, https://jfly.uni-koeln.de/color/, blue first; then a grey and a wine.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4a5568", "#882255")
SEQUENTIAL = "Blues"
DIVERGING = LinearSegmentedColormap.from_list(
    "blue_white_orange", ["#00436b", COLORS[0], "white", COLORS[1], "#7a3600"]
)
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "figure.titlesize": 11,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # class names and run names may hold dollar signs
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT_GREY,
    "grid.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=COLORS),
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "mnist_study",  # the same figure gives the same file
}
HALF_PAGE_INCHES = 4.6  # width of figures that are side by side on a page; one fits a phone
TILE_INCHES, MIN_GRID_INCHES = 1.05, 3.4  # width of a tile, and of a grid of few tiles: the title needs it
CHARACTER_INCHES, NAME_CHARACTER_INCHES = 0.083, 0.078  # width of a character of a title, and of a tick
CAPTION_CHARACTER_INCHES, CAPTION_LINE_INCHES = 0.078, 0.16
SCALE_INCHES = 0.6  # height of the colour scale below tiles
MAX_NAME_LENGTH = 14  # characters of a class name in a figure
HALF_STEPS = [number / 2 for number in range(2, 20)]  # ticks per decade of a short logarithmic axis
PNG_DPI = 2 * 72  # the page shows 72 points per inch: two pixels for each of them
MAX_PICTURE_BYTES = 300_000
MAX_MARKED_POINTS = 12  # a curve with more points has no markers
# Spaces at which no line ends: before a unit or a bracket, and before the value at the end of `rotation degrees 45`.
UNIT_SPACE = re.compile(r"(?<=\d) (?=%|px\b|pixels?\b|degrees?\b|s\b)| (?=\()|(?<=[a-z]) (?=[\d.]+(?:,|$))|(?<=≠) ")
NO_BREAK = "\u00a0"
SHADES = " .:-=+*#%@"  # characters from dark to bright


@contextmanager
def figure_style() -> Iterator[None]:
    """The style of all figures, as a `with` block or as a decorator `@figure_style()` of a function that draws."""
    with matplotlib.rc_context(STYLE):
        yield


def as_png(figure: Figure) -> bytes:
    """The content of a PNG file of the figure, on white."""
    return _saved(figure, "png")


def as_svg(figure: Figure) -> bytes:
    """The content of an SVG file of the figure, on white. Text stays text."""
    return _saved(figure, "svg")


def is_photograph(figure: Figure) -> bool:
    """Whether the figure shows images or digits, which a PNG holds better than an SVG."""
    return any(axes.images for axes in figure.axes)


def _saved(figure: Figure, format: str) -> bytes:
    content = io.BytesIO()
    with figure_style():  # ticks are made while the figure is drawn
        metadata = {"Date": None} if format == "svg" else None
        figure.savefig(content, format=format, dpi=PNG_DPI, facecolor="white", metadata=metadata)
    return small_png(content.getvalue()) if format == "png" else content.getvalue()


def small_png(png: bytes) -> bytes:
    """The PNG itself if MAX_PICTURE_BYTES allow, else in fewer colours, and if 16 colours are too many, smaller."""
    if len(png) <= MAX_PICTURE_BYTES:
        return png
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for num_colors in (256, 64, 16):
        content = io.BytesIO()
        picture.quantize(num_colors, dither=Image.Dither.NONE).save(content, "png", optimize=True)
        if content.tell() <= MAX_PICTURE_BYTES:
            return content.getvalue()
    content = io.BytesIO()
    picture.reduce(2).save(content, "png")
    return small_png(content.getvalue())


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the figure on white, as the suffix of the path says: `.png` or `.svg`."""
    write_whole(path, as_svg(figure) if path.suffix == ".svg" else as_png(figure))


def set_title(target: Figure | Axes, text: str) -> None:
    """A title of several lines if it is longer than the figure, or than the axes' share of it, is wide."""
    if isinstance(target, Figure):
        target.suptitle(_wrapped(text, target.get_figwidth()), x=0.01, ha="left")
        return
    target.set_title(_wrapped(text, _width_inches(target)))


def _width_inches(axes: Axes) -> float:
    """About the width of the axes: the share of its column of the figure, without room for the ticks."""
    place = axes.get_subplotspec()
    columns = place.get_gridspec().ncols if place else 1
    return axes.figure.bbox.width / axes.figure.dpi / columns - 0.6


def _wrapped(text: str, width_inches: float) -> str:
    return "\n".join(even_lines(text, max(10, int(width_inches / CHARACTER_INCHES))))


def even_lines(text: str, length: int) -> list[str]:
    """Lines of at most this length, as few as possible and about equally long. A number stays beside its unit."""
    text = UNIT_SPACE.sub(NO_BREAK, text)
    lines = textwrap.wrap(text, length)
    while len(lines) > 1:
        length -= 1
        narrower = textwrap.wrap(text, length, break_long_words=False)
        if len(narrower) > len(lines) or max(map(len, narrower)) > length:
            break
        lines = narrower
    return [line.replace(NO_BREAK, " ") for line in lines]


def percent_axis(axes: Axes, which: str = "y") -> None:
    """Ticks of the `x` or `y` axis as percent: the values are fractions."""
    (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(percent_tick)


def percent_tick(value: float, _position: float = 0) -> str:
    """A fraction as percent with as many decimals as it needs, such as 99.5%."""
    return f"{100 * value:.6g}%"


def line_with_band(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    mean: Sequence[float] | np.ndarray,
    low: Sequence[float] | np.ndarray | None = None,
    high: Sequence[float] | np.ndarray | None = None,
    label: str = "",
    color: str = COLORS[0],
) -> None:
    """A curve with its interval as a band. No band without `low` and `high`, for example for a single seed."""
    axes.plot(x, mean, color=color, label=label, marker="o" if len(x) <= MAX_MARKED_POINTS else None)
    if low is not None and high is not None:
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def interval_points(
    axes: Axes,
    names: Sequence[str],
    means: Sequence[float] | np.ndarray,
    lows: Sequence[float] | np.ndarray,
    highs: Sequence[float] | np.ndarray,
    label: str = "",
    color: str = COLORS[0],
    offset: float = 0.0,
) -> None:
    """One row per name, the first on top: the mean as a point and its interval as a line.

    NaN as an end means that there is no interval. Several series on the same axes have different offsets, in rows.
    """
    rows = np.arange(len(names)) + offset
    axes.hlines(rows, lows, highs, color=color, linewidth=2)
    axes.plot(means, rows, "o", color=color, markersize=6, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def elided(text: str, length: int = MAX_NAME_LENGTH) -> str:
    """The text, cut to `length` characters with an ellipsis in the middle if it is longer: many names differ only at
    the end."""
    end = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - end]}…{text[-end:]}"


def name_ticks(axis: Axis, names: Sequence[str], first: float = 0) -> None:
    """One tick per class, from position `first`, with the class name. Names that do not fit an x axis are vertical."""
    shown_names = [elided(name) for name in names]
    axis.set_ticks([first + place for place in range(len(names))], shown_names)
    needed_inches = NAME_CHARACTER_INCHES * (1 + max(map(len, shown_names))) * len(names)
    is_too_wide = axis is axis.axes.xaxis and needed_inches > _width_inches(axis.axes)
    axis.set_tick_params(rotation=90 if is_too_wide else 0)


def plain_log_ticks(axes: Axes, which: str = "y") -> None:
    """Ticks of the logarithmic `x` or `y` axis as plain numbers, such as 0.02 instead of 2 x 10^-2. To be called after
    drawing."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    ratio = high / low
    steps = [1] if ratio > 1e4 else [1, 2, 5] if ratio > 30 else [1, 1.5, 2, 3, 4, 5, 7] if ratio > 2 else HALF_STEPS
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _position: f"{value:,.10g}")


def predictions_figure(
    predictions: Predictions, indices: Int64[np.ndarray, " m"], image_set: ImageSet, title: str | None = None
) -> Figure:
    """The digits at these indices, each with its index, its label, its predicted class and the confidence."""
    names = [elided(name) for name in image_set.class_names]
    separator = "\n" if max(map(len, names)) > 3 else " "
    captions = []
    for i in indices.tolist():
        sign = "=" if predictions.is_correct[i] else "≠"
        confidence = ">99%" if predictions.confidence[i] > 0.995 else f"{predictions.confidence[i]:.0%}"
        true, predicted = names[predictions.labels[i]], names[predictions.predicted[i]]
        captions.append(f"no. {i}\n{true}{separator}{sign} {predicted}, {confidence}")
    columns = 5 if separator == " " else 3
    images = image_set.images[torch.from_numpy(indices)]
    return digit_grid_figure(images, captions, columns, title, tile_inches=HALF_PAGE_INCHES / columns)


def digit_grid_figure(
    images: UInt8[Tensor, "n 28 28"],
    captions: list[str] | None = None,
    columns: int = 8,
    title: str | None = None,
    tile_inches: float = TILE_INCHES,
    row_names: Sequence[str] = (),
) -> Figure:
    """Digits row by row, dark on white, each with its caption above."""
    tiles = images.numpy().astype(np.float32) / 255
    return tiled_figure(tiles, captions, columns, title, "gray_r", (0, 1), tile_inches, row_names=row_names)


@figure_style()
def pixel_values_figure(image: UInt8[Tensor, "28 28"], title: str) -> Figure:
    """A digit, bright on dark, with the value of each pixel as a number."""
    figure = Figure(figsize=(9.2, 9.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)
    for (row, column), value in np.ndenumerate(image.numpy()):
        color = "black" if value > 110 else "white" if value else "0.5"
        axes.text(column, row, str(value), ha="center", va="center", fontsize=9, color=color)
    axes.set(xticks=range(0, 28, 2), yticks=range(0, 28, 2), xlabel="column, px", ylabel="row, px")
    axes.grid(visible=False)
    set_title(figure, title)
    return figure


def filters_figure(weights: Float[np.ndarray, "filters height width"], title: str, columns: int = 8) -> Figure:
    """First-layer weights, one tile per filter on one colour scale from blue (negative) to orange (positive)."""
    limit = float(np.abs(weights).max()) or 1.0
    return tiled_figure(weights, None, columns, title, DIVERGING, (-limit, limit), scale="weight")


@figure_style()
def tiled_figure(
    tiles: Float[np.ndarray, "n height width"],
    captions: list[str] | None,
    columns: int,
    title: str | None,
    cmap: str | Colormap,
    limits: tuple[float, float],
    tile_inches: float = TILE_INCHES,
    scale: str | None = None,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    outlines: Float[np.ndarray, "n height width"] | None = None,
) -> Figure:
    """Tiles in a grid, as one image on one pair of axes: many times faster than axes per tile.

    Captions may have several lines; each is cut to the width of a tile. `scale` is the label of a colour scale below
    the tiles; `row_names` and `column_names` are written beside the first tiles. `outlines` are tiles of the same shape
    whose contour at 0.5 is drawn over the tiles.
    """
    num_tiles, height, width = tiles.shape
    columns = max(1, min(columns, num_tiles))
    rows = max(1, math.ceil(num_tiles / columns))
    gap = max(1, width // 10)
    pixels_per_inch = (width + gap) / tile_inches
    num_lines = max((caption.count("\n") + 1 for caption in captions or ()), default=0)
    head = max(gap, math.ceil((0.08 + CAPTION_LINE_INCHES * num_lines) * pixels_per_inch))  # space above a tile

    def in_a_grid(tiles: Float[np.ndarray, "n height width"], background: float) -> Float[np.ndarray, "rows columns"]:
        missing = np.zeros((rows * columns - num_tiles, height, width), np.float32)
        padding = ((0, 0), (head, 0), (gap // 2, gap - gap // 2))
        framed = np.pad(np.concatenate([tiles, missing * np.nan]), padding, constant_values=background)
        return framed.reshape(rows, columns, height + head, -1).swapaxes(1, 2).reshape(rows * (height + head), -1)

    names = [elided(name) for name in row_names]
    names_inches = NAME_CHARACTER_INCHES * (1 + max(map(len, names))) if names else 0.0
    tiles_width, tiles_height = columns * tile_inches, rows * (height + head) / pixels_per_inch
    figure_width = max(tiles_width + names_inches, MIN_GRID_INCHES)
    lines = _wrapped(title or "", figure_width)
    title_inches = 0.1 + 0.2 * (lines.count("\n") + 1) if lines else 0.05
    if column_names:
        title_inches += 0.05 + CAPTION_LINE_INCHES * max(name.count("\n") + 1 for name in column_names)
    bottom_inches = 0.08 + (SCALE_INCHES if scale else 0.0)
    figure_height = tiles_height + title_inches + bottom_inches
    figure = Figure(figsize=(figure_width, figure_height))
    sides = (figure_width, figure_height) * 2

    def axes_at(*inches: float) -> Axes:
        return figure.add_axes(tuple(length / side for length, side in zip(inches, sides, strict=True)))

    axes = axes_at(names_inches, bottom_inches, tiles_width, tiles_height)
    axes.axis("off")
    picture = axes.imshow(in_a_grid(tiles, np.nan), cmap, vmin=limits[0], vmax=limits[1], aspect="auto",
                          interpolation="nearest")  # fmt: skip
    if outlines is not None:
        axes.contour(in_a_grid(outlines, 0), levels=[0.5], colors=INK, linewidths=0.7)
    length = int(tile_inches / CAPTION_CHARACTER_INCHES)
    for number, caption in enumerate(captions or ()):
        top, left = (number // columns) * (height + head) + head, (number % columns) * (width + gap) + gap // 2
        text = "\n".join(elided(line, length) for line in caption.split("\n"))
        axes.text(left + width / 2, top - 0.04 * pixels_per_inch, text, ha="center", va="bottom", fontsize=9)
    for row, name in enumerate(names):
        middle = row * (height + head) + head + height / 2
        axes.text(-0.08 * pixels_per_inch, middle, name, ha="right", va="center", fontsize=9.5)
    for column, name in enumerate(column_names):
        axes.text((column + 0.5) * (width + gap), 0, name, ha="center", va="bottom", fontsize=9.5)
    if scale:
        bar_axes = axes_at(0.06 * figure_width, 0.42, min(3.0, 0.88 * figure_width), 0.1)
        bar = figure.colorbar(picture, cax=bar_axes, orientation="horizontal", label=scale, ticks=MaxNLocator(4))
        bar.outline.set_visible(False)
    figure.suptitle(lines, x=0.01, ha="left", y=1 - 0.06 / figure_height, va="top")
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
