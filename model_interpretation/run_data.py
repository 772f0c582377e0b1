"""The digits that a run was trained and judged on."""

from utils.datasets import load_dataset, load_training_sets
from utils.errors import UserError
from utils.image_set import ImageSet
from utils.run_folder import RunFolder


def load_run_split(run: RunFolder, split: str) -> ImageSet:
    """The `train`, `validation` or `test` digits of a run: `train` are those that it learned from.

    Raises UserError where the run's config.json is damaged or its data set cannot be had.
    """
    try:
        config = run.config()["train"]
        dataset, validation_size = str(config["dataset"]), float(config["validation_size"])
        train_size = float(config.get("train_size", 1.0))  # which earlier versions did not have
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{run.path / 'config.json'} is damaged: it names no data set") from None
    if split == "test":
        return load_dataset(dataset, "test")
    train_set, validation_set = load_training_sets(dataset, validation_size, train_size)
    return train_set if split == "train" else validation_set
