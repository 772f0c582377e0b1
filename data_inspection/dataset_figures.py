"""A data set by pictures: ImageSet -> figures."""

import numpy as np
import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from torch import Tensor

from data_inspection.digit_shapes import DigitShapes
from utils.figures import COLOURS, INK, TILE_INCHES, digit_grid_figure, draw_pixel_values, plain_axes, tiled_figure
from utils.image_set import ImageSet

SEED = 0  # of the choice of example digits


def examples_per_class(image_set: ImageSet, per_class: int) -> list[Int64[Tensor, " _"]]:
    """Indices of so many digits of each class (fewer where there are no more), random but always the same."""
    order = torch.randperm(len(image_set), generator=torch.Generator().manual_seed(SEED))
    classes = range(len(image_set.class_names))
    return [order[image_set.labels[order] == label][:per_class] for label in classes]


def grid_of_10_figure(image_set: ImageSet) -> Figure:
    """A row of ten digits for each class."""
    title = f"{image_set.name}: 10 digits of each class"
    return _row_per_class_figure(image_set, examples_per_class(image_set, 10), 10, title)


def grid_of_100_figure(image_set: ImageSet) -> Figure:
    """Two rows of fifty digits for each class."""
    rows = [half for chosen in examples_per_class(image_set, 100) for half in (chosen[:50], chosen[50:])]
    return _row_per_class_figure(image_set, rows, 50, f"{image_set.name}: 100 digits of each class", tile_inches=0.24)


def _row_per_class_figure(
    image_set: ImageSet,
    rows: list[Int64[Tensor, " _"]],
    columns: int,
    title: str,
    with_captions: bool = False,
    tile_inches: float = TILE_INCHES,
) -> Figure:
    """Digits by their indices, row by row; a row that is too short is filled with empty places."""
    images = torch.zeros(len(rows), columns, 28, 28, dtype=torch.uint8)
    captions = []
    for place, indices in zip(images, rows, strict=True):
        place[: len(indices)] = image_set.images[indices]
        names = [f"{image_set.class_names[image_set.labels[i]]}, no. {i}" for i in indices.tolist()]
        captions += names + [""] * (columns - len(indices))
    return digit_grid_figure(images.flatten(0, 1), captions if with_captions else None, columns, title, tile_inches)


def label_distribution_figure(train: ImageSet, test: ImageSet) -> Figure:
    """Digits of each class in both splits, with the line of an even distribution."""
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    for place, (image_set, colour) in enumerate(zip((train, test), COLOURS, strict=False), start=1):
        counts = image_set.labels.bincount(minlength=len(image_set.class_names)).numpy()
        axes = plain_axes(figure, 1, 2, place)
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
    """How often each pixel has ink, with the 20 x 20 box into which MNIST's digits were scaled."""
    share = (image_set.images > 0).float().mean(dim=0).numpy()
    figure = Figure(figsize=(5.6, 4.7), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(share, cmap="magma", vmin=0, vmax=1)
    axes.plot([3.5, 23.5, 23.5, 3.5, 3.5], [3.5, 3.5, 23.5, 23.5, 3.5], color="white", linewidth=1, linestyle="--")
    axes.set(title=f"{image_set.name}: where the ink lies", xlabel="column", ylabel="row")
    figure.colorbar(picture, ax=axes, label="share of digits with ink in this pixel (box: 20 x 20)", shrink=0.9)
    return figure


def shapes_figure(image_set: ImageSet, shapes: DigitShapes) -> Figure:
    """How centred the digits are, how even in size, and how the classes differ in slant."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = plain_axes(figure, 1, 3, 1)
    axes.hist(shapes.off_centre[np.isfinite(shapes.off_centre)], bins=60, color=COLOURS[0])
    axes.set(title="centring", xlabel="centre of mass to middle of image, pixels", ylabel="digits")
    axes = plain_axes(figure, 1, 3, 2)
    bins = [size + 0.5 for size in range(29)]
    for values, name, colour in ((shapes.height, "height", COLOURS[0]), (shapes.width, "width", COLOURS[1])):
        axes.hist(values, bins=bins, histtype="stepfilled", alpha=0.55, color=colour, label=name)
    axes.hist(shapes.longer_side, bins=bins, histtype="step", color=INK, label="longer side")
    axes.set(title="size", xlabel="bounding box, pixels", ylabel="digits")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes = plain_axes(figure, 1, 3, 3)
    labels = image_set.labels.numpy()
    leans = [
        shapes.lean_degrees[(labels == label) & np.isfinite(shapes.lean_degrees)]
        for label in range(len(image_set.class_names))
    ]
    boxes = axes.boxplot(leans, whis=(1, 99), showfliers=False, patch_artist=True, medianprops={"color": INK})
    for box in boxes["boxes"]:
        box.set(facecolor=COLOURS[0], alpha=0.55)
    axes.set_xticks(range(1, len(leans) + 1), image_set.class_names)
    axes.set(title="slant (whiskers: 1 % and 99 %)", xlabel="class", ylabel="leans to the right by, degrees")
    figure.suptitle(image_set.name, fontsize=10)
    return figure


def typical_and_strange_figure(
    image_set: ImageSet, typical: list[Int64[Tensor, " _"]], strange: list[Int64[Tensor, " _"]]
) -> Figure:
    """A row for each class: its most typical digits, then its strangest, each with its index in the split."""
    rows = [torch.cat(both) for both in zip(typical, strange, strict=True)]
    title = f"{image_set.name}: the most typical digits of each class (left) and the strangest (right)"
    columns = max(len(row) for row in rows)
    return _row_per_class_figure(image_set, rows, columns, title, with_captions=True, tile_inches=1.0)


def pixel_values_figure(image_set: ImageSet, index: int) -> Figure:
    """One digit with the value of each pixel written into it, as it lies in the file."""
    figure = Figure(figsize=(9, 9.3), layout="constrained")
    axes = figure.add_subplot()
    draw_pixel_values(axes, image_set.images[index])
    axes.set_xticks(range(0, 28, 2))
    axes.set_yticks(range(0, 28, 2))
    name = image_set.class_names[image_set.labels[index]]
    axes.set(title=f"{image_set.name}, no. {index}, a {name}: pixel values from 0 to 255")
    return figure
