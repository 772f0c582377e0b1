"""Files from outside: regular files only, read with a bound; JSON and NumPy arrays checked; text for tables.

A named pipe or a device would block or never end, so such files are refused. Nothing is unpickled, and no memory is
taken on the word of a header.
"""

import errno
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import CONTROL_CHARACTERS

MAX_JSON_BYTES = 2**28
MAX_ARRAY_BYTES = 2**28  # EMNIST's 240,000 digits take 188 MB
MAX_NUMBER = 2**63
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class DamagedFile(ValueError):
    """A file with a wrong header, length, checksum or type of values."""


def open_regular(path: Path) -> io.BufferedReader:
    """The file, open for reading. Raises OSError for anything but a regular file, without waiting for a writer."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL character in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder" if is_folder else "it is a pipe or a device", str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file. Raises OSError if it is larger; at most `max_bytes` + 1 are read."""
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EINVAL, f"it is larger than {max_bytes // 2**20} MiB", str(path))
    return content


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises OSError, or ValueError as `parse_json`."""
    return parse_json(read_bounded(path, MAX_JSON_BYTES).decode())


def parse_json(text: str) -> Any:
    """The value of JSON text. Raises ValueError for anything else: NaN and infinite numbers, whole numbers from
    2**63 on, brackets nested too deeply, and control characters in its texts."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_number)
        for part in _texts(value):
            if CONTROL_CHARACTERS.search(part.replace("\n", " ").replace("\t", " ")):
                raise ValueError("it has control characters")
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _number(text: str) -> float:
    number, is_whole = float(text), text.lstrip("-").isdecimal()
    if not abs(number) < (MAX_NUMBER if is_whole else math.inf):
        raise ValueError(f"the number {text[:20]} is too large")
    return int(text) if is_whole else number


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value:
            yield from _texts(part)
        for part in value.values() if isinstance(value, dict) else ():
            yield from _texts(part)


def read_arrays(
    path: Path, names: Collection[str] | None = None, max_bytes: int = MAX_ARRAY_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of numbers in an npz file by name; those of `names` that it holds, by default all.

    Raises OSError, or DamagedFile for a file in another format or with more than `max_bytes` in all.
    """
    arrays: dict[str, np.ndarray] = {}
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                for name in members if names is None else [name for name in names if name in members]:
                    with archive.open(members[name]) as member:
                        arrays[name] = read_npy(member, max_bytes)
                        max_bytes -= arrays[name].nbytes
        except DamagedFile as error:
            raise DamagedFile(f"{name}: {error}") from None
        except Exception as error:  # zipfile raises many types for a damaged file
            raise DamagedFile(f"it is not a complete npz file: {error}") from None
    return arrays


def read_npy(file: Any, max_bytes: int = MAX_ARRAY_BYTES) -> np.ndarray:
    """The array of numbers in an open npy file. Raises DamagedFile."""
    content = io.BytesIO(file.read(max_bytes + 1))  # reading to the end also makes zip verify its checksum
    if len(content.getbuffer()) > max_bytes:
        raise DamagedFile(f"it is larger than {max_bytes // 2**20} MiB")
    try:
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, is_fortran, dtype = headers[np.lib.format.read_magic(content)](content)
    except Exception:  # NumPy raises many types for a damaged header
        raise DamagedFile("it is not an npy file") from None
    if dtype.kind not in "iuf":
        raise DamagedFile(f"it holds {dtype} values, expected numbers")
    values = content.getvalue()[content.tell() :]
    if any(side < 0 for side in shape) or len(shape) > 4 or math.prod(shape) * dtype.itemsize != len(values):
        raise DamagedFile(f"its length does not fit its header, which claims the shape {str(shape)[:80]}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if is_fortran else "C").copy()


def spreadsheet_text(text: str) -> str:
    """The text of a table cell; with an apostrophe before it if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
