"""Scorecards of a real network: kept by its weights, measured again where that is due."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from study.generalisation.cells import Part
from study.generalisation.keeping import scorecards_folder
from study.generalisation.scorecard_figures import abstaining_figure
from study.generalisation.scorecards import BRIEF, finished_mnist_runs, kept_scorecards, scorecard
from study.generalisation.subject import Subject
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.run_folder import RunFolder

TEST_ALONE = {"the test set": "clean_digits.accuracy"}
ABSTAINING = {"abstaining": Part({}, {"coverage": [0.5, 1.0], "error": [0.0, 0.1]})}
PART = {"cells": {"x": {"value": 1.0}}, "curves": {}, "seconds": 1, "at_hand": {}}
DAMAGES = [
    *("", "{", "[]", "3", "[" * 100_000),
    *(json.dumps({"clean_digits.accuracy": part}) for part in (3, {}, {**PART, "seconds": None})),
    json.dumps({"clean_digits.accuracy": {**PART, "cells": {"x": {"value": "abc"}}}}),
    json.dumps({"clean_digits.accuracy": {**PART, "cells": {"x": {"value": 1.0, "n": None}}}}),
]
FULL_OF_LITTLE = {"other hands": "other_hands.other_hands", "no digit at all": "no_digit.no_digit"}
FURTHER = {"further test digits": "other_hands.further_digits"}


@pytest.fixture
def run(quick_run, home, real_mirror):
    """The quick run in this test's own runs/."""
    (home / "runs").mkdir()
    (home / "runs" / "quick").symlink_to(quick_run.path, target_is_directory=True)
    return RunFolder.find("quick")


@pytest.mark.real_mnist
def test_a_scorecard_is_kept_by_the_weights(run, monkeypatch, home):
    first = scorecard(run, TEST_ALONE, "cpu")
    monkeypatch.setattr("models.trained.load_checkpoint", None)  # nothing is loaded again
    monkeypatch.setattr(Subject, "model", None)
    assert scorecard(run, TEST_ALONE, "cpu") == first
    (home / "runs" / "renamed").symlink_to(run.path.resolve(), target_is_directory=True)
    assert scorecard(RunFolder.find("renamed"), TEST_ALONE, "cpu").parts == first.parts
    assert set(kept_scorecards([record.run for record in finished_mnist_runs()], TEST_ALONE)) == {"quick", "renamed"}
    assert kept_scorecards([run], BRIEF) == {}


@pytest.mark.real_mnist
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_measured_again(run, damage):
    first = scorecard(run, TEST_ALONE, "cpu")
    first.file.write_text(damage)
    assert scorecard(run, TEST_ALONE, "cpu").parts == first.parts
    assert json.loads(first.file.read_text()).keys() == {"clean_digits.accuracy"}


@pytest.mark.real_mnist
def test_what_was_missing_is_measured_when_it_has_come(run, no_network, home, monkeypatch):
    both = TEST_ALONE | FURTHER
    card = scorecard(run, both, "cpu")
    assert card.cells["EMNIST digits"].value is None
    clean = load_dataset("mnist", "test")
    twice = clean.subset(torch.arange(20_000) % 10_000, "twice")
    monkeypatch.setattr("study.generalisation.other_hands.load_test_set", lambda _name: twice)
    assert scorecard(run, both, "cpu") == card  # no other data have come: nothing is tried
    (home / "data" / "emnist_digits").mkdir()
    (home / "data" / "emnist_digits" / "something").touch()
    again = scorecard(run, both, "cpu")
    assert again.cells["EMNIST digits"].value == again.cells["MNIST test"].value


@pytest.mark.real_mnist
def test_a_run_whose_training_digits_are_gone_is_judged_on_the_others(run, quick_run, home):
    moved = RunFolder(shutil.copytree(quick_run.path, home / "runs" / "moved"))
    config = moved.config()
    config["train"]["dataset"] = "csv:/nowhere/train.csv"
    moved.write_json("config.json", config)
    parts = TEST_ALONE | {"calibration": "clean_digits.calibration", "no digit at all": "no_digit.no_digit"}
    card = scorecard(moved, parts, "cpu")
    assert card.cells["MNIST test"].value > 0.98
    assert card.cells["calibration error"].value > 0
    assert "/nowhere/train.csv" in card.cells["temperature"].missing
    assert card.cells["blank: AUROC, energy"].value > 0
    assert "/nowhere/train.csv" in card.cells["blank: AUROC, neighbours"].missing
    assert abstaining_figure({"moved": [replace(card, parts=card.parts | ABSTAINING)]}).axes


@pytest.mark.real_mnist
def test_a_network_of_few_digits_is_judged_as_well(copied_run, real_mirror):
    card = scorecard(RunFolder(copied_run), FULL_OF_LITTLE, "cpu")
    assert "learned from some of them" in card.cells["scikit-learn's digits"].missing
    assert 0 <= card.cells["noise: AUROC, Mahalanobis"].value <= 1


def test_a_network_of_clothes_is_not_judged_as_one_of_digits(copied_run):
    run = RunFolder(copied_run)
    config = run.config()
    config["train"]["dataset"] = "fashion_mnist"
    run.write_json("config.json", config)
    with pytest.raises(UserError, match="fashion_mnist"):
        scorecard(run, TEST_ALONE, "cpu")


@pytest.mark.real_mnist
def test_what_was_measured_before_ctrl_c_is_kept(run, monkeypatch):
    def interrupted(_subject):
        raise KeyboardInterrupt

    monkeypatch.setattr("study.generalisation.clean_digits.abstaining", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scorecard(run, TEST_ALONE | {"abstaining": "clean_digits.abstaining"}, "cpu")
    assert kept_scorecards([run], TEST_ALONE)["quick"].cells["MNIST test"].value > 0.98


@pytest.mark.real_mnist
def test_a_damaged_checkpoint_is_told_and_leaves_nothing(run, quick_run, home, command):
    damaged = RunFolder(shutil.copytree(quick_run.path, home / "runs" / "damaged"))
    content = damaged.best_checkpoint.read_bytes()
    for broken in (b"", content[: len(content) // 2]):
        damaged.best_checkpoint.write_bytes(broken)
        code, _, error = command("scorecard", "damaged")
        assert code == 2 and "best.pt is damaged" in error
    damaged.best_checkpoint.unlink()
    code, _, error = command("scorecard", "damaged")
    assert code == 2 and "best.pt" in error
    assert not scorecards_folder().exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no run at 'nowhere'"),
        (["mine", "--device", "tpu"], "device"),
        (["--runs"], "--runs"),
        ([], "there is no finished run"),
    ],
)
def test_bad_input_is_told_in_two_lines(arguments, message, command, request, home):
    if "mine" in arguments:
        request.getfixturevalue("copied_run")
    code, _, error = command("scorecard", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2


def test_an_unfinished_run_is_told(copied_run):
    (copied_run / "summary.json").unlink()
    with pytest.raises(UserError, match="unfinished"):
        scorecard(RunFolder(copied_run), TEST_ALONE, "cpu")
