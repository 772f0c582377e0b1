"""The published test digits of MNIST-C: data/mnist_c.zip, or its unpacked folders data/mnist_c/<corruption>/.

The files are never downloaded. They come from Zenodo, record 3239543. The zip file is verified by its sha256. For the
unpacked images no checksum is published: their labels must be those of MNIST's test digits.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.data.array_files import as_images, as_labels
from utils.data.downloads import sha256_of
from utils.errors import UserError
from utils.files import data_folder, shown
from utils.outside import DamagedFile, open_regular, read_npy

ZIP_SHA256 = "af9ee8c6a815870c7fdde5af84c7bf8db0bcfa1f41056db83871037fba70e493"
LABELS_SHA256 = "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"  # as bytes
NUM_DIGITS = 10_000
ADVICE = "Download it again from Zenodo, record 3239543, or move it away to use generated digits."


def published_digits(name: str) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"], Path] | None:
    """The 10,000 test digits under this corruption, their labels, and their folder or zip file. None if neither exists.

    Raises UserError for files that are damaged or in another format.
    """
    folder, archive = data_folder() / "mnist_c" / name, data_folder() / "mnist_c.zip"
    if folder.exists():
        return *_read_digits(folder, folder), folder
    if not archive.exists():
        return None
    try:
        is_published = sha256_of(archive) == ZIP_SHA256
    except OSError as error:
        raise UserError(f"cannot read {shown(archive)}: {error.strerror}.\n{ADVICE}") from None
    if not is_published:
        raise UserError(f"{shown(archive)} is damaged: its checksum is wrong.\n{ADVICE}")
    return *_read_digits(zipfile.Path(archive, f"mnist_c/{name}/"), archive), archive


def _read_digits(folder: Path | zipfile.Path, place: Path) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """Images and labels in a folder, which may be inside the zip file. `place` names the folder in messages."""
    file_name = "test_images.npy"
    try:
        images = _read_array(folder / file_name)
        images = as_images(images.squeeze(3) if images.shape[3:] == (1,) else images)
        file_name = "test_labels.npy"
        labels = as_labels(_read_array(folder / file_name).long())
        if hashlib.sha256(labels.to(torch.uint8).numpy().tobytes()).hexdigest() != LABELS_SHA256:
            raise DamagedFile("it does not hold the labels of MNIST's test digits")
        return images, labels
    except (DamagedFile, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(place)}: cannot use {file_name}: {reason}.\n{ADVICE}") from None


def _read_array(path: Path | zipfile.Path) -> Tensor:
    with open_regular(path) if isinstance(path, Path) else path.open("rb") as file:
        values = read_npy(file)
    if values.dtype.kind == "f":
        raise DamagedFile(f"it holds {values.dtype} values, expected integers")
    if values.shape[:1] != (NUM_DIGITS,):
        raise DamagedFile(f"it holds {values.dtype} values of shape {values.shape}, expected {NUM_DIGITS:,} digits")
    return torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.int64))
