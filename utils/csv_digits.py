"""Digits in CSV files: a label and 784 pixel values a row, or the pixels alone, with or without a header line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.errors import UserError

NUM_PIXELS = 784
MAX_BYTES = 2**30  # 70,000 digits of MNIST take about 130 MB
EXPECTED = (  # without and with labels
    "expected 784 pixel values from 0 to 255 and no label",
    "expected a label from 0 to 9 and 784 pixel values from 0 to 255",
)


def csv_digits(files: Sequence[str]) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """The digits of all files, in order. Raises UserError with the file, the line and the reason."""
    tables = [_read_table(Path(file), has_labels=True) for file in files]
    images = np.concatenate([table[:, 1:].astype(np.uint8) for table in tables]).reshape(-1, 28, 28)
    labels = np.concatenate([table[:, 0].astype(np.int64) for table in tables])
    return torch.from_numpy(images), torch.from_numpy(labels)


def csv_images(file: str) -> UInt8[Tensor, "n 28 28"]:
    """Digits without labels, in the file's order. Raises UserError with the file, the line and the reason."""
    return torch.from_numpy(_read_table(Path(file), has_labels=False).astype(np.uint8)).view(-1, 28, 28)


def _read_table(path: Path, has_labels: bool) -> np.ndarray:
    """Rows of label, where there are any, and pixels, int32 (n, 785 or 784), all values checked."""
    first_line = _first_line(path, has_labels)
    has_header = not _is_number(first_line[0])
    expected, num_columns = EXPECTED[has_labels], NUM_PIXELS + has_labels
    if len(first_line) == NUM_PIXELS + (not has_labels):
        raise UserError(f"{path} has {len(first_line)} columns, so it has {'no ' * has_labels}labels: {expected}")
    if len(first_line) != num_columns:
        raise UserError(f"{path}, line 1: {len(first_line)} columns; {expected}")
    try:
        frame = pd.read_csv(path, header=None, skiprows=int(has_header), dtype=np.int32, encoding="utf-8-sig")
    except (ValueError, OverflowError, pd.errors.ParserError, pd.errors.EmptyDataError):
        raise UserError(_first_fault(path, has_header, has_labels)) from None
    table = frame.to_numpy()
    if table.shape[1] != num_columns:
        raise UserError(_first_fault(path, has_header, has_labels))
    if ((table < 0) | (table > 255)).any() or (has_labels and (table[:, 0] > 9).any()):
        raise UserError(_first_fault(path, has_header, has_labels))
    return table


def _first_line(path: Path, has_labels: bool) -> list[str]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than 1 GiB; split it into several files and join them by commas")
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline(2**16).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read {path}: {reason}. Expected a CSV file of digits.") from None
    if not line:
        raise UserError(f"{path} is empty or begins with an empty line: {EXPECTED[has_labels]} in each row")
    return _cells(line)


def _cells(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.strip().split(",")]


def _first_fault(path: Path, has_header: bool, has_labels: bool) -> str:
    """What is wrong in which line of a file that could not be read whole."""
    expected, num_columns = EXPECTED[has_labels], NUM_PIXELS + has_labels
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and has_header:
                continue
            cells = _cells(line)
            if len(cells) != num_columns:
                return f"{path}, line {number}: {len(cells)} columns; {expected}"
            for column, cell in enumerate(cells, start=1):
                limit = 9 if has_labels and column == 1 else 255
                if not cell.isdecimal() or int(cell) > limit:
                    return f"{path}, line {number}, column {column}: '{cell[:20]}'; {expected}"
    return f"{path} holds no row of digits: {expected}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
