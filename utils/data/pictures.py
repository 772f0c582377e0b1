"""Folders of picture files that the platform does not publish: photographs, scans and drawings of digits or letters.

A folder is data/NAME, or NAME in MNIST_STUDY_MIRROR if that is a folder. Nothing is downloaded.
"""

import csv
import functools
import io
import os
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from utils.data.digit_preprocessing import FORMATS, read_digit
from utils.data.splits import DIGIT_NAMES, ImageSet
from utils.errors import UserError, brief
from utils.files import data_folder, shown
from utils.outside import read_bounded

LABELS = "labels.csv"
MAX_LABELS_BYTES = 2**24
SUFFIXES = {f".{name.lower()}" for name in (*FORMATS, "jpg", "tif")}


def picture_files(name: str) -> list[Path]:
    """The picture files of a folder, sorted by name; none if there is no such folder."""
    mirror = os.environ.get("MNIST_STUDY_MIRROR", "")
    folders = [data_folder() / name, *([Path(mirror) / name] if mirror and "://" not in mirror else [])]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder else []


def pictures_in_mnist_form(name: str) -> UInt8[Tensor, "n 28 28"]:
    """The pictures of a folder, brought to MNIST's form; those that cannot be read are left out. Raises UserError if
    there is no picture."""
    digits = [digit for path in _existing(name) if (digit := _digit(path)) is not None]
    if not digits:
        raise UserError(f"no picture in {name}/ can be read: expected pictures of a single character each")
    return torch.stack(digits)


def labelled_pictures(name: str) -> ImageSet:
    """The pictures of digits in a folder with labels.csv (columns `file` and `label`), brought to MNIST's form. A
    picture that cannot be read is an empty image, so that it counts as an error.

    Raises UserError if there is no picture, and for a labels.csv that is missing or in another format.
    """
    files = {path.name: path for path in _existing(name)}
    table = next(iter(files.values())).with_name(LABELS)
    try:
        lines = io.StringIO(read_bounded(table, MAX_LABELS_BYTES).decode("utf-8-sig"), newline="")
        rows = [(files[row["file"]], DIGIT_NAMES.index(row["label"].strip())) for row in csv.DictReader(lines)]
    except (OSError, KeyError, ValueError, AttributeError, csv.Error) as error:
        raise UserError(
            f"cannot use {shown(table)} ({brief(error)}): expected a header file,label and a row with a picture of the "
            "folder and its digit"
        ) from None
    if not rows:
        raise UserError(f"{shown(table)} names no picture: expected the rows file,label")
    empty = torch.zeros(28, 28, dtype=torch.uint8)
    digits = [_digit(path) for path, _ in rows]
    images = torch.stack([empty if digit is None else digit for digit in digits])
    return ImageSet(name, images, torch.tensor([label for _, label in rows]))


def _existing(name: str) -> list[Path]:
    files = picture_files(name)
    if not files:
        raise UserError(f"there are no pictures: put them into data/{name}/")
    return files


def _digit(path: Path) -> UInt8[Tensor, "28 28"] | None:
    try:
        return _cached_digit(path, path.stat().st_mtime_ns)
    except OSError:  # such as a link to a file that is gone
        return None


@functools.cache
def _cached_digit(path: Path, _changed: int) -> UInt8[Tensor, "28 28"] | None:
    """The digit in this file, read once for all models. None if there is none."""
    try:
        return torch.from_numpy(read_digit(path))
    except UserError:
        return None
