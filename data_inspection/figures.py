"""Figures of a data set."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from torch import Tensor

from data_inspection.statistics import measure_shapes, typical_and_unusual
from utils.data.splits import ImageSet
from utils.figures import COLOURS, INK, TILE_INCHES, digit_grid_figure, draw_pixel_values, plain_axes, tiled_figure

SEED = 0  # of the choice of examples
EXAMPLE = 0  # index of the digit whose pixel values are shown
NUM_EXTREME = 5  # typical and unusual digits of each class


def dataset_figures(train: ImageSet, test: ImageSet) -> dict[str, Callable[[], Figure]]:
    """Name -> function that draws the figure. All but the label distribution show the training set."""
    return {
        "digits_grid_10ex": lambda: examples_figure(train, per_class=10, columns=10),
        "digits_grid_100ex": lambda: examples_figure(train, per_class=100, columns=50, tile_inches=0.24),
        "label_distribution": lambda: label_distribution_figure(train, test),
        "mean_and_deviation": lambda: mean_and_deviation_figure(train),
        "ink": lambda: ink_figure(train),
        "centring_size_slant": lambda: shapes_figure(train, measure_shapes(train.images.numpy())),
        "typical_and_unusual": lambda: extremes_figure(train, *typical_and_unusual(train, NUM_EXTREME)),
        "pixel_values": lambda: pixel_values_figure(train, EXAMPLE),
    }


def examples_per_class(image_set: ImageSet, per_class: int) -> list[Int64[Tensor, " _"]]:
    """Indices of random images of each class, always the same ones; fewer than `per_class` if the class is small."""
    order = torch.randperm(len(image_set), generator=torch.Generator().manual_seed(SEED))
    classes = range(len(image_set.class_names))
    return [order[image_set.labels[order] == label][:per_class] for label in classes]


def examples_figure(image_set: ImageSet, per_class: int, columns: int, tile_inches: float = TILE_INCHES) -> Figure:
    """Random images of each class, class by class in rows of `columns` images."""
    starts = range(0, per_class, columns)
    examples = examples_per_class(image_set, per_class)
    rows = [chosen[start : start + columns] for chosen in examples for start in starts]
    title = f"{image_set.name}: {per_class} digits of each class"
    return _rows_figure(image_set, rows, columns, title, tile_inches=tile_inches)


def extremes_figure(
    image_set: ImageSet, typical: list[Int64[Tensor, " _"]], unusual: list[Int64[Tensor, " _"]]
) -> Figure:
    """One row per class: its most typical images, then its most unusual ones, each with its index in the split."""
    rows = [torch.cat(both) for both in zip(typical, unusual, strict=True)]
    title = f"{image_set.name}: the most typical digits of each class (left) and the most unusual (right)"
    columns = max(len(row) for row in rows)
    return _rows_figure(image_set, rows, columns, title, with_captions=True, tile_inches=1.0)


def _rows_figure(
    image_set: ImageSet,
    rows: list[Int64[Tensor, " _"]],
    columns: int,
    title: str,
    with_captions: bool = False,
    tile_inches: float = TILE_INCHES,
) -> Figure:
    """Images given by rows of indices. Short rows are filled with empty tiles."""
    images = torch.zeros(len(rows), columns, 28, 28, dtype=torch.uint8)
    captions = []
    for tiles, indices in zip(images, rows, strict=True):
        tiles[: len(indices)] = image_set.images[indices]
        names = [f"{image_set.class_names[image_set.labels[i]]}, no. {i}" for i in indices.tolist()]
        captions += names + [""] * (columns - len(indices))
    return digit_grid_figure(images.flatten(0, 1), captions if with_captions else None, columns, title, tile_inches)


def label_distribution_figure(train: ImageSet, test: ImageSet) -> Figure:
    """The number of images of each class in both splits, with the mean as a line."""
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    for position, (image_set, colour) in enumerate(zip((train, test), COLOURS, strict=False), start=1):
        counts = image_set.labels.bincount(minlength=len(image_set.class_names)).numpy()
        axes = plain_axes(figure, 1, 2, position)
        bars = axes.bar(image_set.class_names, counts, color=colour, width=0.75)
        axes.bar_label(bars, fontsize=8, label_type="center", color="white")
        axes.axhline(counts.mean(), color=INK, linewidth=1, linestyle="--", label="even distribution")
        axes.set_ylim(0, counts.max() * 1.25)
        axes.set(title=f"{image_set.name}: {len(image_set):,} digits", xlabel="class", ylabel="digits")
        axes.legend(frameon=False, fontsize=8, loc="upper right")
        axes.grid(visible=False, axis="x")
    return figure


def mean_and_deviation_figure(image_set: ImageSet) -> Figure:
    """The mean image of each class above its standard-deviation image."""
    tiles = []
    for statistic in (np.mean, np.std):
        for label in range(len(image_set.class_names)):
            members = image_set.images[image_set.labels == label].numpy() / np.float32(255)
            tiles.append(statistic(members, axis=0) if len(members) else np.zeros((28, 28)))
    names = image_set.class_names
    captions = [f"mean of {name}" for name in names] + [f"deviation of {name}" for name in names]
    title = f"{image_set.name}: mean and standard deviation of each class"
    return tiled_figure(np.stack(tiles).astype(np.float32), captions, len(names), title, "magma", (0.0, 1.0))


def ink_figure(image_set: ImageSet) -> Figure:
    """The fraction of images with ink in each pixel, with the 20 x 20 box to which MNIST's digits were scaled."""
    fraction = (image_set.images > 0).float().mean(dim=0).numpy()
    figure = Figure(figsize=(5.6, 4.7), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(fraction, cmap="magma", vmin=0, vmax=1)
    axes.plot([3.5, 23.5, 23.5, 3.5, 3.5], [3.5, 3.5, 23.5, 23.5, 3.5], color="white", linewidth=1, linestyle="--")
    axes.set(title=f"{image_set.name}: pixels with ink", xlabel="column", ylabel="row")
    figure.colorbar(picture, ax=axes, label="fraction of digits with ink in this pixel (box: 20 x 20)", shrink=0.9)
    return figure


def shapes_figure(image_set: ImageSet, shapes: pd.DataFrame) -> Figure:
    """Distributions of the distance from the image centre, of the size, and of the lean of each class. `shapes` is the
    result of `measure_shapes`."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = plain_axes(figure, 1, 3, 1)
    axes.hist(shapes["off_centre"].dropna(), bins=60, color=COLOURS[0])
    axes.set(title="centring", xlabel="centre of mass to image centre, pixels", ylabel="digits")
    axes = plain_axes(figure, 1, 3, 2)
    bins = [size + 0.5 for size in range(29)]
    for name, colour in (("height", COLOURS[0]), ("width", COLOURS[1])):
        axes.hist(shapes[name], bins=bins, histtype="stepfilled", alpha=0.55, color=colour, label=name)
    axes.hist(shapes["longer_side"], bins=bins, histtype="step", color=INK, label="longer side")
    axes.set(title="size", xlabel="bounding box, pixels", ylabel="digits")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes = plain_axes(figure, 1, 3, 3)
    classes = range(len(image_set.class_names))
    leans = [shapes["lean_degrees"][image_set.labels.numpy() == label].dropna() for label in classes]
    boxes = axes.boxplot(leans, whis=(1, 99), showfliers=False, patch_artist=True, medianprops={"color": INK})
    for box in boxes["boxes"]:
        box.set(facecolor=COLOURS[0], alpha=0.55)
    axes.set_xticks(range(1, len(leans) + 1), image_set.class_names)
    axes.set(title="slant (whiskers: 1 % and 99 %)", xlabel="class", ylabel="lean to the right, degrees")
    figure.suptitle(image_set.name, fontsize=10)
    return figure


def pixel_values_figure(image_set: ImageSet, index: int) -> Figure:
    """One image with the value of each pixel."""
    figure = Figure(figsize=(9, 9.3), layout="constrained")
    axes = figure.add_subplot()
    draw_pixel_values(axes, image_set.images[index])
    axes.set_xticks(range(0, 28, 2))
    axes.set_yticks(range(0, 28, 2))
    name = image_set.class_names[image_set.labels[index]]
    axes.set(title=f"{image_set.name}, no. {index}, a {name}: pixel values from 0 to 255")
    return figure
