"""Predictions for single digits, picture files and whole splits."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_interpretation.predict import (
    evaluate_runs,
    load_run_split,
    load_shared_split,
    load_test_predictions,
    predict_digit,
)
from model_interpretation.predict_pictures import predict_pictures
from utils.errors import UserError
from utils.run import Run


@pytest.fixture
def run(copied_run):
    return Run(copied_run)


@pytest.fixture
def pictures(tmp_path, digits):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(["one.png", "two.jpg", "a$b_$^{.png", "four.gif"]):
        Image.fromarray(digits.images[number].numpy()).resize((280, 280)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_the_splits_of_a_run_are_those_of_its_training(run):
    sizes = {split: len(load_run_split(run, split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 1318, "validation": 120, "test": 359}
    assert load_run_split(run, "test").name == "digits/test"


def test_runs_with_different_digits_share_no_split(run):
    other = Run(shutil.copytree(run.path, run.path.with_name("other")))
    config = (other.path / "config.json").read_text()
    assert '"train_size": 1.0' in config
    (other.path / "config.json").write_text(config.replace('"train_size": 1.0', '"train_size": 0.5'))
    assert len(load_shared_split([run, other], "test")) == 359
    with pytest.raises(UserError, match="these runs have different train digits"):
        load_shared_split([run, other], "train")


def test_stored_test_predictions_must_belong_to_the_test_digits(run):
    test_set = load_run_split(run, "test")
    assert load_test_predictions(run, test_set).accuracy == run.summary.test_accuracy
    with pytest.raises(UserError, match="belong to other digits"):
        load_test_predictions(run, load_run_split(run, "train"))


def test_evaluate_repeats_the_accuracy_of_the_run(run, capsys):
    assert evaluate_runs([run], device="cpu").num_correct == run.summary.test_num_correct
    assert evaluate_runs([run, run], device="cpu").num_correct == run.summary.test_num_correct
    assert "digits/test: ensemble of 2 networks, accuracy" in capsys.readouterr().out
    assert evaluate_runs([run], "train", dataset="digits", device="cpu").num_digits == 1438


def test_predict_prints_the_prediction_and_a_bar_per_class(run, capsys):
    predictions = run.predictions("test")
    predict_digit(run, 5, "test")
    first, *bars = capsys.readouterr().out.splitlines()
    predicted, confidence = predictions.predicted[5], predictions.confidence[5]
    assert first.startswith(f"test digit no. 5: mine predicts {predicted} with {confidence:.2%}; ")
    assert first.endswith(f"the label is {predictions.labels[5]}") and len(bars) == 10
    predict_digit(run, 5, "train", display=True, device="cpu")
    assert "train digit no. 5" in capsys.readouterr().out
    predict_digit(run, 5, "validation", device="cpu")
    assert "validation digit no. 5" in capsys.readouterr().out


def test_a_folder_of_pictures_gets_lines_a_table_and_a_sheet(run, pictures, tmp_path, capsys):
    results = predict_pictures(run, [pictures], tmp_path / "out", display=True)
    folder = tmp_path / "out" / "mine" / "pictures"
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    assert [Path(row["file"]).name for row in rows] == ["a$b_$^{.png", "four.gif", "one.png", "two.jpg"]
    assert [row["predicted"] for row in rows] == [result.predicted for result in results]
    assert all(row["predicted"] in "0123456789" and 0 < float(row["confidence"]) <= 1 for row in rows)
    printed = capsys.readouterr().out
    assert printed.count(" with ") == 4 and "4 pictures read" in printed
    assert Image.open(folder / "sheet.png").width > 100


def test_a_picture_that_is_not_like_a_digit_gets_a_warning(run, pictures, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(noise).resize((280, 280), Image.Resampling.NEAREST).save(pictures / "noise.png")
    results = {Path(result.file).name: result for result in predict_pictures(run, [pictures], tmp_path / "out")}
    flagged = {name for name, result in results.items() if result.out_of_distribution}
    assert "noise.png" in flagged and len(flagged) < len(results)
    printed = capsys.readouterr().out
    [line] = [line for line in printed.splitlines() if "noise.png" in line]
    assert line.endswith(f"; not like a digit: similarity {results['noise.png'].similarity:.3f}")
    assert (
        printed.count("not like a digit") == len(flagged) + 1 and "95 % of the validation digits are above" in printed
    )
    rows = list(csv.DictReader((tmp_path / "out" / "mine" / "pictures" / "predictions.csv").open()))
    assert {row["out_of_distribution"] for row in rows} == {"True", "False"}
    assert all(0 < float(row["similarity"]) <= 1 for row in rows)


def test_without_the_digits_of_the_run_pictures_are_predicted_without_the_check(run, pictures, tmp_path, capsys):
    config = run.path / "config.json"
    config.write_text(config.read_text().replace('"dataset": "digits"', '"dataset": "csv:gone.csv"'))
    results = predict_pictures(Run(run.path), [pictures], tmp_path / "out")
    assert {(result.similarity, result.out_of_distribution) for result in results} == {(None, None)}
    printed = capsys.readouterr()
    assert "not checked whether the pictures are like the training digits: " in printed.err
    assert printed.out.count(" with ") == 4 and "not like" not in printed.out


def test_unreadable_pictures_are_named_after_the_others_are_predicted(run, pictures, tmp_path, capsys):
    (pictures / "five.png").write_bytes(b"five")
    Image.new("L", (100, 100), 255).save(pictures / "six.png")
    with pytest.raises(UserError, match="3 of 7 pictures could not be read"):
        predict_pictures(run, [pictures, Path("nothing.png")], tmp_path / "out")
    printed = capsys.readouterr()
    assert printed.out.count(" with ") == 4
    assert all(name in printed.err for name in ("five.png", "six.png", "nothing.png"))
    assert "no stroke" in printed.err  # of the empty picture


def test_a_file_name_that_is_not_valid_text(run, pictures, tmp_path, capsys):
    name = os.fsdecode(b"seven-\xff.png")
    (pictures / "one.png").rename(pictures / name)
    predict_pictures(run, [pictures / name], tmp_path / "out")
    assert "seven-?.png" in capsys.readouterr().out


def test_a_folder_without_pictures_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no pictures: expected files of PNG"):
        predict_pictures(run, [tmp_path / "empty"], tmp_path / "out")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image"], "--image without a file"),
        (["--image", "nothing.png"], "cannot read nothing.png"),
        (["--image", "one.png", "--train"], "leave ID"),
        (["3", "--image", "one.png"], "leave ID"),
        (["--image", "one.png", "--dataset", "digits"], "leave ID"),
    ],
)
def test_bad_input(command, copied_run, tmp_path, flags, message):
    code, _, error = command("predict", *flags, "--output", str(tmp_path / "none"))
    assert code == 2 and message in error and len(error.splitlines()) <= 2
    assert not (tmp_path / "none").exists()


def test_the_command_averages_over_shifts(command, copied_run):
    code, printed, error = command("evaluate", "mine", "--test-time-shifts", "1", "--device", "cpu")
    assert code == 0 and "digits/test: mean over 9 shifts, accuracy" in printed, error
    code, _, error = command("evaluate", "mine", "--test-time-shifts", "9", "--device", "cpu")
    assert code == 2 and "--test-time-shifts 9: expected 0 to 4 pixels" in error


def test_the_command_evaluates_an_ensemble_or_the_newest_run(command, copied_run):
    shutil.copytree(copied_run, copied_run.with_name("other"))
    for names, result in ((["mine", "other"], "ensemble of 2 networks"), ([], "digits/test: accuracy")):
        code, printed, error = command("evaluate", *names, "--device", "cpu")
        assert code == 0 and result in printed, error
