"""`mnist inspect`: statistics.json, a printed table, and pictures in data_inspection/output/."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.atomic_files import make_folder, write_whole
from utils.command_line import parse_command_line

OUTPUT = Path(__file__).resolve().parent / "output"
EXAMPLE = 0  # the digit whose pixel values are shown


@dataclass(frozen=True)
class InspectCommand:
    dataset: str = "mnist"
    """Data set: mnist, fashion_mnist, kmnist, qmnist, emnist_digits, usps, digits (bundled with scikit-learn) or
    csv:FILE[,FILE...][,test=FILE]."""
    output: Path = OUTPUT
    """Folder for statistics.json and the pictures; files of the same names are replaced."""


def main(argv: list[str]) -> None:
    """Measures a data set and draws it: classes, pixels, centring, size, slant, duplicates, strange digits."""
    options = parse_command_line(InspectCommand, argv, "mnist inspect", main.__doc__)

    from tqdm import tqdm  # torch and matplotlib too: only once the command line is right

    from data_inspection.dataset_statistics import describe_dataset
    from data_inspection.verdict import statistics_table, verdict
    from utils.datasets import load_dataset
    from utils.figures import save_figure
    from utils.paths import shown
    from utils.writers import mnist_writers

    make_folder(options.output)
    train, test = load_dataset(options.dataset, "train"), load_dataset(options.dataset, "test")
    description = describe_dataset(train, test, mnist_writers() if options.dataset == "mnist" else None)
    prefix = re.sub(r"[^A-Za-z0-9]+", "_", options.dataset).strip("_")[-80:]
    add_statistics(options.output / "statistics.json", options.dataset, description)
    print(f"{statistics_table(description)}\n\n{verdict(options.dataset, description)}")
    for name, draw in tqdm(pictures(train, test).items(), desc="pictures", disable=None, leave=False):
        save_figure(draw(), options.output / f"{prefix}_{name}.png")
    print(f"\nstatistics and pictures: {shown(options.output)}/statistics.json, {prefix}_*.png")


def add_statistics(path: Path, dataset: str, description: dict[str, Any]) -> None:
    """Puts the figures of a data set into the file, a data set a key, beside those of others."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    write_whole(path, f"{json.dumps({**known, dataset: description}, indent=2)}\n".encode())


def pictures(train: Any, test: Any) -> dict[str, Callable[[], Any]]:
    """Name -> what draws it. All but the distribution of the labels show the training digits."""
    from data_inspection import dataset_figures as figures
    from data_inspection.digit_shapes import measure_shapes
    from data_inspection.unusual_digits import most_typical_and_strangest

    return {
        "digits_grid_10ex": lambda: figures.grid_of_10_figure(train),
        "digits_grid_100ex": lambda: figures.grid_of_100_figure(train),
        "label_distribution": lambda: figures.label_distribution_figure(train, test),
        "mean_and_deviation": lambda: figures.mean_and_deviation_figure(train),
        "ink": lambda: figures.ink_figure(train),
        "centring_size_slant": lambda: figures.shapes_figure(train, measure_shapes(train.images.numpy())),
        "typical_and_strange": lambda: figures.typical_and_strange_figure(
            train, *most_typical_and_strangest(train, per_class=5)
        ),
        "pixel_values": lambda: figures.pixel_values_figure(train, EXAMPLE),
    }
