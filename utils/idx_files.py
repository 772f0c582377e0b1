"""The idx format of LeCun, Cortes and Burges, checked at every reading."""

import gzip
import io
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

MAX_BYTES = 2**30  # no file of ours comes near; a header that claims more is damaged
ITEM_TYPES = {8: torch.uint8, 12: torch.int32}  # the third byte of the header


class DamagedFile(ValueError):
    """A file of a data set whose header, length, checksum or kind of values is wrong."""


def read_idx(path: Path) -> Tensor:
    """The array in a gzipped idx file: bytes 0, 0, type, number of axes; big-endian sizes; big-endian values.

    gzip's own checksum covers every byte. Raises DamagedFile; memory is taken only after the header has been read.
    """
    try:
        with gzip.open(path) as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in ITEM_TYPES or not 1 <= magic[3] <= 4:
                raise DamagedFile("its header is not that of an idx file of bytes or whole numbers")
            item_type = ITEM_TYPES[magic[2]]
            shape = [int.from_bytes(file.read(4), "big") for _ in range(magic[3])]
            content = read_content(file, shape, item_type.itemsize)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedFile(f"it is no whole gzip file: {error}") from None
    values = torch.frombuffer(content, dtype=torch.uint8)
    if item_type.itemsize > 1:  # big-endian in the file
        values = values.view(-1, item_type.itemsize).flip(1).contiguous().view(item_type)
    return values.reshape(shape)


def read_content(file: io.BufferedIOBase, shape: Sequence[int], item_bytes: int) -> bytearray:
    """All that is left of a file, which must be an array of this shape.

    Raises DamagedFile; for a shape that no file of ours has, before memory is taken.
    """
    if not 0 < math.prod(shape) * item_bytes <= MAX_BYTES:
        raise DamagedFile(f"its header claims the size {list(shape)}")
    content = bytearray(math.prod(shape) * item_bytes)
    length = file.readinto(content)
    if length != len(content) or file.read(1):  # reading past the end makes gzip and zip check their checksums
        raise DamagedFile(f"its length does not fit its header, which claims the size {list(shape)}")
    return content


def as_images(values: Tensor) -> UInt8[Tensor, "n 28 28"]:
    """The values where they are images. Raises DamagedFile."""
    if values.dtype != torch.uint8 or values.ndim != 3 or values.shape[1:] != (28, 28):
        raise DamagedFile(f"it holds values of shape {tuple(values.shape)}, expected (n, 28, 28)")
    return values


def as_labels(values: Tensor) -> Int64[Tensor, " n"]:
    """The values where they are labels; of QMNIST's table of labels the first column. Raises DamagedFile."""
    labels = values[:, 0] if values.dtype == torch.int32 and values.ndim == 2 else values
    if labels.ndim != 1 or labels.min() < 0 or labels.max() > 9:
        raise DamagedFile("it does not hold labels from 0 to 9")
    return labels.long()
