"""Strict readers of array files: idx (LeCun, Cortes and Burges), npy and npz (NumPy). They never unpickle."""

import gzip
import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

MAX_BYTES = 2**30  # no array of a data set is larger
IDX_TYPES: dict[int, np.dtype] = {8: np.dtype("u1"), 12: np.dtype(">i4")}  # third byte of the header -> type


class DamagedFile(ValueError):
    """A data-set file with a wrong header, length, checksum or type of values."""


def read_idx(file: Path | io.BufferedIOBase) -> Tensor:
    """The array in a gzipped idx file.

    Format: bytes 0, 0, type, number of axes; big-endian sizes; big-endian values. gzip's checksum covers every byte.
    Raises DamagedFile.
    """
    try:
        with gzip.open(file) as unzipped:
            content = unzipped.read(MAX_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedFile(f"it is not a complete gzip file: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or not 1 <= content[3] <= 4:
        raise DamagedFile("its header is not that of an idx file of uint8 or int32 values")
    dtype, start = IDX_TYPES[content[2]], 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if not 0 < math.prod(shape) * dtype.itemsize == len(content) - start:
        raise DamagedFile(f"its length does not fit its header, which claims the size {shape}")
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("=")))


def read_npz(path: Path) -> UInt8[Tensor, "..."]:
    """The array `arr_0` of bytes in an npz file, as `numpy.savez(path, array)` writes it. Raises DamagedFile."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
            values = read_npy(file)  # type: ignore[arg-type]  # the file is a BufferedIOBase
    except (zipfile.BadZipFile, KeyError, zlib.error) as error:
        raise DamagedFile(f"it is not a complete npz file of one array: {error}") from None
    if values.dtype != np.uint8:
        raise DamagedFile(f"it holds {values.dtype} values, expected uint8")
    return torch.from_numpy(values)


def read_npy(file: io.BufferedIOBase) -> np.ndarray:
    """The array of integers in an open npy file. Raises DamagedFile. No memory is taken on the word of the header."""
    content = io.BytesIO(file.read(MAX_BYTES))  # reading to the end also makes zip verify its checksum
    try:
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, is_fortran, dtype = headers[np.lib.format.read_magic(content)](content)
    except (ValueError, KeyError, EOFError):
        raise DamagedFile("it is not an npy file") from None
    if dtype.kind not in "iu":
        raise DamagedFile(f"it holds {dtype} values, expected integers")
    values = content.getvalue()[content.tell() :]
    if math.prod(shape) * dtype.itemsize != len(values):
        raise DamagedFile(f"its length does not fit its header, which claims the shape {shape}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if is_fortran else "C").copy()


def as_images(values: Tensor) -> UInt8[Tensor, "n 28 28"]:
    """The same values. Raises DamagedFile unless they are images."""
    if values.dtype != torch.uint8 or values.ndim != 3 or values.shape[1:] != (28, 28):
        raise DamagedFile(f"it holds {values.dtype} values of shape {tuple(values.shape)}, expected uint8 (n, 28, 28)")
    return values


def as_labels(values: Tensor, allowed: range = range(10)) -> Int64[Tensor, " n"]:
    """The values as labels; of QMNIST's label table the first column. Raises DamagedFile unless they are labels."""
    labels = values[:, 0] if values.dtype == torch.int32 and values.ndim == 2 else values
    if labels.ndim != 1 or labels.min() < allowed[0] or labels.max() > allowed[-1]:
        raise DamagedFile(f"it does not hold labels from {allowed[0]} to {allowed[-1]}")
    return labels.long()
