"""The page of a data set: statistics, distributions, clickable digits, suspected label errors and the embedding map."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data_inspection.figures import examples_per_class
from data_inspection.statistics import MAX_NAME, statistics_rows, summary_rows
from utils.data import ImageSet
from utils.document import (
    Block,
    Columns,
    Command,
    Digit,
    DigitMatrix,
    Document,
    Facts,
    Link,
    MatrixCell,
    Picture,
    Section,
    Table,
    Text,
    picture_file,
)
from utils.figures import elided
from utils.files import output_folder, study_folder
from utils.outside import read_json
from utils.run import Run

MAX_MATRIX_DIGITS, MAX_CELL_DIGITS = 800, 15
CAPTIONS = {
    "label_distribution": "Number of images of each class in the training set and in the test set",
    "centring": "Distance of the centre of mass of each training image from the image centre",
    "size": "Height and width of the bounding box of each training image, on a logarithmic scale",
    "slant": "Slant of the training images of each class: median, quartiles, and the middle 98 %",
    "ink": "Fraction of the training images with ink in each pixel. MNIST's digits were scaled to the box",
    "mean_and_deviation": "Mean and standard deviation of each pixel over the training images of each class; each row "
    "has a scale of its own",
    "digits_grid_10ex": "Random training images of each class",
    "digits_grid_100ex": "More random training images of each class",
    "typical_and_unusual": "The most typical and the most unusual training images, by the distance to their neighbours",
    "pixel_values": "The pixel values of one training image",
}
MAP_CAPTION = (
    "The test images as the network of run {run} sees them: near points are images with similar embeddings. The colour "
    "is the true class; a mistake has a ring in the colour of the predicted class."
)
DISTRIBUTIONS = ("centring", "size", "slant", "label_distribution")  # the highest last
IMAGES = ("mean_and_deviation", "ink", "pixel_values")


def dataset_document(
    dataset: str,
    train: ImageSet,
    test: ImageSet,
    description: dict[str, Any],
    extremes: tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]],
    pictures: dict[str, Picture],
    folder: Path,
) -> Document:
    """The page, which will be in the folder.

    `description` is that of `describe_dataset`, `extremes` that of `typical_and_unusual`; keys of `pictures` are names
    of figures.
    """
    header, rows = statistics_rows(description)
    blocks: list[Block] = [
        Section("Digits", [digits_matrix(train, test, extremes)]),
        Section("Distributions", [Columns([pictures[name] for name in DISTRIBUTIONS])]),
        Section("Mean images and pixels", [pictures[name] for name in IMAGES]),
        Section("Statistics of each class", [Table(header, rows, sortable=True)]),
        *([_label_errors_section(test)] if dataset == "mnist" else []),
        _map_section(dataset, folder),
    ]
    duplicates, writers = description["duplicates"], description.get("writers", {})
    facts = [
        ("training images", f"{len(train):,}"),
        ("test images", f"{len(test):,}"),
        ("classes", str(len(train.class_names))),
        ("test images also in training", str(duplicates["test_digits_also_in_train"])),
    ]
    if writers:
        facts.append(("writers", " + ".join(f"{part['num_writers']:,}" for part in writers.values())))
    summary: list[Block] = [Facts(facts), Table(["property", "training images"], summary_rows(description))]
    return Document(f"Data set {dataset}", blocks, summary)


def digits_matrix(
    train: ImageSet, test: ImageSet, extremes: tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]
) -> DigitMatrix:
    """A row per class; random training and test digits, and the most typical and most unusual training digits."""
    names = [elided(name, MAX_NAME) for name in train.class_names]
    size = max(2, min(MAX_CELL_DIGITS, MAX_MATRIX_DIGITS // (4 * len(names))))
    columns = {
        "train": (train, examples_per_class(train, size), "random training images"),
        "test": (test, examples_per_class(test, size), "random test images"),
        "typical": (train, [chosen[:size] for chosen in extremes[0]], "the most typical training images"),
        "unusual": (train, [chosen[:size] for chosen in extremes[1]], "the most unusual training images"),
    }
    cells = {}
    for column, (kind, (image_set, chosen, title)) in enumerate(columns.items()):
        for row, (name, indices) in enumerate(zip(names, chosen, strict=True)):
            count = int((image_set.labels == row).sum()) if kind in ("train", "test") else len(indices)
            digits = [Digit(image_set.images[index].numpy(), f"no. {index}") for index in indices.tolist()]
            if digits:
                some = f"{count:,}" if count == len(digits) else f"{len(digits)} of {count:,}"
                cells[row, column] = MatrixCell(count, digits, f"{name}: {some}, {title}")
    return DigitMatrix(
        "Number of images, and examples", "class", "split, or kind of image", names, list(columns), cells
    )


def _label_errors_section(test: ImageSet) -> Section:
    """The test digits that at least half of the networks get wrong, from the results of `mnist label-errors`."""
    title, file = "Suspected label errors", study_folder() / "label_errors" / "label_errors.json"
    try:
        hard_digits = read_json(file)["hard_digits"]
    except (OSError, ValueError, KeyError):
        return Section(title, [Text("The label errors have not been studied yet."), Command(["mnist label-errors"])])
    members: dict[tuple[int, int], list[Digit]] = {}
    for digit in hard_digits:
        caption = f"no. {digit['index']}, {digit['error_rate']:.0%} wrong"
        place = digit["label"], digit["most_frequent_error"]
        members.setdefault(place, []).append(Digit(test.images[digit["index"]].numpy(), caption))
    cells = {
        (label, read): MatrixCell(len(digits), digits, f"label {label}, most often read as {read}: {len(digits)}")
        for (label, read), digits in sorted(members.items())
    }
    names = list(test.class_names)
    note = "Test digits that at least half of the networks get wrong. An unusual digit is not always a wrong label."
    matrix = DigitMatrix(f"{len(hard_digits)} test digits", "label", "most frequent prediction", names, names, cells)
    return Section(title, [Text(note), *([matrix] if cells else [])])


def _map_section(dataset: str, folder: Path) -> Section:
    """The embedding map of the newest run on this data set that has one, with a link to the page of the run."""
    pages = output_folder("model_interpretation")
    for run in reversed(Run.all()):
        if not run.problem and run.recipe.dataset == dataset:
            page = pages / run.name / "embeddings" / "embeddings.html"
            if pictures := picture_file(page.parent, "map", MAP_CAPTION.format(run=run.name)):
                href = Path(os.path.relpath(page.absolute(), folder.absolute())).as_posix()
                return Section("Embedding map", [*pictures, Link("The map on which a point shows its digit", href)])
    return Section("Embedding map", [Text("No network has an embedding map yet."), Command(["mnist embeddings"])])
