"""Commands about data sets. Each parses its options and calls one library function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from utils.cli import DATASET_HELP
from utils.files import PROJECT_FOLDER


@dataclass(frozen=True)
class InspectOptions:
    """Measures and draws a data set.

    Prints the statistics of both splits (classes, pixels, centring, size, slant, duplicates; for MNIST also writers),
    and writes them to statistics.json with figures of the training set, such as typical and unusual digits.

    Examples:
      mnist inspect
      mnist inspect --dataset csv:train.csv --output inspection
    """

    dataset: Annotated[str, tyro.conf.arg(help=DATASET_HELP)] = "mnist"
    output: Path = PROJECT_FOLDER / "data_inspection" / "output"
    """Folder for statistics.json and the figures; files of the same names are replaced."""


def inspect(options: InspectOptions) -> None:
    from data_inspection.inspect_dataset import inspect_dataset

    inspect_dataset(options.dataset, options.output)


@dataclass(frozen=True)
class DisplayOptions:
    """Shows one digit with its label.

    Draws the digit in the terminal, and in a window if there is a screen.

    Examples:
      mnist display 7
      mnist display --dataset fashion_mnist --train
    """

    id: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ID]")] = None
    """Index of the digit in the split, from 0; by default a random digit."""
    train: bool = False
    """Show a training digit instead of a test digit."""
    save: Annotated[bool, tyro.conf.arg(aliases=["-s"])] = False
    """Also save the digit as a PNG file in the working folder."""
    dataset: Annotated[str, tyro.conf.arg(help=DATASET_HELP)] = "mnist"


def display(options: DisplayOptions) -> None:
    from data_inspection.display_digit import display_digit

    display_digit(options.dataset, "train" if options.train else "test", options.id, options.save)
