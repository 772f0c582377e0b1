"""One array of bytes in NumPy's npz format, checked at every reading."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from utils.idx_files import DamagedFile, read_content


def read_npz(path: Path) -> UInt8[Tensor, "..."]:
    """The array `arr_0`, as `numpy.savez` names a single one. Nothing is ever unpickled.

    Raises DamagedFile; memory is taken only after the header has been read.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
            np.lib.format.read_magic(file)
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
            if dtype != np.uint8 or is_fortran:
                raise DamagedFile(f"it holds {dtype} values, expected bytes row by row")
            content = read_content(file, shape, item_bytes=1)  # type: ignore[arg-type]  # it is a BufferedIOBase
    except DamagedFile:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, zlib.error) as error:
        raise DamagedFile(f"it is no whole npz file of one array: {error}") from None
    return torch.frombuffer(content, dtype=torch.uint8).reshape(shape)
