"""The published test digits of MNIST-C, where somebody has put them into data/: nothing is fetched.

From Zenodo, record 3239543: either data/mnist_c.zip as it came, or what it holds, data/mnist_c/<corruption>/.
"""

import functools
import hashlib
import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.errors import UserError
from utils.idx_files import DamagedFile, as_labels
from utils.paths import data_folder, shown

ZIP_MD5 = "4b34b33045869ee6d424616cd3a65da3"
NUM_DIGITS = 10_000
IMAGE_SHAPES = [(NUM_DIGITS, 28, 28, 1), (NUM_DIGITS, 28, 28)]
MAX_BYTES = 2**23  # the images of one corruption take 7.84 MB
CHUNK_BYTES = 2**20
ADVICE = "Fetch it again from Zenodo, record 3239543, or move it away: then the digits are generated."
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

Read = Callable[[str], bytes]  # the content of a file by its name


def official_digits(name: str) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"], Path] | None:
    """The 10,000 test digits under this corruption, their labels, and the folder or zip they lie in; None without one.

    Raises UserError where they lie there, but damaged or in another form.
    """
    folder, archive = data_folder() / "mnist_c" / name, data_folder() / "mnist_c.zip"
    if folder.exists():
        images, labels = _checked(lambda file_name: _head(folder / file_name), folder)
        return images, labels, folder
    if archive.exists():
        state = archive.stat()
        if _md5(archive, state.st_size, state.st_mtime_ns) != ZIP_MD5:
            raise UserError(f"{shown(archive)} is damaged: its checksum is wrong.\n{ADVICE}")
        images, labels = _checked(lambda file_name: _member(archive, f"{name}/{file_name}"), archive)
        return images, labels, archive
    return None


def _checked(read: Read, place: Path) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    file_name = "test_images.npy"
    try:
        images = _array(read(file_name), IMAGE_SHAPES, "B")
        file_name = "test_labels.npy"
        labels = _array(read(file_name), [(NUM_DIGITS,)], "lbBhHiILqQ")
        return torch.from_numpy(images.reshape(-1, 28, 28)), as_labels(torch.from_numpy(labels.astype(np.int64)))
    except (DamagedFile, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(place)}: cannot use {file_name}: {reason}.\n{ADVICE}") from None


def _array(content: bytes, shapes: list[tuple[int, ...]], item_types: str) -> np.ndarray:
    """The array of an npy file, if its header says one of these shapes, and a type of these letters as NumPy has them.

    Nothing is ever unpickled. Raises DamagedFile.
    """
    file = io.BytesIO(content)
    try:
        shape, is_fortran_order, dtype = HEADER_READERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError):
        raise DamagedFile("it is no npy file") from None
    if shape not in shapes or is_fortran_order or dtype.char not in item_types:
        raise DamagedFile(f"it holds {dtype} of shape {shape}, expected {np.dtype(item_types[0])} of shape {shapes[0]}")
    values = file.read()
    if len(values) != math.prod(shape) * dtype.itemsize:
        raise DamagedFile("its length does not fit its header")
    return np.frombuffer(values, dtype).reshape(shape).copy()


def _head(path: Path) -> bytes:
    """The file, or so much of it that it is seen to be too long."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def _member(archive: Path, ending: str) -> bytes:
    """The same of the zip's file whose path ends so."""
    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if f"/{name}".endswith(f"/{ending}")]
        if not names:
            raise DamagedFile(f"there is no {ending}")
        with files.open(names[0]) as file:
            return file.read(MAX_BYTES)


@functools.cache
def _md5(path: Path, _size: int, _changed: int) -> str:
    """Of this file as it is now: computed once for all its corruptions."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            digest.update(part)
    return digest.hexdigest()
