"""Figures of a data set: examples, augmented digits, class balance, mean images, position, size and slant."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from jaxtyping import Int64, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from data_inspection.statistics import measure_shapes
from utils.data.augmentation import Augmentation
from utils.data.datasets import ImageSet
from utils.figures import (
    COLORS,
    GREY,
    HALF_PAGE_INCHES,
    INK,
    SEQUENTIAL,
    TILE_INCHES,
    digit_grid_figure,
    elided,
    figure_style,
    name_ticks,
    percent_axis,
    percent_tick,
    pixel_values_figure,
    plain_log_ticks,
    set_title,
)

SEED = 0  # of the choice of examples
EXAMPLE = 0  # index of the digit whose pixel values are shown
NUM_VERSIONS = 9  # augmented versions of a digit
NUM_EXTREME = 5  # typical and unusual digits of each class
SIZE = (HALF_PAGE_INCHES, 3.3)  # of a statistical figure
CLASS_INCHES = 0.38  # width of a class on an x axis
MAX_LEVEL_COUNTS = 12  # classes; the counts of more classes are written vertically


def dataset_figures(
    train: ImageSet, test: ImageSet, typical: Sequence[Tensor], unusual: Sequence[Tensor]
) -> dict[str, Callable[[], Figure]]:
    """Name -> function that draws the figure. All but the label distribution show the training set. `typical` and
    `unusual` are the result of `typical_and_unusual`."""
    extremes = ([indices[:NUM_EXTREME] for indices in part] for part in (typical, unusual))
    shapes = measure_shapes(train.images.numpy())
    return {
        "digits_grid_10ex": lambda: examples_figure(train, per_class=10, columns=10),
        "digits_grid_100ex": lambda: examples_figure(train, per_class=100, columns=50, tile_inches=0.22),
        "label_distribution": lambda: label_distribution_figure(train, test),
        "mean_and_deviation": lambda: mean_and_deviation_figure(train),
        "ink": lambda: ink_figure(train),
        "centring": lambda: centring_figure(train, shapes),
        "size": lambda: size_figure(train, shapes),
        "slant": lambda: slant_figure(train, shapes),
        "typical_and_unusual": lambda: extremes_figure(train, *extremes),
        "pixel_values": lambda: example_figure(train, EXAMPLE),
    }


# Grids of digits.


def examples_per_class(image_set: ImageSet, per_class: int) -> list[Int64[Tensor, " _"]]:
    """Indices of random images of each class, always the same ones; fewer than `per_class` if the class is small."""
    order = torch.randperm(len(image_set), generator=torch.Generator().manual_seed(SEED))
    classes = range(len(image_set.class_names))
    return [order[image_set.labels[order] == label][:per_class] for label in classes]


def examples_figure(image_set: ImageSet, per_class: int, columns: int, tile_inches: float = TILE_INCHES) -> Figure:
    """Random images of each class, class by class in rows of `columns` images."""
    examples = examples_per_class(image_set, per_class)
    rows = [chosen[start : start + columns] for chosen in examples for start in range(0, per_class, columns)]
    names = [name if start == 0 else "" for name in image_set.class_names for start in range(0, per_class, columns)]
    title = f"{image_set.name}: {per_class} random images of each class"
    images = _rows_of_images(image_set, rows, columns)
    return digit_grid_figure(images, None, columns, title, tile_inches, row_names=names)


def extremes_figure(
    image_set: ImageSet, typical: list[Int64[Tensor, " _"]], unusual: list[Int64[Tensor, " _"]]
) -> Figure:
    """One row per class: its most typical images, then its most unusual ones, each with its index in the split."""
    rows = [torch.cat(both) for both in zip(typical, unusual, strict=True)]
    columns = max(len(row) for row in rows)
    captions = [f"no. {i}" if i >= 0 else "" for row in rows
                for i in [*row.tolist(), *[-1] * (columns - len(row))]]  # fmt: skip
    title = f"{image_set.name}: the most typical images of each class (left) and the most unusual (right)"
    images = _rows_of_images(image_set, rows, columns)
    figure = digit_grid_figure(images, captions, columns, title, row_names=image_set.class_names)
    grid = figure.axes[0]
    grid.axvline(sum(grid.get_xlim()) / 2, color=GREY, linewidth=1)
    return figure


def _rows_of_images(image_set: ImageSet, rows: list[Int64[Tensor, " _"]], columns: int) -> Tensor:
    """The images at these indices, row by row. Short rows are filled with empty images."""
    images = torch.zeros(len(rows), columns, 28, 28, dtype=torch.uint8)
    for tiles, indices in zip(images, rows, strict=True):
        tiles[: len(indices)] = image_set.images[indices]
    return images.flatten(0, 1)


def example_figure(image_set: ImageSet, index: int) -> Figure:
    """One image with the value of each pixel."""
    name = elided(image_set.class_names[image_set.labels[index]])
    title = f"{image_set.name}, digit no. {index}, label {name}: pixel values from 0 to 255"
    return pixel_values_figure(image_set.images[index], title)


def augmented_versions_figure(augmentation: Augmentation, images: UInt8[Tensor, "n 28 28"], name: str) -> Figure:
    """A row per image: the original, then augmented versions."""
    versions = torch.stack([images, *(augmentation.example(images, seed) for seed in range(NUM_VERSIONS))], dim=1)
    title = f"{name}: training images (left) and augmented versions of each"
    return digit_grid_figure(versions.flatten(0, 1), None, 1 + NUM_VERSIONS, title)


def augmentation_parts_figure(augmentation: Augmentation, images: UInt8[Tensor, "n 28 28"], name: str) -> Figure:
    """A row per kind of change, below the originals."""
    rows = {"original": images} | {kind: part.example(images, 0) for kind, part in augmentation.parts.items()}
    title = f"{name}: what each kind of change does by itself"
    return digit_grid_figure(torch.cat(list(rows.values())), None, len(images), title, row_names=list(rows))


# Classes.


@figure_style()
def label_distribution_figure(train: ImageSet, test: ImageSet) -> Figure:
    """The number of images of each class in both splits, with the mean as a line."""
    num_classes = len(train.class_names)
    figure = Figure(figsize=(max(SIZE[0], 0.8 + CLASS_INCHES * num_classes), 5.2), layout="constrained")
    rows = figure.subplots(2, 1, sharex=True)
    for image_set, axes, color in zip((train, test), rows, COLORS, strict=False):
        counts = image_set.labels.bincount(minlength=num_classes).numpy()
        sns.barplot(x=np.arange(num_classes), y=counts, ax=axes, color=color, width=0.75, saturation=1)
        axes.axhline(counts.mean(), color=INK, linewidth=1, linestyle="--", label=f"mean: {counts.mean():,.0f}")
        above_line = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
        rotation = 0 if num_classes <= MAX_LEVEL_COUNTS else 90
        axes.bar_label(axes.containers[0], fmt="{:,.0f}", fontsize=9, padding=2, rotation=rotation, bbox=above_line)
        axes.set(ylabel="images", ylim=(0, counts.max() * 1.3))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper right")
        set_title(axes, f"{image_set.name}: {_balance(counts, train.class_names)}")
    rows[1].set_xlabel("class")
    name_ticks(rows[1].xaxis, train.class_names)
    return figure


def _balance(counts: Int64[np.ndarray, " classes"], class_names: Sequence[str]) -> str:
    if counts.min() == counts.max():
        return "all classes are equally frequent"
    ends = (int(counts.argmin()), int(counts.argmax()))
    least, most = (f"{elided(class_names[i])} ({counts[i] / counts.sum():.1%})" for i in ends)
    return f"rarest class {least}, most frequent {most}"


@figure_style()
def mean_and_deviation_figure(image_set: ImageSet) -> Figure:
    """The mean image of each class above its standard-deviation image, each row with its own colour scale."""
    num_classes = len(image_set.class_names)
    width = min(max(SIZE[0], 0.95 * num_classes), 16)
    name_inches = 0.1 * max(len(elided(name)) for name in image_set.class_names)
    figure = Figure(figsize=(width, 2 * width / num_classes + 0.6 + name_inches), layout="constrained")
    set_title(figure, f"{image_set.name}: mean and standard deviation of each class, pixels from 0 to 1")
    rows = figure.subplots(2, 1)
    for axes, label in zip(rows, ("mean", "deviation"), strict=True):
        strip = np.zeros((28, 28 * num_classes), np.float32)
        for number in range(num_classes):
            members = image_set.images[image_set.labels == number].numpy() / np.float32(255)
            if len(members):
                statistic = members.mean(axis=0) if label == "mean" else members.std(axis=0)
                strip[:, 28 * number : 28 * (number + 1)] = statistic
        picture = axes.imshow(strip, cmap=SEQUENTIAL, vmin=0, extent=(-0.5, num_classes - 0.5, 0, 1))
        name_ticks(axes.xaxis, image_set.class_names if label == "deviation" else [""] * num_classes)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set(yticks=[], ylabel=label)
        figure.colorbar(picture, cax=axes.inset_axes((1.005, 0.05, 0.008, 0.9)))
    return figure


@figure_style()
def ink_figure(image_set: ImageSet) -> Figure:
    """The fraction of images with ink in each pixel, with the 20 x 20 box to which MNIST's digits were scaled."""
    fraction = (image_set.images > 0).float().mean(dim=0).numpy()
    figure = Figure(figsize=(HALF_PAGE_INCHES, 4.3), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(fraction, cmap=SEQUENTIAL, vmin=0)
    box = [3.5, 23.5, 23.5, 3.5, 3.5], [3.5, 3.5, 23.5, 23.5, 3.5]
    axes.plot(*box, color=COLORS[1], linewidth=1.4, linestyle="--", label="box of 20 x 20")
    axes.set(xlabel="column, px", ylabel="row, px")
    axes.grid(visible=False)
    axes.legend(loc="upper left")
    bar = figure.colorbar(picture, ax=axes, label="images with ink in this pixel", shrink=0.9, format=percent_tick)
    bar.outline.set_visible(False)
    never = int((fraction == 0).sum())
    set_title(figure, f"{image_set.name}: {fraction.mean():.1%} of the pixels have ink; {never} of 784 never have any")
    return figure


# Position, size and slant. `shapes` is the result of `measure_shapes` for the images.


@figure_style()
def centring_figure(image_set: ImageSet, shapes: pd.DataFrame) -> Figure:
    """The distribution of the distance of the centre of mass from the image centre."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    distances = shapes["off_centre"].dropna()
    sns.histplot(x=distances, ax=axes, bins=40, stat="probability", color=COLORS[0], alpha=1, edgecolor="white")
    percent_axis(axes)
    axes.set(xlabel="distance of the centre of mass from the image centre, px", ylabel="images", xlim=(0, None))
    limit = distances.quantile(0.99) if len(distances) else 0
    set_title(figure, f"{image_set.name}: 99% of the images are centred within {limit:.2f} px")
    return figure


@figure_style()
def size_figure(image_set: ImageSet, shapes: pd.DataFrame) -> Figure:
    """The distributions of height and width of the bounding box."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for name, color in (("height", COLORS[0]), ("width", COLORS[1])):
        sns.histplot(x=shapes[name], ax=axes, discrete=True, element="step", stat="probability", color=color,
                     alpha=0.35, linewidth=1.7, label=name)  # fmt: skip
    axes.set(
        xlabel="bounding box, px", ylabel="images (logarithmic scale)", yscale="log", xlim=(0, 28.5), ylim=(None, 1.3)
    )
    plain_log_ticks(axes)
    percent_axis(axes)
    axes.legend(loc="upper left")
    count = int((shapes["longer_side"] == 20).sum())
    set_title(figure, f"{image_set.name}: the longer side of {count:,} of {len(shapes):,} images is 20 px")
    return figure


@figure_style()
def slant_figure(image_set: ImageSet, shapes: pd.DataFrame) -> Figure:
    """The distribution of the lean of each class."""
    num_classes = len(image_set.class_names)
    figure = Figure(figsize=(max(SIZE[0], 0.8 + CLASS_INCHES * num_classes), SIZE[1]), layout="constrained")
    axes = figure.add_subplot()
    leans = pd.DataFrame({"class": image_set.labels.numpy(), "lean": shapes["lean_degrees"]}).dropna()
    sns.boxplot(leans, x="class", y="lean", order=range(num_classes), ax=axes, whis=(1, 99), showfliers=False,
                color=COLORS[5], linecolor=INK, linewidth=1, width=0.6, saturation=1)  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="class (whiskers: 1% and 99% of the images)", ylabel="lean to the right, degrees")
    name_ticks(axes.xaxis, image_set.class_names)
    axes.grid(visible=False, axis="x")
    medians = leans.groupby("class")["lean"].median()
    ends = (int(medians.argmax()), int(medians.argmin()))
    most, least = (elided(image_set.class_names[int(medians.index[i])]) for i in ends)
    degrees = f"(median {medians.max():.0f}°), {least} least ({medians.min():.0f}°)"
    set_title(figure, f"{image_set.name}: {most} leans most to the right {degrees}")
    return figure
