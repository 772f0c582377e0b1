"""The digits that a run was trained and judged on."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from utils.datasets import load_dataset, load_training_sets
from utils.errors import UserError
from utils.handwriting import read_digit
from utils.image_set import ImageSet
from utils.paths import printable
from utils.run_folder import RunFolder


def load_run_split(run: RunFolder, split: str) -> ImageSet:
    """The `train`, `validation` or `test` digits of a run: `train` are those that it learned from.

    Raises UserError where the run's config.json is damaged or its data set cannot be had.
    """
    return load_shared_split([run], split)


def load_shared_split(runs: Sequence[RunFolder], split: str) -> ImageSet:
    """As `load_run_split`, of several runs. Raises UserError also where their digits are not the same."""
    kinds = {_data_of(run)[: 1 if split == "test" else None] for run in runs}
    if len(kinds) > 1:
        raise UserError(f"the {split} digits of these runs are not the same: {sorted(kinds)}")
    dataset, validation_size, train_size = _data_of(runs[0])
    if split == "test":
        return load_dataset(dataset, "test")
    train_set, validation_set = load_training_sets(dataset, validation_size, train_size)
    return train_set if split == "train" else validation_set


def chosen_digit(
    run: RunFolder, split: str, number: int | None, picture: Path | None
) -> tuple[UInt8[Tensor, "28 28"], str, str]:
    """A digit of the run's split, or one in a picture; what it is called, and the same fit for a folder's name.

    A random one where neither is named. Raises UserError where both are, and for what there is not.
    """
    if picture is not None:
        if number is not None:
            raise UserError("--id and --image name two digits: leave one of them out")
        return torch.from_numpy(read_digit(picture)), printable(picture.name), f"image-{printable(picture.stem)}"
    image_set = load_run_split(run, split)
    index = image_set.chosen_index(number)
    return image_set.images[index], f"{image_set.name}, digit {index}", f"{split}-{index}"


def _data_of(run: RunFolder) -> tuple[str, float, float]:
    """Data set, validation size and training size."""
    try:
        config = run.config()["train"]
        train_size = float(config.get("train_size", 1.0))  # which earlier versions did not have
        return str(config["dataset"]), float(config["validation_size"]), train_size
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{run.path / 'config.json'} is damaged: it names no data set") from None
