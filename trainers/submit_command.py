"""`mnist submit`: the labels of Kaggle's test.csv, as the competition Digit Recognizer takes them.

Source of both files' layout: https://www.kaggle.com/competitions/digit-recognizer/data
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from trainers.run_recipe import MAX_SEEDS, report_seeds
from trainers.train_command import recipe_of_model
from utils.atomic_files import make_folder, write_whole
from utils.command_line import parse_command_line
from utils.csv_name import CsvName
from utils.errors import UserError
from utils.paths import shown
from utils.run_folder import RunFolder

TEST_SHARE = 0.05  # of the labelled digits: they judge the network, and are not learned from
DEFAULT_MODEL = "fast_conv"


@dataclass(frozen=True)
class SubmitCommand:
    test: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The digits to name: 784 pixel values a row, no labels."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The labelled digits to learn from: a label and 784 pixel values a row."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The network to train, by its trainer's recipe where it has one: fast_conv by default, or a model string."""
    ensemble: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Train so many networks, with the seeds 0 to N - 1, and take the mean of their probabilities."""
    run: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """In place of --train: runs that are trained already; of several, the mean of their probabilities counts."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("submission.csv")
    """The file that is written, whole or not at all."""


def main(argv: list[str]) -> None:
    """Names the digits of Kaggle's test.csv and writes submission.csv (ImageId,Label from 1).

    mnist submit --train train.csv --test test.csv --model deep_conv --ensemble 5

    mnist submit --test test.csv --run runs/NAME

    Of the labelled digits a twentieth judges the networks, another part chooses the best epoch; neither is learned
    from. For other settings train first, such as 'mnist train fast_conv --dataset csv:train.csv --seeds 0:5', and
    name the runs."""
    options = parse_command_line(SubmitCommand, argv, "mnist submit", main.__doc__)
    _check(options)
    runs = [RunFolder.find(name) for name in options.run]

    from models.trained import load_together  # torch: only once the command line is right
    from utils.csv_digits import csv_images
    from utils.datasets import load_dataset
    from utils.devices import choose_device
    from utils.evaluation import predict_logits, score

    images = csv_images(str(options.test))
    make_folder(options.output.absolute().parent)
    if options.train:
        runs = _train(options.train, options.model or DEFAULT_MODEL, options.ensemble)
    device = choose_device("auto")
    model = load_together(runs, device)
    if options.train and len(runs) > 1:
        held_out = load_dataset(runs[0].config()["train"]["dataset"], "test")
        print(f"together: test {score(predict_logits(model, held_out.images, device), held_out.labels)}")
    labels = predict_logits(model, images, device, progress=options.test.name).argmax(1).tolist()
    write_whole(options.output, submission(labels).encode())
    by = f"{len(runs)} networks together" if len(runs) > 1 else runs[0].path.name
    print(f"{len(labels):,} digits named by {by}: {shown(options.output)}")


def submission(labels: Sequence[int]) -> str:
    """The file that the competition takes: a line a digit, counted from 1."""
    rows = [f"{number},{label}" for number, label in enumerate(labels, start=1)]
    return "\n".join(["ImageId,Label", *rows, ""])


def _check(options: SubmitCommand) -> None:
    if bool(options.train) == bool(options.run):
        raise UserError("say either what to learn from, --train train.csv, or what is trained already, --run runs/NAME")
    if options.run and (options.model or options.ensemble != 1):
        raise UserError("--model and --ensemble are for --train; of trained networks name several: --run RUN RUN ...")
    if not 1 <= options.ensemble <= MAX_SEEDS:
        raise UserError(f"--ensemble {options.ensemble}: expected 1 to {MAX_SEEDS:,} networks")
    if options.train and "," in str(options.train.absolute()):
        raise UserError(f"{options.train}: a path with a comma cannot be a data set's name; rename it")
    if os.path.exists(options.output):  # noqa: PTH110 - a name that no disk could hold is no file either
        inputs = [file.resolve() for file in (options.train, options.test) if file]
        if not options.output.is_file() or options.output.resolve() in inputs:
            raise UserError(f"--output {options.output}: expected a file of its own, such as submission.csv")


def _train(file: Path, model: str, num_networks: int) -> list[RunFolder]:
    """The finished runs of these seeds. Raises UserError where one cannot be finished."""
    from trainers.generic_trainers.training_run import train_seeds

    recipe = recipe_of_model(model)
    dataset = str(CsvName((str(file),), test_share=TEST_SHARE))
    recipe = replace(recipe, train=replace(recipe.train, dataset=dataset))
    verdicts, failures = train_seeds(recipe, range(num_networks))
    report_seeds(verdicts)
    if failures:
        seed, failure = next(iter(failures.items()))
        raise UserError(f"seed {seed} could not go on: {failure}\nNo submission was written.")
    return [run for run, _ in verdicts]
