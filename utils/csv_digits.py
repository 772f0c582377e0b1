"""Digits in CSV files: a label and 784 pixel values a row, with or without a header line."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.errors import UserError

NUM_PIXELS = 784
MAX_BYTES = 2**30  # 70,000 digits of MNIST take about 130 MB
EXPECTED = "expected a label from 0 to 9 and 784 pixel values from 0 to 255"


def csv_digits(files: list[str]) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """The digits of all files, in order. Raises UserError with the file, the line and the reason."""
    tables = [_read_table(Path(file)) for file in files]
    images = np.concatenate([table[:, 1:].astype(np.uint8) for table in tables]).reshape(-1, 28, 28)
    labels = np.concatenate([table[:, 0].astype(np.int64) for table in tables])
    return torch.from_numpy(images), torch.from_numpy(labels)


def _read_table(path: Path) -> np.ndarray:
    """Rows of label and pixels, int32 (n, 785), all values checked."""
    first_line = _first_line(path)
    has_header = not _is_number(first_line[0])
    if len(first_line) == NUM_PIXELS:
        raise UserError(f"{path} has 784 columns, so it has no labels: {EXPECTED}")
    if len(first_line) != NUM_PIXELS + 1:
        raise UserError(f"{path}, line 1: {len(first_line)} columns; {EXPECTED}")
    try:
        frame = pd.read_csv(path, header=None, skiprows=int(has_header), dtype=np.int32, encoding="utf-8-sig")
    except (ValueError, OverflowError, pd.errors.ParserError, pd.errors.EmptyDataError):
        raise UserError(_first_fault(path, has_header)) from None
    table = frame.to_numpy()
    if ((table < 0) | (table > 255)).any() or (table[:, 0] > 9).any():
        raise UserError(_first_fault(path, has_header))
    return table


def _first_line(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than 1 GiB; split it into several files and join them by commas")
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline(2**16).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read {path}: {reason}. Expected a CSV file of digits.") from None
    if not line:
        raise UserError(f"{path} is empty or begins with an empty line: {EXPECTED} in each row")
    return _cells(line)


def _cells(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.strip().split(",")]


def _first_fault(path: Path, has_header: bool) -> str:
    """What is wrong in which line of a file that could not be read whole."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and has_header:
                continue
            cells = _cells(line)
            if len(cells) != NUM_PIXELS + 1:
                return f"{path}, line {number}: {len(cells)} columns; {EXPECTED}"
            for column, cell in enumerate(cells, start=1):
                limit = 9 if column == 1 else 255
                if not cell.isdecimal() or int(cell) > limit:
                    return f"{path}, line {number}, column {column}: '{cell[:20]}'; {EXPECTED}"
    return f"{path} holds no row of digits: {EXPECTED}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
