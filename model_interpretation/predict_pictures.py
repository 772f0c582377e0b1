"""Predictions for picture files, with a warning for pictures that are not like a digit."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from torch import Tensor, nn

from model_interpretation.activations import penultimate_vectors
from model_interpretation.ood_check import Similarity, ood_check
from model_interpretation.predict import MAX_NAME
from models.registry import load_trained
from utils.data.datasets import class_names
from utils.data.digit_preprocessing import FORMATS, prepare, read_picture
from utils.data.splits import DIGIT_NAMES
from utils.errors import UserError, printable
from utils.evaluation import predict_logits
from utils.figures import digit_grid_figure, elided, save_figure, terminal_picture
from utils.files import shown, write_whole
from utils.outside import spreadsheet_text
from utils.run import Run
from utils.runtime import choose_device
from utils.track import track

SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
MAX_SHOWN = 200  # pictures on the sheet
PAIRS_PER_ROW = 5


@dataclass(frozen=True)
class DigitPicture:
    """A picture file and the digit that was found in it."""

    file: Path
    thumbnail: UInt8[np.ndarray, "28 28"]
    """The picture, scaled down, 0 black to 255 white."""
    digit: UInt8[np.ndarray, "28 28"]


@dataclass(frozen=True)
class PicturePrediction:
    """The prediction for one picture file."""

    file: str
    predicted: str
    confidence: float
    similarity: float | None
    """To the training digits, see `ood_check`; None if it cannot be measured."""
    out_of_distribution: bool | None
    """Whether 95 % of the validation digits are more similar."""


def predict_pictures(
    run: Run, paths: Sequence[Path], output: Path, display: bool = False, device: str = "auto"
) -> list[PicturePrediction]:
    """Predicts the digits in picture files and in folders of pictures. Prints a line per picture, with a warning if it
    is not like a digit; writes predictions.csv and sheet.png into `output/RUN/pictures`. `display` also draws the
    digits in the terminal.

    Raises UserError at the end if some pictures could not be read; the predictions for the others are written before.
    """
    chosen = choose_device(device)
    model = load_trained(run, chosen)
    pictures, failures = read_pictures(picture_files(paths))
    if not pictures:
        raise UserError(failures[0] + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""))
    images = torch.from_numpy(np.stack([picture.digit for picture in pictures]))
    confidences, predicted = predict_logits(model, images, chosen).softmax(1).max(1)
    similarities = measured_similarities(run, model, images)
    names = class_names(run.recipe.dataset)
    results = [
        PicturePrediction(
            shown(picture.file),
            names[label],
            confidence,
            similarity.value if similarity else None,
            similarity.is_out_of_distribution if similarity else None,
        )
        for picture, label, confidence, similarity in zip(
            pictures, predicted.tolist(), confidences.tolist(), similarities, strict=True
        )
    ]
    subject = "digit" if names == DIGIT_NAMES else "training image"
    for picture, result in zip(pictures, results, strict=True):
        if display:
            print(terminal_picture(torch.from_numpy(picture.digit)))
        warning = f"; not like a {subject}: similarity {result.similarity:.3f}" if result.out_of_distribution else ""
        print(f"{result.file}: {elided(result.predicted, MAX_NAME)} with {result.confidence:.2%}{warning}")
    folder = output / run.name / "pictures"
    rows = [replace(result, file=spreadsheet_text(result.file)) for result in results]
    write_whole(folder / "predictions.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.6f").encode())
    save_figure(sheet_figure(pictures, results, run.name, subject), folder / "sheet.png")
    number = "1 picture" if len(pictures) == 1 else f"{len(pictures):,} pictures"
    print(f"{run.name}: {number} read; {shown(folder / 'predictions.csv')} and sheet.png written")
    if similarities[0] and any(result.out_of_distribution for result in results):
        print(
            f"not like a {subject}: a similarity to the nearest training {subject.split()[-1]}s below "
            f"{similarities[0].threshold:.3f}; 95 % of the validation {subject.split()[-1]}s are above"
        )
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        total = len(failures) + len(pictures)
        raise UserError(f"{len(failures)} of {total} pictures could not be read, for the reasons above")
    return results


def measured_similarities(
    run: Run, model: nn.Module, images: UInt8[Tensor, "n 28 28"]
) -> list[Similarity] | list[None]:
    """The similarity of each image to the run's training digits. If it cannot be measured, prints why to stderr."""
    try:
        return ood_check(run, model)(penultimate_vectors(model, images, progress=None))
    except UserError as error:
        reason = str(error).splitlines()[0]
        print(f"not checked whether the pictures are like the training digits: {reason}", file=sys.stderr)
        return [None] * len(images)


def picture_files(paths: Sequence[Path]) -> list[Path]:
    """The files, with every folder replaced by its pictures. Raises UserError for a folder without pictures."""
    files: list[Path] = []
    for path in paths:
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path} has no pictures: expected files of {', '.join(FORMATS)}")
        files += found
    return files


def read_pictures(files: Sequence[Path]) -> tuple[list[DigitPicture], list[str]]:
    """The digits in these files, and one message for each file without a readable digit."""
    pictures, failures = [], []
    for file in track(files, desc="pictures"):
        try:
            grey = read_picture(file)
            digit = prepare(grey).digit
        except UserError as error:
            message = str(error)
            failures.append(printable(message if str(file) in message else f"{file}: {message}"))
            continue
        thumbnail = ImageOps.pad(Image.fromarray((grey * 255).round().astype(np.uint8)), (28, 28), color=255)
        pictures.append(DigitPicture(file, np.asarray(thumbnail), digit))
    return pictures, failures


def sheet_figure(
    pictures: Sequence[DigitPicture], results: Sequence[PicturePrediction], run_name: str, subject: str = "digit"
) -> Figure:
    """Each picture beside the digit that was found in it, with the prediction or the warning."""
    images, captions = [], []
    for picture, result in zip(pictures[:MAX_SHOWN], results, strict=False):
        images += [255 - picture.thumbnail, picture.digit]  # the figure draws 255 black
        separator = ": " if len(result.predicted) <= 3 else "\n"
        prediction = f"{elided(result.predicted)}{separator}{result.confidence:.0%}"
        if result.out_of_distribution:
            prediction += "\nno digit?" if subject == "digit" else "\nno class?"
        captions += [printable(picture.file.stem), prediction]
    title = f"{run_name}: each picture, then the digit found in it with its prediction"
    if len(pictures) > MAX_SHOWN:
        title += f" (the first {MAX_SHOWN} of {len(pictures):,})"
    return digit_grid_figure(torch.from_numpy(np.stack(images)), captions, columns=2 * PAIRS_PER_ROW, title=title)
