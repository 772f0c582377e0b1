"""The published test digits of MNIST-C: data/mnist_c.zip, or its unpacked folders data/mnist_c/<corruption>/.

The files are never downloaded. They come from Zenodo, record 3239543.
"""

import functools
import hashlib
import io
import zipfile
from collections.abc import Callable
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
MAX_BYTES = 2**23  # the images of one corruption take 7.84 MB
CHUNK_BYTES = 2**20
ADVICE = "Download it again from Zenodo, record 3239543, or move it away to use generated digits."

Reader = Callable[[str], bytes]  # file name -> content


def published_digits(name: str) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"], Path] | None:
    """The 10,000 test digits under this corruption, their labels, and their folder or zip file. None if neither exists.

    Raises UserError for files that are damaged or in another format.
    """
    folder, archive = data_folder() / "mnist_c" / name, data_folder() / "mnist_c.zip"
    if folder.exists():
        return *_read_digits(lambda file_name: _read_file(folder / file_name), folder), folder
    if archive.exists():
        state = archive.stat()
        if _md5(archive, state.st_size, state.st_mtime_ns) != ZIP_MD5:
            raise UserError(f"{shown(archive)} is damaged: its checksum is wrong.\n{ADVICE}")
        return *_read_digits(lambda file_name: _read_member(archive, f"{name}/{file_name}"), archive), archive
    return None


def _read_digits(read: Reader, place: Path) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    file_name = "test_images.npy"
    try:
        images = _read_array(read(file_name))
        images = as_images(images.squeeze(3) if images.shape[3:] == (1,) else images)
        file_name = "test_labels.npy"
        return images, as_labels(_read_array(read(file_name)).long())
    except (DamagedFile, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(place)}: cannot use {file_name}: {reason}.\n{ADVICE}") from None


def _read_array(content: bytes) -> Tensor:
    values = read_npy(io.BytesIO(content))
    if values.shape[:1] != (NUM_DIGITS,):
        raise DamagedFile(f"it holds {values.dtype} values of shape {values.shape}, expected {NUM_DIGITS:,} digits")
    return torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.int64))


def _read_file(path: Path) -> bytes:
    """The content, or the first 8 MiB of a file that is too long."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def _read_member(archive: Path, ending: str) -> bytes:
    """The same for the file in the zip whose path ends like this."""
    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if f"/{name}".endswith(f"/{ending}")]
        if not names:
            raise DamagedFile(f"there is no {ending}")
        with files.open(names[0]) as file:
            return file.read(MAX_BYTES)


@functools.cache
def _md5(path: Path, _size: int, _changed: int) -> str:
    """The checksum of the file in its present state, computed once for all corruptions."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
