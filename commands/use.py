"""Commands that use a trained network. Each parses its options and calls one library function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from utils.cli import DATASET_HELP
from utils.errors import UserError
from utils.files import PROJECT_FOLDER
from utils.run import Run


@dataclass(frozen=True)
class PredictOptions:
    """Predict one digit of a data set, or the digits in picture files.

    For a digit of a data set, prints the probability of each class. For pictures (photographed, scanned or drawn),
    prints a line per picture, and writes predictions.csv and a sheet that shows the digit found in each picture.

    Examples:
      mnist predict 947 --display
      mnist predict --image photo.jpg folder/ --run RUN
    """

    id: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="ID")] = None
    """Index of the digit in its split, from 0; by default a random digit."""
    image: Annotated[tuple[Path, ...] | None, tyro.conf.arg(metavar="FILE ...")] = None
    """Picture files, or folders of pictures, instead of a digit of the data set."""
    train: bool = False
    """Take a training digit instead of a test digit."""
    display: Annotated[bool, tyro.conf.arg(aliases=["-d"])] = False
    """Also draw the digit in the terminal."""
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Run by folder or name; by default the newest finished run."""
    dataset: Annotated[str | None, tyro.conf.arg(help=f"{DATASET_HELP} By default the data set of the run.")] = None
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """With --image: folder in which the run gets a folder of its name."""


def predict(options: PredictOptions) -> None:
    if options.image == ():
        raise UserError("--image without a file: expected files or folders, such as --image photo.jpg")
    if options.image and (options.id is not None or options.train or options.dataset):
        raise UserError("--image replaces the digit of a data set: leave ID, --train and --dataset out")
    run = Run.find_or_newest(options.run)

    from model_interpretation.predict import predict_digit, predict_pictures

    if options.image:
        predict_pictures(run, options.image, options.output, options.display)
    else:
        predict_digit(run, options.id, "train" if options.train else "test", options.dataset, options.display)


@dataclass(frozen=True)
class DrawOptions:
    """Serves a page for this machine only, on which you draw a digit or drop a photo and see the prediction.

    The page shows the class probabilities while you draw, every preprocessing step, which pixels decide, and the
    activations of each layer. It offers all finished runs and compares two of them. Ctrl-C stops the server.

    Examples:
      mnist draw
      mnist draw --run runs/NAME --port 8000 --no-browser
    """

    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Run whose model predicts first, such as runs/NAME; by default the newest finished one."""
    port: int = 8765
    """Port on this machine; 0 takes a free one."""
    browser: bool = True
    """Open the page in the browser."""


def draw(options: DrawOptions) -> None:
    run = Run.find_or_newest(options.run)
    from model_interpretation.interactive_draw import serve_drawing_page

    serve_drawing_page(run, options.port, options.browser)


@dataclass(frozen=True)
class SubmitOptions:
    """Label the digits of Kaggle's test.csv and write submission.csv (ImageId,Label from 1).

    A twentieth of the labelled digits is the test set of the new networks, another part chooses the best epoch;
    neither is trained on. For other recipes, train first and name the runs, for example with
    'mnist train fast_conv --dataset csv:train.csv --seeds 0:5'.

    Examples:
      mnist submit --train train.csv --test test.csv --model deep_conv --ensemble 5
      mnist submit --test test.csv --run runs/NAME
    """

    test: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The digits to label: 784 pixel values per row, no labels."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The labelled digits to train on: a label and 784 pixel values per row."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Model to train, by its registered recipe if it has one: by default fast_conv; or a model string."""
    ensemble: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Number of networks to train, with the seeds 0 to N - 1. Several networks vote by mean probability."""
    run: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Trained runs, instead of --train. Several runs vote by mean probability."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("submission.csv")
    """File to write."""


def submit(options: SubmitOptions) -> None:
    if bool(options.train) == bool(options.run):
        raise UserError("choose either --train train.csv to train networks, or --run runs/NAME for trained ones")
    if options.run and (options.model or options.ensemble != 1):
        raise UserError("--model and --ensemble need --train; several trained networks are given as --run RUN RUN ...")
    runs = [Run.find(name) for name in options.run]

    from trainers.kaggle import DEFAULT_MODEL
    from trainers.kaggle import submit as write_submission

    model = options.model or DEFAULT_MODEL
    write_submission(options.test, options.output, runs, options.train, model, options.ensemble)
