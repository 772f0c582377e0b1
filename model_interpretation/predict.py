"""The digits of runs and the predictions for them: whole splits, single digits and picture files."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from torch import Tensor

from models.registry import load_ensemble, load_trained
from utils.data import ImageSet, load_dataset, load_training_sets
from utils.data.datasets import class_names
from utils.data.digit_preprocessing import FORMATS, prepare, read_digit, read_picture
from utils.errors import UserError, printable
from utils.evaluation import Score, ShiftAverage, predict_logits, score
from utils.figures import digit_grid_figure, elided, save_figure, terminal_picture
from utils.files import shown, write_whole
from utils.outside import spreadsheet_text
from utils.predictions import Predictions
from utils.run import Run
from utils.runtime import choose_device
from utils.track import track

BAR_WIDTH = 40  # characters of a probability of 1
MAX_NAME = 30  # characters of a class name
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
MAX_SHOWN = 200  # pictures on the sheet
PAIRS_PER_ROW = 5


def load_run_split(run: Run, split: str) -> ImageSet:
    """The `train`, `validation` or `test` digits of a run; `train` are the digits that the run was trained on.

    Raises UserError if the run's recipe or data set cannot be read.
    """
    return load_shared_split([run], split)


def load_shared_split(runs: Sequence[Run], split: str) -> ImageSet:
    """The digits of a split that several runs share. Raises UserError if the runs have different digits."""
    recipes = [run.recipe for run in runs]
    sources = {(r.dataset, r.validation_size, r.train_size, r.validation) for r in recipes}
    if len({source[0] if split == "test" else source for source in sources}) > 1:
        raise UserError(f"these runs have different {split} digits: {sorted(sources)}")
    dataset, validation_size, train_size, validation = next(iter(sources))
    if split == "test":
        return load_dataset(dataset, "test")
    train_set, validation_set = load_training_sets(dataset, validation_size, train_size, validation)
    return train_set if split == "train" else validation_set


def load_test_predictions(run: Run, test_set: ImageSet) -> Predictions:
    """The stored test predictions of a run. Raises UserError if they are missing or belong to other digits."""
    predictions = run.predictions("test")
    if not np.array_equal(predictions.labels, test_set.labels.numpy()):
        raise UserError(f"the test predictions of run {run.name} belong to other digits than today's {test_set.name}")
    return predictions


@dataclass(frozen=True)
class ChosenDigit:
    """One digit, of a data set or of a picture file."""

    image: UInt8[Tensor, "28 28"]
    title: str
    """Such as `test digit no. 947` or `photo.jpg`."""
    slug: str
    """The digit as a part of a folder name, such as `test-947` or `image-photo`."""


def chosen_digit(run: Run, split: str, index: int | None, picture: Path | None) -> ChosenDigit:
    """The digit of a picture file, or of the run's split: at an index or, by default, at random.

    Raises UserError for both an index and a picture, for an index out of range and for an unreadable picture.
    """
    if picture is not None:
        if index is not None:
            raise UserError("--id and --image choose two digits: leave one of them out")
        image = torch.from_numpy(read_digit(picture))
        return ChosenDigit(image, printable(picture.name), f"image-{printable(picture.stem)}")
    image_set = load_run_split(run, split)
    index = image_set.chosen_index(index)
    return ChosenDigit(image_set.images[index], f"{split} digit no. {index}", f"{split}-{index}")


def evaluate_runs(
    runs: Sequence[Run], split: str = "test", dataset: str | None = None, device: str = "auto", shifts: int = 0
) -> Score:
    """Prints and returns accuracy and loss in fp32 on a split of the runs' data set, or of another one.

    Several runs are evaluated as an ensemble: the mean of their probabilities is the prediction. With `shifts`, each
    probability is also the mean over all shifts of the image by up to so many pixels.
    """
    chosen = choose_device(device)
    model = load_ensemble(runs, chosen)
    if shifts:
        model = ShiftAverage(model, shifts)
    image_set = load_dataset(dataset, split) if dataset else load_shared_split(runs, split)
    result = score(predict_logits(model, image_set.images, chosen, progress=image_set.name), image_set.labels)
    ensemble = f"ensemble of {len(runs)} networks, " if len(runs) > 1 else ""
    averaged = f"mean over {(2 * shifts + 1) ** 2} shifts, " if shifts else ""
    print(f"{image_set.name}: {ensemble}{averaged}{result}")
    return result


def predict_digit(
    run: Run, index: int | None, split: str, dataset: str | None = None, display: bool = False, device: str = "auto"
) -> None:
    """Prints the prediction for one digit, by default a random one, with the probability of each class.

    The digit is of the run's data set, or of another one. `display` also draws the digit in the terminal.
    """
    chosen = choose_device(device)
    model = load_trained(run, chosen)
    is_held_out = split == "validation" and dataset is None
    image_set = load_run_split(run, split) if is_held_out else load_dataset(dataset or run.recipe.dataset, split)
    index = image_set.chosen_index(index)
    probabilities = predict_logits(model, image_set.images[index : index + 1], chosen)[0].softmax(0).cpu()
    if display:
        print(terminal_picture(image_set.images[index]))
    names = [elided(name, MAX_NAME) for name in class_names(run.recipe.dataset)]
    predicted, label = int(probabilities.argmax()), image_set.class_names[int(image_set.labels[index])]
    print(
        f"{split} digit no. {index}: {run.name} predicts {names[predicted]} with {probabilities[predicted]:.2%}; "
        f"the label is {elided(label, MAX_NAME)}"
    )
    print(probability_bars(probabilities, names))


def probability_bars(probabilities: Float[Tensor, " classes"], names: Sequence[str]) -> str:
    """One line per class: name, probability and bar."""
    width = max(map(len, names))
    return "\n".join(
        f"  {name:{width}}  {probability:7.2%}  {'█' * round(probability * BAR_WIDTH)}".rstrip()
        for name, probability in zip(names, probabilities.tolist(), strict=True)
    )


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


def predict_pictures(
    run: Run, paths: Sequence[Path], output: Path, display: bool = False, device: str = "auto"
) -> list[PicturePrediction]:
    """Predicts the digits in picture files and in folders of pictures. Prints a line per picture; writes
    predictions.csv and sheet.png into `output/RUN/pictures`. `display` also draws the digits in the terminal.

    Raises UserError at the end if some pictures could not be read; the predictions for the others are written before.
    """
    chosen = choose_device(device)
    model = load_trained(run, chosen)
    pictures, failures = read_pictures(picture_files(paths))
    if not pictures:
        raise UserError(failures[0] + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""))
    images = torch.from_numpy(np.stack([picture.digit for picture in pictures]))
    confidences, predicted = predict_logits(model, images, chosen).softmax(1).max(1)
    names = class_names(run.recipe.dataset)
    results = [
        PicturePrediction(shown(picture.file), names[label], confidence)
        for picture, label, confidence in zip(pictures, predicted.tolist(), confidences.tolist(), strict=True)
    ]
    for picture, result in zip(pictures, results, strict=True):
        if display:
            print(terminal_picture(torch.from_numpy(picture.digit)))
        print(f"{result.file}: {elided(result.predicted, MAX_NAME)} with {result.confidence:.2%}")
    folder = output / run.name / "pictures"
    rows = [replace(result, file=spreadsheet_text(result.file)) for result in results]
    write_whole(folder / "predictions.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.6f").encode())
    save_figure(sheet_figure(pictures, results, run.name), folder / "sheet.png")
    number = "1 picture" if len(pictures) == 1 else f"{len(pictures):,} pictures"
    print(f"{run.name}: {number} read; {shown(folder / 'predictions.csv')} and sheet.png written")
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        total = len(failures) + len(pictures)
        raise UserError(f"{len(failures)} of {total} pictures could not be read, for the reasons above")
    return results


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


def sheet_figure(pictures: Sequence[DigitPicture], results: Sequence[PicturePrediction], run_name: str) -> Figure:
    """Each picture beside the digit that was found in it, with the prediction."""
    images, captions = [], []
    for picture, result in zip(pictures[:MAX_SHOWN], results, strict=False):
        images += [255 - picture.thumbnail, picture.digit]  # the figure draws 255 black
        separator = ": " if len(result.predicted) <= 3 else "\n"
        prediction = f"{elided(result.predicted)}{separator}{result.confidence:.0%}"
        captions += [printable(picture.file.stem), prediction]
    title = f"{run_name}: each picture, then the digit found in it with its prediction"
    if len(pictures) > MAX_SHOWN:
        title += f" (the first {MAX_SHOWN} of {len(pictures):,})"
    return digit_grid_figure(torch.from_numpy(np.stack(images)), captions, columns=2 * PAIRS_PER_ROW, title=title)
