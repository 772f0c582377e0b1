"""Strict readers of the array files of data sets: idx (LeCun, Cortes and Burges) and npz (NumPy)."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.outside import MAX_ARRAY_BYTES, DamagedFile, read_arrays, read_bounded

IDX_TYPES: dict[int, np.dtype] = {8: np.dtype("u1"), 12: np.dtype(">i4")}  # third byte of the header -> type


def read_idx(file: Path | io.BufferedIOBase) -> Tensor:
    """The array in a gzipped idx file.

    Format: bytes 0, 0, type, number of axes; big-endian sizes; big-endian values. gzip's checksum covers every byte.
    Raises OSError, or DamagedFile.
    """
    zipped = io.BytesIO(read_bounded(file, MAX_ARRAY_BYTES)) if isinstance(file, Path) else file
    try:
        with gzip.open(zipped) as unzipped:
            content = unzipped.read(MAX_ARRAY_BYTES)
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
    """The array `arr_0` of bytes in an npz file, as `numpy.savez(path, array)` writes it. Raises OSError, or
    DamagedFile."""
    values = read_arrays(path, ["arr_0"]).get("arr_0")
    if values is None:
        raise DamagedFile("it is not a complete npz file of one array: arr_0 is missing")
    if values.dtype != np.uint8:
        raise DamagedFile(f"it holds {values.dtype} values, expected uint8")
    return torch.from_numpy(values)


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
