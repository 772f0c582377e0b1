"""`mnist inspect`: writes statistics.json and figures of a data set, and prints the main results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from torch import Tensor

from data_inspection.display_digit import file_stem
from data_inspection.statistics import (
    describe_dataset,
    measure_shapes,
    statistics_table,
    summary_text,
    typical_and_unusual,
)
from utils.data import ImageSet, load_dataset
from utils.figures import (
    COLORS,
    INK,
    TILE_INCHES,
    digit_grid_figure,
    draw_pixel_values,
    elided,
    name_ticks,
    plain_axes,
    plain_log_ticks,
    save_figure,
)
from utils.files import make_folder, shown, write_whole
from utils.track import track

SEED = 0  # of the choice of examples
EXAMPLE = 0  # index of the digit whose pixel values are shown
NUM_EXTREME = 5  # typical and unusual digits of each class


def inspect_dataset(dataset: str, output: Path) -> None:
    """Measures a data set by name, prints the results, and writes statistics.json and PNG figures to the folder."""
    make_folder(output)
    train, test = load_dataset(dataset, "train"), load_dataset(dataset, "test")
    description = describe_dataset(train, test)
    add_statistics(output / "statistics.json", dataset, description)
    print(f"{statistics_table(description)}\n\n{summary_text(dataset, description)}")
    prefix = file_stem(dataset)
    for name, draw in track(dataset_figures(train, test).items(), desc="figures"):
        save_figure(draw(), output / f"{prefix}_{name}.png")
    print(f"\nstatistics and figures: {shown(output)}/statistics.json, {prefix}_*.png")


def add_statistics(path: Path, dataset: str, description: dict[str, Any]) -> None:
    """Adds the statistics of a data set to the JSON file, which has one key per data set."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    write_whole(path, f"{json.dumps({**known, dataset: description}, indent=2)}\n".encode())


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
    examples = examples_per_class(image_set, per_class)
    rows = [chosen[start : start + columns] for chosen in examples for start in range(0, per_class, columns)]
    images = _rows_of_images(image_set, rows, columns)
    title = f"{image_set.name}: {per_class} images of each class"
    return digit_grid_figure(images, None, columns, title, tile_inches)


def extremes_figure(
    image_set: ImageSet, typical: list[Int64[Tensor, " _"]], unusual: list[Int64[Tensor, " _"]]
) -> Figure:
    """One row per class: its most typical images, then its most unusual ones, each with its index in the split."""
    rows = [torch.cat(both) for both in zip(typical, unusual, strict=True)]
    columns = max(len(row) for row in rows)
    names = image_set.class_names
    captions = [f"{elided(names[image_set.labels[i]])}\nno. {i}" if i >= 0 else "" for row in rows
                for i in [*row.tolist(), *[-1] * (columns - len(row))]]  # fmt: skip
    title = f"{image_set.name}: the most typical images of each class (left) and the most unusual (right)"
    return digit_grid_figure(_rows_of_images(image_set, rows, columns), captions, columns, title)


def _rows_of_images(image_set: ImageSet, rows: list[Int64[Tensor, " _"]], columns: int) -> Tensor:
    """The images at these indices, row by row. Short rows are filled with empty images."""
    images = torch.zeros(len(rows), columns, 28, 28, dtype=torch.uint8)
    for tiles, indices in zip(images, rows, strict=True):
        tiles[: len(indices)] = image_set.images[indices]
    return images.flatten(0, 1)


def label_distribution_figure(train: ImageSet, test: ImageSet) -> Figure:
    """The number of images of each class in both splits, with the mean as a line."""
    num_classes = len(train.class_names)
    figure = Figure(figsize=(max(10.0, 0.8 * num_classes), 4), layout="constrained")
    for position, (image_set, colour) in enumerate(zip((train, test), COLORS, strict=False), start=1):
        counts = image_set.labels.bincount(minlength=num_classes).numpy()
        axes = plain_axes(figure, 1, 2, position)
        bars = axes.bar(range(num_classes), counts, color=colour, width=0.75)
        axes.axhline(counts.mean(), color=INK, linewidth=1, linestyle="--", label=f"mean: {counts.mean():,.0f}")
        above_line = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
        rotation = 0 if num_classes <= 12 else 90
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8, color=INK, padding=2, rotation=rotation, bbox=above_line)
        axes.set_ylim(0, counts.max() * 1.25)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set(title=f"{image_set.name}: {len(image_set):,} images", xlabel="class", ylabel="images")
        name_ticks(axes.xaxis, image_set.class_names)
        axes.legend(frameon=False, fontsize=8, loc="upper right")
        axes.grid(visible=False, axis="x")
    return figure


