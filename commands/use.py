"""Commands that use a trained network. Each parses its options and calls one library function."""

import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from commands.options import Device, OneRun, OtherDataset, SeveralRuns, Split, chosen_run, chosen_runs, named
from utils.errors import UserError
from utils.files import output_folder, runs_folder, shown


@dataclass(frozen=True)
class PredictOptions:
    """Predict one digit of a data set, or the digits in picture files.

    For a digit of a data set, prints the probability of each class. For pictures (photographed, scanned or drawn),
    prints a line per picture, and writes predictions.csv and a sheet that shows the digit found in each picture.
    A picture that is not like a digit, such as a letter, gets a warning: it is less similar to the training digits than
    95 % of the validation digits are. A run's first check takes some seconds.

    Examples:
      mnist predict 947 --display             the newest finished run
      mnist predict RUN 947
      mnist predict RUN --image photo.jpg folder/
    """

    run_and_id: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN] [ID]")] = ()
    """Run by folder or name, by default the newest finished run; and number of the digit in the split, from 0, by
    default a random digit."""
    image: Annotated[tuple[Path, ...] | None, tyro.conf.arg(metavar="FILE ...")] = None
    """Picture files, or folders of pictures, instead of a digit of the data set."""
    split: Split = "test"
    train: bool = False
    """Short for --split train."""
    display: Annotated[bool, tyro.conf.arg(aliases=["-d"])] = False
    """Also draw the digit in the terminal."""
    dataset: OtherDataset = None
    device: Device = "auto"
    output: Path = field(default_factory=lambda: output_folder("model_interpretation"))
    """With --image: folder in which the run gets a folder of its name."""


def predict(options: PredictOptions) -> str:
    name, index = _run_and_id(options.run_and_id)
    split = "train" if options.train else options.split
    if options.image == ():
        raise UserError("--image without a file: expected files or folders, such as --image photo.jpg")
    if options.image and (index is not None or split != "test" or options.dataset):
        raise UserError("--image replaces the digit of a data set: leave ID, --split, --train and --dataset out")
    run = chosen_run(name)

    if options.image:
        from model_interpretation.predict_pictures import predict_pictures

        predict_pictures(run, options.image, options.output, options.display, options.device)
        return f"draw {named(run)}"

    from model_interpretation.predict import predict_digit

    predict_digit(run, index, split, options.dataset, options.display, options.device)
    return f"attribution {named(run)}"


def _run_and_id(words: tuple[str, ...]) -> tuple[str | None, int | None]:
    """The run and the number of the digit. A single number is a digit unless a run has this name."""
    *names, last = words or (None,)
    is_id = last is not None and re.fullmatch(r"-?\d{1,18}", last) and (names or not (runs_folder() / last).exists())
    if not is_id and last is not None:
        names.append(last)
    if names and os.path.isfile(names[0]):  # noqa: PTH113 - a name that no disk can hold is no file either
        raise UserError(f"'{names[0]}' is a file, not a run.\nFor a picture: mnist predict --image {names[0]}")
    if len(names) > 1:
        given = " ".join(words)[:80]
        raise UserError(f"'{given}': expected a run and the number of a digit, such as mnist predict RUN 947")
    return (names[0] if names else None), (int(last) if is_id and last else None)


@dataclass(frozen=True)
class DrawOptions:
    """Serve a page for this machine only, on which you draw a digit or drop a photo and see the prediction.

    The page shows the class probabilities while you draw, every preprocessing step, an attribution map, and the
    activations of each layer. It offers all finished runs and compares two of them. Ctrl-C stops the server.

    Examples:
      mnist draw
      mnist draw RUN --port 8000 --no-browser
    """

    run: OneRun = None
    port: int = 8765
    """Port on this machine; 0 takes a free one."""
    browser: bool = True
    """Open the page in the browser."""


def draw(options: DrawOptions) -> str:
    run = chosen_run(options.run)

    from model_interpretation.interactive_draw import serve_drawing_page

    serve_drawing_page(run, options.port, options.browser)
    return f"predict {named(run)} --image photo.jpg"


@dataclass(frozen=True)
class ExportOptions:
    """Write the network of a run as a file for other programs.

    onnx: for ONNX Runtime in Python, C++, the browser and on phones. pt2: a graph for torch.export.load, without the
    classes of this platform. safetensors: the weights under their names, for 'models.load_trained' and other programs.

    Every file takes pixels in [0, 1] of shape (n, 1, 28, 28): the standardisation is inside. It is written only if
    its logits for 1,000 test digits differ from the run's by less than 1e-4. It holds the recipe, the commit and the
    test accuracy with its interval.

    Examples:
      mnist export                            the newest finished run as ONNX, into the working folder
      mnist export RUN --format safetensors
      mnist export RUN --output folder
    """

    run: OneRun = None
    format: Literal["onnx", "pt2", "safetensors"] = "onnx"
    """Kind of file."""
    output: Path = Path()
    """Folder of the file RUN.FORMAT; by default the working folder."""


def export(options: ExportOptions) -> str:
    run = chosen_run(options.run)

    from models.export import export_run

    path = export_run(run, options.format, options.output)
    return f"evaluate {shlex.quote(shown(path))}" if options.format == "onnx" else f"draw {named(run)}"


@dataclass(frozen=True)
class SubmitOptions:
    """Label the digits of Kaggle's test.csv and write submission.csv (ImageId,Label from 1).

    A twentieth of the labelled digits is held out to measure the new networks, another part chooses the best epoch;
    neither is trained on. For other recipes, train first and name the runs, for example with
    'mnist train fast_conv --dataset csv:train.csv --seeds 0:5'.

    Examples:
      mnist submit --train train.csv --test test.csv --model deep_conv --ensemble 5
      mnist submit RUN1 RUN2 --test test.csv
    """

    test: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The digits to label: 784 pixel values per row, no labels."""
    runs: Annotated[
        SeveralRuns, tyro.conf.arg(help="Trained runs, instead of --train. Several runs vote by mean probability.")
    ] = ()
    train: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The labelled digits to train on: a label and 784 pixel values per row."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Model to train, by its recipe if it has one: by default fast_conv; or a model string."""
    ensemble: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Number of networks to train, with the seeds 0 to N - 1. Several networks vote by mean probability."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("submission.csv")
    """File to write."""
    device: Device = "auto"


def submit(options: SubmitOptions) -> str:
    if bool(options.train) == bool(options.runs):
        raise UserError("choose either --train train.csv to train networks, or trained ones: mnist submit RUN ...")
    if options.runs and (options.model or options.ensemble != 1):
        raise UserError("--model and --ensemble need --train; several trained networks are given as RUN RUN ...")
    runs = chosen_runs(options.runs) if options.runs else []

    from trainers.kaggle import DEFAULT_MODEL
    from trainers.kaggle import submit as write_submission

    model = options.model or DEFAULT_MODEL
    write_submission(options.test, options.output, runs, options.train, model, options.ensemble, options.device)
    return f"compare {named(*runs)}".rstrip()
