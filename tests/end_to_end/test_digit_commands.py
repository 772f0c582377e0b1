"""`mnist display` and `mnist predict`: one digit, looked at and named."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from utils.data.datasets import load_dataset
from utils.figures import terminal_picture
from utils.run import Run


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Pictures are saved where the command is given."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_display_draws_the_digit_and_names_its_label(command, working_folder):
    digit = load_dataset("digits", "train")
    code, printed, error = command("display", "3", "--train", "--dataset", "digits", "-s")
    assert code == 0, error
    assert f"train digit no. 3: a {int(digit.labels[3])}\n" in printed
    assert terminal_picture(digit.images[3], has_colours=False) in printed
    saved = np.asarray(Image.open(working_folder / "digits-train-3.png"))
    assert np.array_equal(saved[::10, ::10], digit.images[3].numpy())


def test_display_without_an_id_takes_any(command):
    shown = {re.search(r"test digit no\. \d+", command("display", "--dataset", "digits")[1])[0] for _ in range(6)}
    assert len(shown) > 1


def test_display_writes_the_picture_into_the_output_folder(command, home, working_folder):
    code, printed, _ = command("display", "7", "--dataset", "digits")
    assert code == 0 and "test digit no. 7: a" in printed
    assert (home / "data_inspection" / "output" / "digits-test-7.png").exists()
    assert not list(working_folder.iterdir())


def test_a_coloured_picture_has_both_rows_of_each_line():
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[1, 2] = 200
    lines = terminal_picture(image, has_colours=True).splitlines()
    assert len(lines) == 14 and all(line.count("▀") == 28 for line in lines)
    assert "\x1b[38;2;0;0;0;48;2;200;200;200m▀" in lines[0]


def test_predict_says_what_the_run_answered(command, copied_run, home):
    answers = Run(copied_run).predictions("test")
    probabilities = torch.from_numpy(answers.logits[5]).softmax(0)
    code, printed, error = command("predict", "5", "--display")
    assert code == 0, error
    prediction = f"mine predicts {answers.predicted[5]} with {probabilities.max():.2%}"
    assert f"test digit no. 5: {prediction}; the label is {answers.labels[5]}" in printed
    assert command("predict", "mine", "5", "--display", "--device", "cpu")[1] == printed
    bars = [float(share) for share in re.findall(r"^  \d +([\d.]+)%", printed, flags=re.MULTILINE)]
    assert bars == pytest.approx((probabilities * 100).tolist(), abs=0.01)


def test_predict_says_how_a_run_is_made(command):
    code, _, error = command("predict", "5")
    assert code == 2 and "there is no finished run" in error and "mnist train" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["display", "359", "--dataset", "digits"], "ID 359: digits/test has 359 digits; expected 0 to 358"),
        (["display", "--dataset", "digits", "--", "-1"], "ID -1"),
        (["display", "seven"], "seven"),
        (["display", "0", "--dataset", "letters"], "unknown data set 'letters'"),
        (["display", "0", "1"], "1"),
        (["predict", "359"], "expected 0 to 358"),
        (["predict", "nothing", "1"], "no run at 'nothing'"),
        (["predict", "x"], "no run at 'x'"),
        (["predict", "1", "2", "3"], "such as mnist predict RUN 947"),
        (["predict", "mine", "1", "--image", "x.png"], "leave ID"),
        (["predict", "1", "--dataset", "csv:nothing.csv"], "nothing.csv"),
        (["predict", "1", "--device", "tpu"], "tpu"),
    ],
)
def test_bad_input(command, copied_run, working_folder, arguments, message):
    code, printed, error = command(*arguments)
    assert code == 2 and printed == ""
    assert error.startswith("error: ") and message in error and len(error.splitlines()) <= 2
    assert not list(working_folder.iterdir())


def test_retrain_takes_the_next_seed_and_keeps_the_network_only_when_asked(command, copied_run):
    code, printed, error = command("retrain", "mine")
    assert code == 0, error
    assert "mine had seed 0" in printed and "test accuracy" in printed
    assert printed.endswith("next: mnist retrain mine --save\n")
    assert [run.path.name for run in Run.all()] == ["mine"]

    assert command("retrain", "-s")[0] == 0
    newest = Run.finished()[-1]
    assert newest.recipe == Run(copied_run).recipe.with_seed(1)
    assert f": {newest.path.name} predicts " in command("predict", "5")[1]


@pytest.mark.parametrize("arguments", [["now"], ["--keep"], ["-s", "2"], ["nothing", "--save"], ["--device", "tpu"]])
def test_retrain_refuses_what_it_does_not_know(command, copied_run, arguments):
    code, _, error = command("retrain", *arguments)
    assert code == 2 and error.startswith("error: ") and len(error.splitlines()) <= 2
    assert [run.path.name for run in Run.all()] == ["mine"]