def mean_and_deviation_figure(image_set: ImageSet) -> Figure:
    """The mean image of each class above its standard-deviation image, each row with its own colour scale."""
    num_classes = len(image_set.class_names)
    width = min(max(6.0, 1.15 * num_classes), 16)
    name_inches = 0.1 * max(len(elided(name)) for name in image_set.class_names)
    figure = Figure(figsize=(width, 2 * width / num_classes + 0.7 + name_inches), layout="constrained")
    figure.suptitle(f"{image_set.name}: mean and standard deviation of each class, pixels from 0 to 1", fontsize=10,
                    parse_math=False)  # fmt: skip
    rows = figure.subplots(2, 1, sharex=True)
    for axes, label in zip(rows, ("mean", "deviation"), strict=True):
        strip = np.zeros((28, 28 * num_classes), np.float32)
        for number in range(num_classes):
            members = image_set.images[image_set.labels == number].numpy() / np.float32(255)
            if len(members):
                statistic = members.mean(axis=0) if label == "mean" else members.std(axis=0)
                strip[:, 28 * number : 28 * (number + 1)] = statistic
        picture = axes.imshow(strip, cmap="magma", vmin=0, extent=(-0.5, num_classes - 0.5, 0, 1))
        name_ticks(axes.xaxis, image_set.class_names)
        axes.set(yticks=[], ylabel=label)
        figure.colorbar(picture, ax=axes, pad=0.01)
    rows[0].tick_params(bottom=False)
    return figure


def ink_figure(image_set: ImageSet) -> Figure:
    """The fraction of images with ink in each pixel, with the 20 x 20 box to which MNIST's digits were scaled."""
    fraction = (image_set.images > 0).float().mean(dim=0).numpy()
    figure = Figure(figsize=(5.6, 4.7), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(fraction, cmap="magma", vmin=0, vmax=1)
    axes.plot([3.5, 23.5, 23.5, 3.5, 3.5], [3.5, 3.5, 23.5, 23.5, 3.5], color="white", linewidth=1, linestyle="--")
    axes.set(title=f"{image_set.name}: pixels with ink", xlabel="column", ylabel="row")
    figure.colorbar(picture, ax=axes, label="fraction of images with ink in this pixel (box: 20 x 20)", shrink=0.9)
    return figure


def shapes_figure(image_set: ImageSet, shapes: pd.DataFrame) -> Figure:
    """Distributions of the distance from the image centre, of the size, and of the lean of each class. `shapes` is the
    result of `measure_shapes`."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    figure.suptitle(image_set.name, fontsize=10, parse_math=False)
    axes = plain_axes(figure, 1, 3, 1)
    axes.hist(shapes["off_centre"].dropna(), bins=60, color=COLORS[0])
    axes.set(title="centring", xlabel="centre of mass to image centre, pixels", ylabel="images")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes = plain_axes(figure, 1, 3, 2)
    bins = [size + 0.5 for size in range(29)]
    for name, colour in (("height", COLORS[0]), ("width", COLORS[1])):
        axes.hist(shapes[name], bins=bins, histtype="stepfilled", alpha=0.55, color=colour, label=name)
    axes.hist(shapes["longer_side"], bins=bins, histtype="step", color=INK, label="longer side")
    axes.set(title="size", xlabel="bounding box, pixels", ylabel="images (logarithmic scale)", yscale="log")
    axes.set_ylim(0.8, 3 * len(image_set))
    plain_log_ticks(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes = plain_axes(figure, 1, 3, 3)
    classes = range(len(image_set.class_names))
    leans = [shapes["lean_degrees"][image_set.labels.numpy() == label].dropna() for label in classes]
    boxes = axes.boxplot(leans, whis=(1, 99), showfliers=False, patch_artist=True, medianprops={"color": INK})
    for box in boxes["boxes"]:
        box.set(facecolor=COLORS[0], alpha=0.55)
    name_ticks(axes.xaxis, image_set.class_names, first=1)
    axes.set(title="slant (whiskers: 1 % and 99 %)", xlabel="class", ylabel="lean to the right, degrees")
    return figure


def pixel_values_figure(image_set: ImageSet, index: int) -> Figure:
    """One image with the value of each pixel."""
    figure = Figure(figsize=(9, 9.3), layout="constrained")
    axes = figure.add_subplot()
    draw_pixel_values(axes, image_set.images[index])
    axes.set_xticks(range(0, 28, 2))
    axes.set_yticks(range(0, 28, 2))
    name = elided(image_set.class_names[image_set.labels[index]])
    title = f"{image_set.name}, digit no. {index}, label {name}: pixel values from 0 to 255"
    axes.set_title(title, parse_math=False)
    return figure
