"""What the network of a run says of digits in picture files: a line each, a table, a sheet of what was seen."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from models.trained import load_trained
from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.figures import digit_grid_figure, save_figure
from utils.handwriting import prepare
from utils.image_set import DIGIT_NAMES
from utils.paths import printable, shown
from utils.pictures import FORMATS, read_picture
from utils.run_folder import RunFolder
from utils.terminal import terminal_picture

SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
MAX_SHOWN = 200  # pictures on the sheet
PAIRS_A_ROW = 5


@dataclass(frozen=True)
class SeenPicture:
    """A picture file, and the digit that was found in it."""

    file: Path
    thumbnail: UInt8[np.ndarray, "28 28"]
    """The picture itself, dark where it is dark; only for the sheet."""
    digit: UInt8[np.ndarray, "28 28"]


def predict_pictures(run: RunFolder, paths: tuple[Path, ...], output: Path, display: bool) -> None:
    """Prints and writes what the network says of these files, and of those in these folders.

    Raises UserError at the end where some could not be read; the others are judged before.
    """
    model = load_trained(run)
    seen, failures = see_pictures(picture_files(paths))
    if not seen:
        raise UserError(failures[0] + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""))
    images = torch.from_numpy(np.stack([one.digit for one in seen]))
    probabilities = predict_logits(model, images, torch.device("cpu")).softmax(1)
    confidences, predicted = probabilities.max(1)
    answers = [
        (shown(one.file), DIGIT_NAMES[label], confidence)
        for one, label, confidence in zip(seen, predicted.tolist(), confidences.tolist(), strict=True)
    ]
    for one, (name, label, confidence) in zip(seen, answers, strict=True):
        if display:
            print(terminal_picture(torch.from_numpy(one.digit)))
        print(f"{name}: {label} with {confidence:.2%}")
    folder = output / run.path.name / "pictures"
    table = pd.DataFrame(answers, columns=["file", "predicted", "confidence"])
    write_whole(folder / "predictions.csv", table.to_csv(index=False, float_format="%.6f").encode())
    save_figure(sheet(seen, answers, run.path.name), folder / "sheet.png")
    print(f"{run.path.name}: {len(seen):,} read; {shown(folder / 'predictions.csv')}, sheet.png beside it")
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        raise UserError(f"{len(failures)} of {len(seen) + len(failures)} pictures were not read, as said above")


def picture_files(paths: tuple[Path, ...]) -> list[Path]:
    """The files, folders replaced by the pictures in them. Raises UserError for a folder without."""
    files: list[Path] = []
    for path in paths:
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path} has no pictures: expected files of {', '.join(FORMATS)}")
        files += found
    return files


def see_pictures(files: list[Path]) -> tuple[list[SeenPicture], list[str]]:
    """The digits in these files, and why there is none in the others."""
    seen, failures = [], []
    for file in tqdm(files, desc="pictures", disable=None, leave=False):
        try:
            grey = read_picture(file)
            digit = prepare(grey).digit
        except UserError as error:
            message = str(error)
            failures.append(printable(message if str(file) in message else f"{file}: {message}"))
            continue
        seen.append(SeenPicture(file, _thumbnail(grey), digit))
    return seen, failures


def _thumbnail(grey: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """On a square of white."""
    picture = Image.fromarray((grey * 255).round().astype(np.uint8))
    picture.thumbnail((28, 28))
    square = Image.new("L", (28, 28), 255)
    square.paste(picture, ((28 - picture.width) // 2, (28 - picture.height) // 2))
    return np.asarray(square)


def sheet(seen: list[SeenPicture], answers: list[tuple[str, str, float]], run_name: str) -> Figure:
    """Each picture beside the digit that was found in it, and what that was taken for."""
    images, captions = [], []
    for one, (_, label, confidence) in zip(seen[:MAX_SHOWN], answers, strict=False):
        images += [255 - one.thumbnail, one.digit]  # the sheet draws ink dark
        captions += [printable(one.file.stem[:14]), f"{label}: {confidence:.0%}"]
    title = f"{run_name}: the picture, and the digit found in it with the answer"
    if len(seen) > MAX_SHOWN:
        title += f" (the first {MAX_SHOWN} of {len(seen):,})"
    return digit_grid_figure(torch.from_numpy(np.stack(images)), captions, columns=2 * PAIRS_A_ROW, title=title)
