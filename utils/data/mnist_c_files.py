"""The published test digits of MNIST-C: data/mnist_c.zip, or its unpacked folders data/mnist_c/<corruption>/.

The files are never downloaded. They come from Zenodo, record 3239543.
"""

import functools
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.data.array_files import DamagedFile, as_images, as_labels, read_npy
from utils.errors import UserError
from utils.files import data_folder, shown

ZIP_MD5 = "4b34b33045869ee6d424616cd3a65da3"
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
    state = archive.stat()
    if _md5(archive, state.st_size, state.st_mtime_ns) != ZIP_MD5:
        raise UserError(f"{shown(archive)} is damaged: its checksum is wrong.\n{ADVICE}")
    return *_read_digits(zipfile.Path(archive, f"mnist_c/{name}/"), archive), archive


def _read_digits(folder: Path | zipfile.Path, place: Path) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """Images and labels in a folder, which may be inside the zip file. `place` names the folder in messages."""
    file_name = "test_images.npy"
    try:
        images = _read_array(folder / file_name)
        images = as_images(images.squeeze(3) if images.shape[3:] == (1,) else images)
        file_name = "test_labels.npy"
        return images, as_labels(_read_array(folder / file_name).long())
    except (DamagedFile, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(place)}: cannot use {file_name}: {reason}.\n{ADVICE}") from None


def _read_array(path: Path | zipfile.Path) -> Tensor:
    with path.open("rb") as file:
        values = read_npy(file)  # type: ignore[arg-type]  # both kinds of path open a BufferedIOBase
    if values.shape[:1] != (NUM_DIGITS,):
        raise DamagedFile(f"it holds {values.dtype} values of shape {values.shape}, expected {NUM_DIGITS:,} digits")
    return torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.int64))


@functools.cache
def _md5(path: Path, _size: int, _changed: int) -> str:
    """The checksum of the file in its present state, computed once for all corruptions."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
