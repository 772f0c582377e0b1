"""Data sets in CSV files: splits, names, and messages for invalid files."""

import numpy as np
import pytest

from utils.data import load_dataset
from utils.data.csv_digits import CsvName
from utils.errors import UserError

ROWS = np.concatenate([np.arange(20).reshape(20, 1) % 10, np.random.default_rng(0).integers(0, 256, (20, 784))], axis=1)
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])


def write_csv(path, rows=ROWS, header=False):
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([HEADER, *lines] if header else lines) + "\n")
    return path


@pytest.mark.parametrize("header", [False, True])
def test_csv_with_a_test_file(tmp_path, header):
    first, second = write_csv(tmp_path / "a.csv", header=header), write_csv(tmp_path / "b.csv", ROWS[:5], header=header)
    name = f"csv:{first},{second},test={second}"
    train, test = load_dataset(name, "train"), load_dataset(name, "test")
    assert (len(train), len(test)) == (25, 5)
    expected = np.concatenate([ROWS, ROWS[:5]])
    assert np.array_equal(train.images.numpy().reshape(25, 784), expected[:, 1:])
    assert np.array_equal(train.labels.numpy(), expected[:, 0])
    assert np.array_equal(test.labels.numpy(), ROWS[:5, 0])


def test_csv_without_a_test_file_holds_out_a_fraction(tmp_path):
    name = f"csv:{write_csv(tmp_path / 'a.csv', np.concatenate([ROWS] * 3))}"
    assert (len(load_dataset(name, "train")), len(load_dataset(name, "test"))) == (48, 12)
    name += ",test=0.25"
    assert (len(load_dataset(name, "train")), len(load_dataset(name, "test"))) == (45, 15)


def test_too_few_digits_for_a_test_set_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot hold out 4 of .*\nThe test set is 20% of all digits: add digits"):
        load_dataset(f"csv:{write_csv(tmp_path / 'a.csv')}", "test")


@pytest.mark.parametrize("end", ["", ",test=/c.csv", ",test=0.05"])
def test_csv_names_get_absolute_paths(tmp_path, monkeypatch, end):
    monkeypatch.chdir(tmp_path)
    assert str(CsvName.parse(f"csv:a.csv,/b.csv{end}")) == f"csv:{tmp_path}/a.csv,/b.csv{end}"


def change(row, column, value):
    rows = ROWS.astype(object)
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:, 1:], "has no labels"),
        (ROWS[:, :700], "700 columns"),
        (change(3, 5, 256), "line 4, column 6: '256'"),
        (change(3, 5, -1), "line 4, column 6: '-1'"),
        (change(3, 5, ""), "line 4, column 6: ''"),
        (change(3, 5, "1.5"), "line 4, column 6: '1.5'"),
        (change(3, 5, 10**30), "line 4, column 6"),
        (change(2, 0, 10), "line 3, column 1: '10'"),
        (change(2, 0, "3,4"), "line 3: 786 columns"),
    ],
)
def test_invalid_csv_is_refused_with_file_line_and_reason(tmp_path, rows, message):
    path = write_csv(tmp_path / "bad.csv", rows)
    with pytest.raises(UserError) as error:
        load_dataset(f"csv:{path}", "train")
    assert "bad.csv" in str(error.value) and message in str(error.value)


def test_an_invalid_first_row_is_not_a_header(tmp_path):
    path = write_csv(tmp_path / "bad.csv", change(0, 9, "abc"))
    with pytest.raises(UserError, match="line 1, column 10: 'abc'"):
        load_dataset(f"csv:{path}", "train")


def test_line_numbers_count_the_header(tmp_path):
    path = write_csv(tmp_path / "bad.csv", change(0, 9, "abc"), header=True)
    with pytest.raises(UserError, match="line 2, column 10: 'abc'"):
        load_dataset(f"csv:{path}", "train")


def test_quoted_cells_are_read(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text("\n".join(",".join(f'"{value}"' for value in row) for row in ROWS) + "\n")
    assert len(load_dataset(f"csv:{path},test={path}", "train")) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"\xff\xfe\x00\x01", "not text"), (HEADER.encode() + b"\n", "no row")],
)
def test_empty_binary_and_header_only_files_are_refused(tmp_path, content, message):
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_dataset(f"csv:{path}", "train")
