"""The idx format of LeCun, Cortes and Burges: fetched where missing, checked at every reading."""

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.downloads import held_file, mnist_mirrors

# torchvision's checksums, held here because torchvision takes a second to import.
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
FILE_PREFIX = {"train": "train", "test": "t10k"}
MAX_VALUES = 2**30  # no idx file of ours comes near; a header that claims more is damaged
ITEM_TYPES = {8: torch.uint8, 12: torch.int32}  # the third byte of the header


class DamagedFile(ValueError):
    """An idx file whose header, length or checksum is wrong."""


def read_mnist_images(split: str) -> UInt8[Tensor, "n 28 28"]:
    """The images of a split, as stored. Raises UserError where the file cannot be had whole."""
    file_name = f"{FILE_PREFIX[split]}-images-idx3-ubyte.gz"
    return read_or_fetch("mnist", file_name, MNIST_MD5[file_name], _as_images, mnist_mirrors)


def read_mnist_labels(split: str) -> Int64[Tensor, " n"]:
    """The labels of a split, 0 to 9. Raises UserError where the file cannot be had whole."""
    file_name = f"{FILE_PREFIX[split]}-labels-idx1-ubyte.gz"
    return read_or_fetch("mnist", file_name, MNIST_MD5[file_name], _as_labels, mnist_mirrors)


def read_or_fetch(
    dataset: str, file_name: str, md5: str, check: Callable[[Tensor], Tensor], mirrors: Callable[[], list[str]]
) -> Tensor:
    """What `check` makes of the values of data/<dataset>/<file_name>, fetched where that must be.

    Raises UserError where nobody has it.
    """
    return check(read_idx(held_file(dataset, file_name, md5, mirrors)))


def _as_images(values: Tensor) -> UInt8[Tensor, "n 28 28"]:
    if values.dtype != torch.uint8 or values.ndim != 3 or values.shape[1:] != (28, 28):
        raise DamagedFile(f"it holds values of shape {tuple(values.shape)}, expected (n, 28, 28)")
    return values


def _as_labels(values: Tensor) -> Int64[Tensor, " n"]:
    if values.ndim != 1 or values.max() > 9:
        raise DamagedFile("it does not hold labels from 0 to 9")
    return values.long()


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
            if not 0 < math.prod(shape) <= MAX_VALUES:
                raise DamagedFile(f"its header claims the size {shape}")
            content = bytearray(math.prod(shape) * item_type.itemsize)
            length = file.readinto(content)
            if length != len(content) or file.read(1):  # reading past the end makes gzip check its checksum
                raise DamagedFile(f"its length does not fit its header, which claims the size {shape}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedFile(f"it is no whole gzip file: {error}") from None
    values = torch.frombuffer(content, dtype=torch.uint8)
    if item_type.itemsize > 1:  # big-endian in the file
        values = values.view(-1, item_type.itemsize).flip(1).contiguous().view(item_type)
    return values.reshape(shape)
