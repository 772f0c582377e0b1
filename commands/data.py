"""Commands about data sets. Each parses its options and calls one library function."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from commands.options import Dataset, Split, named
from utils.errors import UserError, brief, did_you_mean
from utils.files import output_folder
from utils.run import Run


@dataclass(frozen=True)
class InspectOptions:
    """Measure and draw a data set.

    Prints the statistics of both splits (classes, pixels, centring, size, slant, duplicates; for MNIST also writers),
    and writes them to statistics.json with figures of the training set, such as typical and unusual digits. With
    --augmentation, draws instead what a recipe does to its training digits.

    Examples:
      mnist inspect
      mnist inspect --augmentation fast_conv
      mnist inspect --dataset csv:train.csv --output inspection
    """

    dataset: Dataset = "mnist"
    augmentation: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None
    """Recipe, or run by folder or name, whose random changes of the training digits are drawn."""
    output: Path = field(default_factory=lambda: output_folder("data_inspection"))
    """Folder for statistics.json and the figures; files of the same names are replaced."""


def inspect(options: InspectOptions) -> str:
    if options.augmentation is not None:
        return _inspect_augmentation(options.augmentation, options)

    from data_inspection.inspect_dataset import inspect_dataset

    inspect_dataset(options.dataset, options.output)
    return f"train fast_conv --dataset {shlex.quote(options.dataset)}"


def _inspect_augmentation(name: str, options: InspectOptions) -> str:
    from data_inspection.inspect_dataset import inspect_augmentation
    from trainers.recipes import get_recipe, recipe_names

    if options.dataset != InspectOptions.dataset:
        raise UserError(f"--augmentation draws digits of the data set of {name}: leave --dataset out")
    if name in recipe_names():
        inspect_augmentation(get_recipe(name), name, options.output)
        return f"train {name}"
    runs = [run.name for run in Run.all()]
    if name not in runs and not Path(name, "config.json").is_file():
        known = [*recipe_names(), *runs]
        raise UserError(
            f"unknown recipe or run '{brief(name)}'{did_you_mean(name, known)}\n"
            f"Expected a run in runs/ or one of the recipes {', '.join(recipe_names())}"
        )
    run = Run.find(name)
    inspect_augmentation(run.recipe, run.name, options.output)
    return f"{'interpret' if run.is_finished else 'train --resume'} {named(run)}"


@dataclass(frozen=True)
class DisplayOptions:
    """Show one digit with its label.

    Draws the digit in the terminal, in a window if there is a screen, and as a PNG file.

    Examples:
      mnist display 7
      mnist display --dataset fashion_mnist --train
    """

    id: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ID]")] = None
    """Number of the digit in the split, from 0; by default a random digit."""
    split: Split = "test"
    train: bool = False
    """Short for --split train."""
    save: Annotated[bool, tyro.conf.arg(aliases=["-s"])] = False
    """Write the PNG file into the working folder instead of --output."""
    dataset: Dataset = "mnist"
    output: Path = field(default_factory=lambda: output_folder("data_inspection"))
    """Folder for the PNG file."""


def display(options: DisplayOptions) -> str:
    from data_inspection.display_digit import display_digit

    split = "train" if options.train else options.split
    display_digit(options.dataset, split, options.id, Path() if options.save else options.output)
    return f"inspect --dataset {shlex.quote(options.dataset)}"
