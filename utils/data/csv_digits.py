"""Digits in CSV files: a label and 784 pixel values in each row, or the pixels alone, with or without a header."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.errors import UserError
from utils.files import shown
from utils.outside import read_bounded

NUM_PIXELS = 784
NUMBER = re.compile(r"[+-]?\d{0,20}\.?\d{1,20}([eE][+-]?\d{1,4})?")
MAX_LINE = 2**16  # characters of a line that are looked at; a line of 785 cells has at most 3,200
MAX_BYTES = 2**30  # MNIST's 70,000 digits take about 130 MB
EXPECTED = (  # without and with labels
    "expected 784 pixel values from 0 to 255 and no label",
    "expected a label from 0 to 9 and 784 pixel values from 0 to 255",
)


def csv_digits(files: Sequence[str]) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """Images and labels of all files, in order. Raises UserError with file, line and reason."""
    tables = [_read_table(Path(file), has_labels=True) for file in files]
    images = np.concatenate([table[:, 1:].astype(np.uint8) for table in tables]).reshape(-1, 28, 28)
    labels = np.concatenate([table[:, 0].astype(np.int64) for table in tables])
    return torch.from_numpy(images), torch.from_numpy(labels)


def csv_images(file: str) -> UInt8[Tensor, "n 28 28"]:
    """Images of a file without labels. Raises UserError with file, line and reason."""
    return torch.from_numpy(_read_table(Path(file), has_labels=False).astype(np.uint8)).view(-1, 28, 28)


def _read_table(path: Path, has_labels: bool) -> np.ndarray:
    """Rows of a label, if the file has labels, and 784 pixels, int32 (n, 785 or 784). All values are checked."""
    content = _content(path)
    try:
        first = _cells(_text(content, "strict").readline(MAX_LINE))
    except UnicodeDecodeError:
        raise UserError(f"cannot read {shown(path)}: it is not text. Expected a CSV file of digits.") from None
    expected, num_columns = EXPECTED[has_labels], NUM_PIXELS + has_labels
    if first == [""]:
        raise UserError(f"{shown(path)} is empty or begins with an empty line: {expected} in each row")
    if len(first) == NUM_PIXELS + (not has_labels):
        raise UserError(f"{shown(path)} has {len(first)} columns, so it has {'no ' * has_labels}labels: {expected}")
    has_header = not NUMBER.fullmatch(first[0])
    limits = np.full(num_columns, 255)
    if has_labels:
        limits[0] = 9
    is_valid = len(first) == num_columns
    try:
        if is_valid:
            rows = io.BytesIO(content)
            table = pd.read_csv(rows, header=None, skiprows=int(has_header), dtype=np.int32, encoding="utf-8-sig")
            values = table.to_numpy()
            is_valid = bool(values.shape[1] == num_columns and values.min() >= 0 and (values <= limits).all())
    except (ValueError, OverflowError):  # pandas' errors of parsing are ValueErrors
        is_valid = False
    if not is_valid:
        raise UserError(f"{shown(path)}{_first_error(_text(content, 'replace'), has_header, limits)}; {expected}")
    return values


def _content(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"cannot read {shown(path)}: {error.strerror}.\n"
            "Expected a CSV file of digits, of at most 1 GiB; several files are joined by commas."
        ) from None


def _text(content: bytes, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", errors=errors)


def _first_error(lines: io.TextIOWrapper, has_header: bool, limits: np.ndarray) -> str:
    """The first invalid line of a file that could not be read, and what is wrong with it."""
    number = 0
    while line := lines.readline(MAX_LINE):
        number += 1
        cells = _cells(line)
        if len(cells) != len(limits):
            return f", line {number}: {len(cells)} columns"
        for column, (cell, limit) in enumerate(zip(cells, limits, strict=True), start=1):
            is_value = cell.isascii() and cell.isdecimal() and len(cell) <= 9 and int(cell) <= limit
            if not is_value and (number > 1 or not has_header):
                return f", line {number}, column {column}: '{cell[:20]}'"
    return " holds no row of digits"


def _cells(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.strip().split(",")]


TEST_FRACTION = 0.2  # of the digits, for data sets without a test set
CSV_FORM = "csv:FILE[,FILE...][,test=FILE or fraction]"


@dataclass(frozen=True)
class CsvName:
    """The name of a data set in CSV files: `csv:FILE[,FILE...]`, with `,test=FILE` for a file of test digits or
    `,test=FRACTION` for a fraction of the digits as the test set."""

    train_files: tuple[str, ...]
    test_files: tuple[str, ...] = ()
    test_fraction: float = TEST_FRACTION

    @staticmethod
    def parse(name: str) -> "CsvName":
        """Raises UserError if the name has no training file."""
        entries = [entry for entry in name.removeprefix("csv:").split(",") if entry]
        train_files = tuple(entry for entry in entries if not entry.startswith("test="))
        test = tuple(entry.removeprefix("test=") for entry in entries if entry.startswith("test="))
        if not train_files:
            raise UserError(f"'{name}' names no training file: expected {CSV_FORM}")
        if len(test) == 1 and re.fullmatch(r"0?\.\d+", test[0]):
            return CsvName(train_files, test_fraction=float(test[0]))
        return CsvName(train_files, test)

    def __str__(self) -> str:
        """The name with absolute paths, so that a run can be evaluated from any folder."""
        entries = [str(Path(file).absolute()) for file in self.train_files]
        entries += [f"test={Path(file).absolute()}" for file in self.test_files]
        if not self.test_files and self.test_fraction != TEST_FRACTION:
            entries.append(f"test={self.test_fraction}")
        return f"csv:{','.join(entries)}"
