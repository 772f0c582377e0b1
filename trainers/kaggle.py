"""Submissions to Kaggle's competition Digit Recognizer: train on its train.csv, label its test.csv.

Layout of both files: https://www.kaggle.com/competitions/digit-recognizer/data
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.registry import load_ensemble
from trainers.generic_trainers.logging import report_seeds
from trainers.recipes import MAX_SEEDS, recipe_for_model
from trainers.train import train_seeds
from utils.data.csv_digits import CsvName, csv_images
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import predict_logits, score
from utils.files import make_folder, shown, write_whole
from utils.recipe import Execution
from utils.run import Run
from utils.runtime import choose_device

TEST_FRACTION = 0.05  # of the labelled digits: the test set of the trained networks
DEFAULT_MODEL = "fast_conv"


def submit(
    test: Path,
    output: Path,
    runs: Sequence[Run] = (),
    train: Path | None = None,
    model: str = DEFAULT_MODEL,
    num_networks: int = 1,
    device: str = "auto",
) -> None:
    """Labels the digits of Kaggle's test.csv and writes submission.csv. Several networks vote by mean probability.

    The networks are `runs`; or, given `train` (Kaggle's train.csv), new networks of the model with the seeds 0 to
    num_networks - 1. Raises UserError for bad files before training starts.
    """
    _check_files(test, train, output)
    if not 1 <= num_networks <= MAX_SEEDS:
        raise UserError(f"--ensemble {num_networks}: expected 1 to {MAX_SEEDS:,} networks")
    images = csv_images(str(test))
    make_folder(output.absolute().parent)
    if train:
        runs = _train(train, model, num_networks, device)
    chosen = choose_device(device)
    ensemble = load_ensemble(runs, chosen)
    if train and len(runs) > 1:
        held_out = load_dataset(runs[0].recipe.dataset, "test")
        result = score(predict_logits(ensemble, held_out.images, chosen), held_out.labels)
        print(f"together, on the held-out digits: {result}")
    labels = predict_logits(ensemble, images, chosen, progress=test.name).argmax(1).tolist()
    write_whole(output, submission(labels).encode())
    networks = f"{len(runs)} networks together" if len(runs) > 1 else runs[0].name
    print(f"{len(labels):,} digits labelled by {networks}: {shown(output)}")


def submission(labels: Sequence[int]) -> str:
    """The content of submission.csv: one line per digit, counted from 1."""
    rows = [f"{number},{label}" for number, label in enumerate(labels, start=1)]
    return "\n".join(["ImageId,Label", *rows, ""])


def _check_files(test: Path, train: Path | None, output: Path) -> None:
    if train and "," in str(train.absolute()):
        raise UserError(f"{train}: a path with a comma cannot be the name of a data set; rename it")
    if os.path.exists(output):  # noqa: PTH110 - False, not an error, for a name that is too long for the disk
        inputs = [file.resolve() for file in (train, test) if file]
        if not output.is_file() or output.resolve() in inputs:
            raise UserError(f"--output {output}: expected a file of its own, such as submission.csv")


def _train(file: Path, model: str, num_networks: int, device: str) -> list[Run]:
    """The finished runs. Raises UserError if training fails for a seed."""
    dataset = str(CsvName((str(file),), test_fraction=TEST_FRACTION))
    recipe, execution = replace(recipe_for_model(model), dataset=dataset), Execution(device=device)
    runs, failures = train_seeds(recipe, range(num_networks), execution=execution)
    report_seeds(runs)
    for seed, failure in failures.items():
        raise UserError(f"training with seed {seed} failed: {failure}\nNo submission was written.")
    return runs
