"""Scorecards of a real network: kept by its weights, measured again where that is due, shown as table and page."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from study.generalisation import corrupted_digits, moved_digits, no_digit, scorecards
from study.generalisation.scorecards import BRIEF, FULL, kept_scorecards, mnist_runs, scorecard
from study.generalisation.subject import Subject
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.mnist_c.corruptions import corrupt
from utils.run_folder import RunFolder
from utils.splits import stratified_sample

TEST_ALONE = {"the test set": "clean_digits.test_accuracy"}
FURTHER = {"further test digits": "other_hands.further_digits"}


@pytest.fixture
def run(quick_run, home, real_mirror):
    """The quick run in this test's own runs/."""
    (home / "runs").mkdir()
    (home / "runs" / "quick").symlink_to(quick_run.path, target_is_directory=True)
    return RunFolder.find("quick")


@pytest.fixture
def small(monkeypatch):
    """Everything measured on fewer digits."""
    thousand = property(lambda self: stratified_sample(whole(self), 1000))
    whole = Subject.test_set.func
    monkeypatch.setattr(Subject, "test_set", thousand)
    monkeypatch.setattr("study.generalisation.clean_digits.CONTESTED_TEST_DIGITS", (1, 2))
    writers = {"test": np.arange(1000) // 20}
    monkeypatch.setattr("study.generalisation.other_hands.mnist_writers", lambda: writers)
    monkeypatch.setattr(moved_digits, "NUM_DIGITS", 20)
    monkeypatch.setattr("study.generalisation.adversarial.NUM_DIGITS", 20)
    monkeypatch.setattr(no_digit, "NUM_TRAINING_DIGITS", 500)
    monkeypatch.setattr(no_digit, "NUM_NOISE", 200)
    monkeypatch.setattr(corrupted_digits, "CORRUPTIONS", ("brightness", "stripe"))

    def corrupted_set(name):
        clean = stratified_sample(load_dataset("mnist", "test"), 1000)
        return replace(clean, images=corrupt(clean.images, name, 0)), "generated"

    monkeypatch.setattr(corrupted_digits, "_corrupted_set", corrupted_set)


@pytest.mark.real_mnist
def test_a_full_scorecard_has_every_cell_and_its_interval(run, small, command):
    code, printed, _ = command("scorecard", "quick")
    assert code == 0
    card = kept_scorecards([run], FULL)["quick"]
    for name, cell in card.cells.items():
        assert cell.missing or cell.low <= cell.value <= cell.high, name
    value = {name: cell.value for name, cell in card.cells.items()}
    assert value["MNIST test"] > 0.98
    assert value["stripe"] < value["MNIST test"]
    assert value["worst of 3 px and 30 degrees"] < 0.6 < value["turned by 20 degrees either way"]
    assert value["turned by 90 degrees either way"] < 0.5
    assert value["PGD of 0.1"] < value["FGSM of 0.1"]
    assert value["shuffled pixels: AUROC, energy"] > 0.9
    assert value["Fashion-MNIST: AUROC, neighbours"] > 0.8
    assert "mirror" in card.cells["QMNIST's other 50,000"].missing
    assert "mnist draw" in card.cells["saved drawings"].missing
    assert "EMNIST digits: data" in printed or "EMNIST digits: /" in printed
    page = (scorecards.scorecards_folder() / "quick.html").read_text()
    assert page.count("<img") == 6 and "Mahalanobis" in page

    written = (scorecards.scorecards_folder() / "quick.html").stat().st_mtime_ns
    code, again, _ = command("scorecard", "quick")
    assert code == 0 and printed.endswith(again)
    assert (scorecards.scorecards_folder() / "quick.html").stat().st_mtime_ns == written


@pytest.mark.real_mnist
def test_a_scorecard_is_kept_by_the_weights(run, monkeypatch, home):
    first = scorecard(run, TEST_ALONE, "cpu")
    monkeypatch.setattr("models.trained.load_checkpoint", None)  # nothing is loaded again
    monkeypatch.setattr(Subject, "model", None)
    assert scorecard(run, TEST_ALONE, "cpu") == first
    (home / "runs" / "renamed").symlink_to(run.path.resolve(), target_is_directory=True)
    assert scorecard(RunFolder.find("renamed"), TEST_ALONE, "cpu").parts == first.parts
    assert set(kept_scorecards(mnist_runs(), TEST_ALONE)) == {"quick", "renamed"}
    assert kept_scorecards([run], BRIEF) == {}


@pytest.mark.real_mnist
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"parts": 3}', b'{"parts": {"the test set": {"cells": 1}}}'])
def test_a_damaged_file_is_measured_again(run, damage):
    first = scorecard(run, TEST_ALONE, "cpu")
    first.file.write_bytes(damage)
    assert scorecard(run, TEST_ALONE, "cpu").parts == first.parts
    assert json.loads(first.file.read_text())["parts"].keys() == {"the test set"}


@pytest.mark.real_mnist
def test_what_was_missing_is_measured_when_it_has_come(run, no_network, home, monkeypatch):
    both = TEST_ALONE | FURTHER
    card = scorecard(run, both, "cpu")
    assert card.cells["EMNIST digits"].value is None
    clean = load_dataset("mnist", "test")
    twice = clean.subset(torch.arange(20_000) % 10_000, "twice")
    monkeypatch.setattr("study.generalisation.other_hands.load_dataset", lambda _name, _split: twice)
    assert scorecard(run, both, "cpu") == card  # no other data have come: nothing is tried
    (home / "data" / "emnist_digits").mkdir()
    again = scorecard(run, both, "cpu")
    assert again.cells["EMNIST digits"].value == again.cells["MNIST test"].value
    assert again.seconds > card.seconds


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
