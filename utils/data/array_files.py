"""Strict readers of array files: idx (LeCun, Cortes and Burges), npy and npz (NumPy).

The readers check the whole header before they allocate memory, and they never unpickle.
"""

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

MAX_BYTES = 2**30  # no array of a data set is larger
IDX_TYPES = {8: torch.uint8, 12: torch.int32}  # third byte of the header -> type
NPY_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class DamagedFile(ValueError):
    """A data-set file with a wrong header, length, checksum or type of values."""


def read_idx(path: Path) -> Tensor:
    """The array in a gzipped idx file.

    Format: bytes 0, 0, type, number of axes; big-endian sizes; big-endian values. gzip's checksum covers every byte.
    Raises DamagedFile.
    """
    try:
        with gzip.open(path) as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not 1 <= magic[3] <= 4:
                raise DamagedFile("its header is not that of an idx file of uint8 or int32 values")
            item_type = IDX_TYPES[magic[2]]
            shape = [int.from_bytes(file.read(4), "big") for _ in range(magic[3])]
            content = _read_values(file, shape, item_type.itemsize)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedFile(f"it is not a complete gzip file: {error}") from None
    values = torch.frombuffer(content, dtype=torch.uint8)
    if item_type.itemsize > 1:  # big-endian in the file
        values = values.view(-1, item_type.itemsize).flip(1).contiguous().view(item_type)
    return values.reshape(shape)


def read_npz(path: Path) -> UInt8[Tensor, "..."]:
    """The array `arr_0` of bytes in an npz file, as `numpy.savez(path, array)` writes it. Raises DamagedFile."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
            values = read_npy(file)  # type: ignore[arg-type]  # the file is a BufferedIOBase
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
        raise DamagedFile(f"it is not a complete npz file of one array: {error}") from None
    if values.dtype != np.uint8:
        raise DamagedFile(f"it holds {values.dtype} values, expected uint8")
    return torch.from_numpy(values)


def read_npy(file: io.BufferedIOBase) -> np.ndarray:
    """The array of integers in an open npy file. Raises DamagedFile."""
    try:
        shape, is_fortran_order, dtype = NPY_HEADER_READERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError):
        raise DamagedFile("it is not an npy file") from None
    if dtype.kind not in "iu" or is_fortran_order:
        raise DamagedFile(f"it holds {dtype} values of shape {shape}, expected integers in row-major order")
    return np.frombuffer(_read_values(file, shape, dtype.itemsize), dtype).reshape(shape)


def _read_values(file: io.BufferedIOBase, shape: Sequence[int], item_bytes: int) -> bytearray:
    """The rest of the file, which must be exactly an array of this shape. Raises DamagedFile."""
    num_bytes = math.prod(shape) * item_bytes
    if not 0 < num_bytes <= MAX_BYTES:
        raise DamagedFile(f"its header claims the size {list(shape)}")
    content = bytearray(num_bytes)
    length = file.readinto(content)
    if length != num_bytes or file.read(1):  # reading past the end makes gzip and zip verify their checksums
        raise DamagedFile(f"its length does not fit its header, which claims the size {list(shape)}")
    return content


def as_images(values: Tensor) -> UInt8[Tensor, "n 28 28"]:
    """The same values. Raises DamagedFile unless they are images."""
    if values.dtype != torch.uint8 or values.ndim != 3 or values.shape[1:] != (28, 28):
        raise DamagedFile(f"it holds {values.dtype} values of shape {tuple(values.shape)}, expected uint8 (n, 28, 28)")
    return values


def as_labels(values: Tensor) -> Int64[Tensor, " n"]:
    """The values as labels; of QMNIST's label table the first column. Raises DamagedFile unless they are labels."""
    labels = values[:, 0] if values.dtype == torch.int32 and values.ndim == 2 else values
    if labels.ndim != 1 or labels.min() < 0 or labels.max() > 9:
        raise DamagedFile("it does not hold labels from 0 to 9")
    return labels.long()
