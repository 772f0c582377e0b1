"""Every metric against scikit-learn or a hand; the pictures for what they draw; the command."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics

from model_interpretation.classification_metrics import (
    CONTESTED_TEST_DIGITS,
    brier_score,
    calibration_bins,
    classification_metrics,
    expected_calibration_error,
)
from model_interpretation.interpretation_figures import history_figure, reliability_figure
from utils.answers import Answers, load_answers
from utils.errors import UserError
from utils.image_set import DIGIT_NAMES
from utils.run_folder import EpochMetrics

TRUTH = np.array([0, 1, 1, 2])


def answers_with(confidences, predicted, labels):
    """Answers that give the predicted class this probability and share the rest evenly."""
    logits = np.zeros((len(labels), 10), np.float32)
    for row, confidence, answer in zip(logits, confidences, predicted, strict=True):
        row[:] = math.log((1 - confidence) / 9)
        row[answer] = math.log(confidence)
    return Answers(logits, np.array(labels))


SMALL = answers_with([0.9, 0.8, 0.5, 0.7], [0, 1, 3, 2], TRUTH.tolist())


def random_answers(seed=0, n=500):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, n)
    logits = generator.normal(size=(n, 10)).astype(np.float32)
    logits[np.arange(n), labels] += 2
    return Answers(logits, labels)


def test_by_hand():
    metrics = classification_metrics(SMALL, DIGIT_NAMES, contested=(2,))
    assert (metrics["num_digits"], metrics["num_correct"], metrics["accuracy"]) == (4, 3, 0.75)
    assert metrics["uncontested_accuracy"] == 1.0
    assert metrics["classes"]["1"] == {"num_digits": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert metrics["classes"]["3"]["precision"] == 0.0
    rest = 0.5 / 9  # the third digit's true class shares what its answer leaves
    likelihoods = [0.9, 0.8, rest, 0.7]
    assert metrics["negative_log_likelihood"] == pytest.approx(-np.mean(np.log(likelihoods)), rel=1e-6)
    # R2: residual sum (3-1)^2 = 4 over total sum around the mean 1: 1 + 0 + 0 + 1 = 2
    assert metrics["r2"] == pytest.approx(1 - 4 / 2)
    squared = [
        (1 - 0.9) ** 2 + 9 * (0.1 / 9) ** 2,
        (1 - 0.8) ** 2 + 9 * (0.2 / 9) ** 2,
        0.5**2 + (1 - rest) ** 2 + 8 * rest**2,
        (1 - 0.7) ** 2 + 9 * (0.3 / 9) ** 2,
    ]
    assert metrics["brier_score"] == pytest.approx(np.mean(squared), rel=1e-6)
    # bins of 1/15: 0.9 -> 13, 0.8 -> 12, 0.5 -> 7, 0.7 -> 10, each with one digit
    assert metrics["expected_calibration_error"] == pytest.approx((0.1 + 0.2 + 0.5 + 0.3) / 4, rel=1e-5)


def test_against_scikit_learn():
    answers = random_answers()
    metrics = classification_metrics(answers, DIGIT_NAMES)
    labels, predicted, probabilities = answers.labels, answers.predicted, answers.probabilities
    assert metrics["accuracy"] == sklearn.metrics.accuracy_score(labels, predicted)
    assert metrics["macro"]["f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="macro"))
    assert metrics["top_2_accuracy"] == sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=2)
    assert metrics["negative_log_likelihood"] == pytest.approx(sklearn.metrics.log_loss(labels, probabilities))
    one_against_rest = [
        sklearn.metrics.brier_score_loss(labels == digit, probabilities[:, digit]) for digit in range(10)
    ]
    assert brier_score(answers) == pytest.approx(sum(one_against_rest))
    assert "uncontested_accuracy" not in metrics


def test_calibration_bins_count_every_digit():
    answers = random_answers(1)
    confidence, accuracy, counts = calibration_bins(answers)
    assert counts.sum() == 500
    filled = counts > 0
    assert (accuracy[filled] * counts[filled]).sum() == pytest.approx(answers.is_right.sum())
    assert np.isnan(confidence[~filled]).all()
    sure = answers_with([1 - 1e-12] * 4, [0, 1, 1, 2], TRUTH.tolist())
    assert expected_calibration_error(sure) == pytest.approx(0, abs=1e-6)


def test_contested_digits_are_the_fifteen_of_cleanlab():
    assert len(CONTESTED_TEST_DIGITS) == 15 and {947, 6651} <= set(CONTESTED_TEST_DIGITS)


def test_order_of_mistakes_and_unsure_answers():
    answers = answers_with([0.6, 0.9, 0.8, 0.7], [5, 6, 1, 2], TRUTH.tolist())
    assert answers.worst_mistakes(5).tolist() == [1, 0]
    assert answers.least_sure_right(5).tolist() == [3, 2]
    assert answers.worst_mistakes(1).tolist() == [1]


def test_answers_survive_the_file(tmp_path):
    SMALL.save(tmp_path / "x.npz")
    loaded = load_answers(tmp_path / "x.npz")
    assert np.array_equal(loaded.logits, SMALL.logits) and np.array_equal(loaded.labels, SMALL.labels)


@pytest.mark.parametrize(
    "damage", ["missing", "garbage", "truncated", "other arrays", "pickle", "shape", "nan", "label"]
)
def test_damaged_predictions_are_refused(tmp_path, damage):
    path = tmp_path / "x.npz"
    logits, labels = SMALL.logits, SMALL.labels
    if damage == "garbage":
        path.write_bytes(b"no archive")
    elif damage == "truncated":
        SMALL.save(path)
        path.write_bytes(path.read_bytes()[:-60])
    elif damage == "other arrays":
        np.savez(path, a=logits)
    elif damage == "pickle":
        np.savez(path, logits=np.array([{"a": 1}], dtype=object), labels=labels)
    elif damage == "shape":
        np.savez(path, logits=logits[:, :9], labels=labels)
    elif damage == "nan":
        np.savez(path, logits=logits * np.nan, labels=labels)
    elif damage == "label":
        np.savez(path, logits=logits, labels=labels + 10)
    with pytest.raises(UserError, match=r"x\.npz"):
        load_answers(path)


def test_history_draws_each_epoch():
    rows = [EpochMetrics(e, e, 0.1, 1 / e, 0.9, 2 / e, 0.8 + e / 100, 1, 1, 1) for e in (1, 2, 3)]
    loss, accuracy = history_figure(rows, 2).axes
    assert list(loss.lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert list(accuracy.lines[1].get_ydata()) == pytest.approx([0.81, 0.82, 0.83])
    assert "judged: epoch 2" in [text.get_text() for text in loss.get_legend().get_texts()]


def test_reliability_draws_the_bins():
    upper, lower = reliability_figure(SMALL, "toy").axes
    assert sum(bar.get_height() for bar in lower.patches) == 4
    assert "toy" in upper.get_title()


def test_command_interprets_the_newest_run(command, copied_run, home):
    events_before = len(list(copied_run.glob("events*")))
    code, printed, error = command("interpret", "--output", str(home / "out"))
    assert code == 0, error
    folder = home / "out" / "mine"
    metrics = json.loads((folder / "metrics.json").read_text())
    summary = json.loads((copied_run / "summary.json").read_text())
    assert metrics["test"]["num_correct"] == summary["test_num_correct"]
    assert metrics["train"]["num_digits"] == 1318
    names = {path.stem for path in folder.glob("*.png")}
    kinds = ("confusion_matrix", "worst_mistakes", "least_sure_right", "reliability")
    assert names == {"history", *(f"{split}_{kind}" for split in ("train", "test") for kind in kinds)}
    assert f"{summary['test_num_correct']} of 359" in printed and "report.html" in printed
    assert len(list(copied_run.glob("events*"))) == events_before + 1


def test_one_split_and_all_runs(command, copied_run, home):
    code, _, error = command("interpret", "all", "--split", "test", "--output", str(home / "out"))
    assert code == 0, error
    metrics = json.loads((home / "out" / "mine" / "metrics.json").read_text())
    assert set(metrics) == {"run", "test"}


@pytest.mark.parametrize(
    ("arguments", "breaks", "message"),
    [
        ([], "no runs", "no finished run"),
        (["all"], "no runs", "no finished run"),
        (["other"], None, "no run at 'other'"),
        (["mine", "--split", "validation"], None, "validation"),
        (["mine"], "predictions/test.npz", "test.npz is missing"),
        (["mine"], "summary.json", "summary.json is missing"),
        (["mine"], "other digits", "other digits"),
        (["mine", "--output", "/proc/nowhere"], None, "/proc/nowhere"),
    ],
)
def test_bad_input(command, copied_run, home, arguments, breaks, message):
    if breaks == "no runs":
        (copied_run / "summary.json").unlink()
    elif breaks == "other digits":
        SMALL.save(copied_run / "predictions" / "test.npz")
    elif breaks:
        (copied_run / breaks).unlink()
    code, _, error = command("interpret", *arguments)
    assert code == 2 and message in error and len(error.splitlines()) <= 2
