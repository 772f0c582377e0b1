"""`mnist submit`: Kaggle's two files in, submission.csv out; `mnist evaluate` of several runs."""

import numpy as np
import pytest

from models.registry import load_trained
from trainers.kaggle import submission
from utils.data.datasets import load_dataset
from utils.evaluation import predict_logits
from utils.run import Run

PIXELS = [f"pixel{number}" for number in range(784)]


def write_rows(path, names, rows):
    path.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")


@pytest.fixture
def kaggle(tmp_path, monkeypatch, digits):
    """A folder with train.csv, 400 labelled digits, and test.csv, 50 without labels."""
    folder = tmp_path / "kaggle"
    folder.mkdir()
    monkeypatch.chdir(folder)
    pixels, labels = digits.images.view(-1, 784).numpy(), digits.labels.numpy()
    write_rows(folder / "train.csv", ["label", *PIXELS], np.column_stack([labels, pixels])[:400].tolist())
    write_rows(folder / "test.csv", PIXELS, pixels[400:450].tolist())
    return folder


def written_labels(folder):
    header, *rows = (folder / "submission.csv").read_text().splitlines()
    assert header == "ImageId,Label"
    numbers, labels = zip(*(row.split(",") for row in rows), strict=True)
    assert numbers == tuple(str(number) for number in range(1, len(rows) + 1))
    return [int(label) for label in labels]


def test_the_form_of_a_submission():
    assert submission([7, 0]) == "ImageId,Label\n1,7\n2,0\n"


def test_an_ensemble_is_trained_and_its_mean_probability_counts(command, kaggle, digits):
    code, printed, error = command(
        "submit", "--train", "train.csv", "--test", "test.csv", "--model", "linear", "--ensemble", "2"
    )
    assert code == 0, error
    runs = Run.finished()
    assert [run.summary.seed for run in runs] == [0, 1]
    assert [len(run.predictions("test").labels) for run in runs] == [20, 20]  # a twentieth of 400
    images = digits.images[400:450]
    models = [load_trained(run) for run in runs]
    device = next(models[0].parameters()).device
    mean = sum(predict_logits(model, images, device).softmax(1) for model in models)
    assert written_labels(kaggle) == mean.argmax(1).tolist()

    dataset = runs[0].recipe.dataset
    test_set = load_dataset(dataset, "test")
    mean = sum(predict_logits(model, test_set.images, device).softmax(1) for model in models)
    num_right = int((mean.argmax(1) == test_set.labels).sum())
    assert f"({num_right} of 20 correct)" in next(line for line in printed.splitlines() if line.startswith("together"))
    code, printed, _ = command("evaluate", *(str(run.path) for run in runs))
    assert code == 0 and f"ensemble of 2 networks, accuracy {num_right / 20:.2%} ({num_right} of 20 correct)" in printed


def test_a_trained_run_names_the_digits(command, kaggle, copied_run, digits):
    assert command("submit", "mine", "--test", "test.csv")[0] == 0
    logits = predict_logits(load_trained(Run(copied_run)), digits.images[400:450], digits.labels.device)
    assert written_labels(kaggle) == logits.argmax(1).tolist()


def change_cell(path, line, column, value):
    rows = [row.split(",") for row in path.read_text().splitlines()]
    rows[line - 1][column - 1 : column] = value
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


@pytest.mark.parametrize(
    ("file", "line", "column", "value", "message"),
    [
        ("test.csv", 4, 6, ["256"], "test.csv, line 4, column 6: '256'"),
        ("test.csv", 4, 6, ["x"], "test.csv, line 4, column 6: 'x'"),
        ("test.csv", 5, 6, [], "test.csv, line 5: 783 columns"),
        ("train.csv", 3, 1, ["12"], "train.csv, line 3, column 1: '12'"),
        ("train.csv", 9, 700, ["-3"], "train.csv, line 9, column 700: '-3'"),
    ],
)
def test_a_bad_cell_is_named_and_nothing_written(command, kaggle, file, line, column, value, message):
    change_cell(kaggle / file, line, column, value)
    code, _, error = command("submit", "--train", "train.csv", "--test", "test.csv", "--model", "linear")
    assert code == 2 and message in error and len(error.splitlines()) <= 2
    assert not (kaggle / "submission.csv").exists() and not Run.all()


@pytest.mark.parametrize("width", [784, 786])
def test_rows_of_another_width_than_the_header(command, kaggle, width):
    header, *rows = (kaggle / "train.csv").read_text().splitlines()
    changed = [",".join([*row.split(","), "0"][:width]) for row in rows]
    (kaggle / "train.csv").write_text("\n".join([header, *changed]) + "\n")
    code, _, error = command("submit", "--train", "train.csv", "--test", "test.csv", "--model", "linear")
    assert code == 2 and f"train.csv, line 2: {width} columns" in error and not Run.all()


@pytest.mark.parametrize("name", ["x" * 300 + ".csv", "test.csv/submission.csv"])
def test_a_place_where_no_file_can_be(command, kaggle, copied_run, name):
    code, _, error = command("submit", "mine", "--test", "test.csv", "--output", name)
    assert code == 2 and error.startswith("error: cannot ") and len(error.splitlines()) <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "train.csv", "--test", "train.csv"], "train.csv has 785 columns, so it has labels"),
        (["--train", "test.csv", "--test", "test.csv"], "test.csv has 784 columns, so it has no labels"),
        (["--train", "empty.csv", "--test", "test.csv"], "empty.csv is empty"),
        (["--train", "train.csv", "--test", "empty.csv"], "empty.csv is empty"),
        (["--train", "train.csv", "--test", "nothing.csv"], "nothing.csv"),
        (["--train", "train.csv", "--test", "test.csv", "--model", "kaggle_net"], "kaggle_net"),
        (["--train", "train.csv", "--test", "test.csv", "--device", "tpu"], "device 'tpu' is not on this machine"),
        (["--train", "train.csv", "--test", "test.csv", "--ensemble", "0"], "--ensemble 0"),
        (["--train", "train.csv", "--test", "test.csv", "--output", "."], "a file of its own"),
        (["--train", "train.csv", "--test", "test.csv", "--output", "test.csv"], "a file of its own"),
        (["--train", "train.csv", "--test", "test.csv", "--output", "train.csv"], "a file of its own"),
        (["--train", "a,b.csv", "--test", "test.csv"], "comma"),
        (["--test", "test.csv"], "--train train.csv"),
        (["nothing", "--test", "test.csv"], "no run at 'nothing'"),
        (["one", "--test", "test.csv", "--ensemble", "3"], "--ensemble"),
        (["--train", "train.csv"], "--test"),
    ],
)
def test_bad_input(command, kaggle, arguments, message):
    (kaggle / "empty.csv").touch()
    before = sorted(kaggle.iterdir())
    code, _, error = command("submit", *arguments)
    assert code == 2 and error.startswith("error: ") and message in error and len(error.splitlines()) <= 2
    assert sorted(kaggle.iterdir()) == before and not Run.all()
