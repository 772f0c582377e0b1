"""`load_dataset`: names, splits and CSV files, good and bad."""

import numpy as np
import pytest
import torch

from utils.csv_name import CsvName
from utils.datasets import load_dataset, load_training_sets
from utils.errors import UserError

ROWS = np.concatenate([np.arange(20).reshape(20, 1) % 10, np.random.default_rng(0).integers(0, 256, (20, 784))], axis=1)
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])


def write_csv(path, rows=ROWS, header=False):
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([HEADER, *lines] if header else lines) + "\n")
    return path


def test_digits_have_mnist_form_and_a_fixed_stratified_split():
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    assert (len(train), len(test)) == (1438, 359)
    assert train.images.shape[1:] == (28, 28) and train.images.dtype == torch.uint8
    shares = train.labels.bincount() / len(train) - test.labels.bincount() / len(test)
    assert shares.abs().max() < 0.005
    assert torch.equal(load_dataset("digits", "test").images, test.images)
    assert {image.numpy().tobytes() for image in train.images}.isdisjoint(
        {image.numpy().tobytes() for image in test.images}
    )


def test_training_sets_leave_validation_out():
    train, validation = load_training_sets("digits", 100)
    assert (len(train), len(validation)) == (1338, 100)
    assert (train.name, validation.name) == ("digits/train", "digits/validation")


@pytest.mark.parametrize("header", [False, True])
def test_csv_with_its_own_test_file(tmp_path, header):
    first, second = write_csv(tmp_path / "a.csv", header=header), write_csv(tmp_path / "b.csv", ROWS[:5], header=header)
    name = f"csv:{first},{second},test={second}"
    train, test = load_dataset(name, "train"), load_dataset(name, "test")
    assert (len(train), len(test)) == (25, 5)
    expected = np.concatenate([ROWS, ROWS[:5]])
    assert np.array_equal(train.images.numpy().reshape(25, 784), expected[:, 1:])
    assert np.array_equal(train.labels.numpy(), expected[:, 0])
    assert np.array_equal(test.labels.numpy(), ROWS[:5, 0])


def test_csv_without_test_file_holds_a_fifth_out(tmp_path):
    name = f"csv:{write_csv(tmp_path / 'a.csv', np.concatenate([ROWS] * 3))}"
    assert (len(load_dataset(name, "train")), len(load_dataset(name, "test"))) == (48, 12)
    name += ",test=0.25"
    assert (len(load_dataset(name, "train")), len(load_dataset(name, "test"))) == (45, 15)


@pytest.mark.parametrize("end", ["", ",test=/c.csv", ",test=0.05"])
def test_the_name_of_csv_files_from_the_root(tmp_path, monkeypatch, end):
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
def test_bad_csv_names_file_line_and_reason(tmp_path, rows, message):
    path = write_csv(tmp_path / "bad.csv", rows)
    with pytest.raises(UserError) as error:
        load_dataset(f"csv:{path}", "train")
    assert "bad.csv" in str(error.value) and message in str(error.value)


def test_bad_first_row_is_no_header(tmp_path):
    path = write_csv(tmp_path / "bad.csv", change(0, 9, "abc"))
    with pytest.raises(UserError, match="line 1, column 10: 'abc'"):
        load_dataset(f"csv:{path}", "train")


def test_quoted_cells(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text("\n".join(",".join(f'"{value}"' for value in row) for row in ROWS) + "\n")
    assert len(load_dataset(f"csv:{path},test={path}", "train")) == 20


def test_text_in_a_cell_behind_a_header(tmp_path):
    path = write_csv(tmp_path / "bad.csv", change(0, 9, "abc"), header=True)
    with pytest.raises(UserError, match="line 2, column 10: 'abc'"):
        load_dataset(f"csv:{path}", "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"\xff\xfe\x00\x01", "not text"), (HEADER.encode() + b"\n", "no row")],
)
def test_empty_binary_and_headed_only_files(tmp_path, content, message):
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_dataset(f"csv:{path}", "train")


@pytest.mark.parametrize("name", ["mnst", "csv", "csv:", "csv:test=x.csv", "csv:/nowhere/x.csv"])
def test_unknown_names_say_what_is_expected(name):
    with pytest.raises(UserError, match=r"[Ee]xpected"):
        load_dataset(name, "train")


def test_unknown_split():
    with pytest.raises(UserError, match="expected train or test"):
        load_dataset("digits", "validation")
