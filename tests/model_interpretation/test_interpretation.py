"""Every metric against scikit-learn or a calculation by hand; figures, report and the command `interpret`."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
import torch

from model_interpretation.basic_interpret import HEADLINES, interpret, interpret_run
from model_interpretation.explain import explain
from model_interpretation.metrics import (
    CONTESTED_TEST_DIGITS,
    brier_score,
    calibration_bins,
    classification_metrics,
    expected_calibration_error,
)
from model_interpretation.prediction_figures import class_metrics_figure, curve_figures, reliability_figure
from models.registry import load_trained
from utils.data.datasets import DIGIT_NAMES, ImageSet
from utils.errors import UserError
from utils.files import PROJECT_FOLDER
from utils.predictions import Predictions
from utils.run import EpochMetrics, Run
from utils.statistics import accuracy_interval, share_interval

LABELS = [0, 1, 1, 2]


def predictions_of(confidences, predicted, labels):
    """Predictions with this confidence in the predicted class; the other classes share the rest evenly."""
    logits = np.zeros((len(labels), 10), np.float32)
    for row, confidence, label in zip(logits, confidences, predicted, strict=True):
        row[:] = math.log((1 - confidence) / 9)
        row[label] = math.log(confidence)
    return Predictions(logits, np.array(labels))


SMALL = predictions_of([0.9, 0.8, 0.5, 0.7], [0, 1, 3, 2], LABELS)


def random_predictions(seed=0, n=500):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, n)
    logits = generator.normal(size=(n, 10)).astype(np.float32)
    logits[np.arange(n), labels] += 2
    return Predictions(logits, labels)


def test_metrics_by_hand():
    metrics = classification_metrics(SMALL, DIGIT_NAMES, contested=(2,))
    assert (metrics["num_digits"], metrics["num_correct"], metrics["accuracy"]) == (4, 3, 0.75)
    assert metrics["accuracy_ci_low"] < 0.75 < metrics["accuracy_ci_high"]
    assert metrics["accuracy_without_contested"] == 1.0
    assert metrics["classes"]["1"] == {"num_digits": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert metrics["classes"]["3"]["precision"] == 0.0
    rest = 0.5 / 9  # probability of the third digit's true class
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
    assert metrics["ece"] == pytest.approx((0.1 + 0.2 + 0.5 + 0.3) / 4, rel=1e-5)


def test_metrics_against_scikit_learn():
    predictions = random_predictions()
    metrics = classification_metrics(predictions, DIGIT_NAMES)
    labels, predicted, probabilities = predictions.labels, predictions.predicted, predictions.probabilities
    assert metrics["accuracy"] == sklearn.metrics.accuracy_score(labels, predicted)
    assert metrics["macro"]["f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="macro"))
    assert metrics["top_2_accuracy"] == sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=2)
    assert metrics["negative_log_likelihood"] == pytest.approx(sklearn.metrics.log_loss(labels, probabilities))
    one_against_rest = [
        sklearn.metrics.brier_score_loss(labels == digit, probabilities[:, digit]) for digit in range(10)
    ]
    assert brier_score(predictions) == pytest.approx(sum(one_against_rest))
    assert "accuracy_without_contested" not in metrics


def test_calibration_bins_count_every_digit():
    predictions = random_predictions(1)
    confidence, accuracy, counts = calibration_bins(predictions)
    assert counts.sum() == 500 and len(counts) == 15
    filled = counts > 0
    assert (accuracy[filled] * counts[filled]).sum() == pytest.approx(predictions.is_correct.sum())
    assert np.isnan(confidence[~filled]).all()
    certain = predictions_of([1 - 1e-12] * 4, LABELS, LABELS)
    assert expected_calibration_error(certain) == pytest.approx(0, abs=1e-6)


def test_intervals_hold_for_other_writers_if_the_writers_are_known():
    """Writers who are wrong on all of their digits make the interval wider than independent mistakes do."""
    writers = np.repeat(np.arange(50), 10)
    wrong_writers = np.arange(500) < 50
    low, high = accuracy_interval(~wrong_writers, writers)
    alone_low, alone_high = accuracy_interval(~wrong_writers, None)
    assert low < alone_low < 0.9 < alone_high < high
    assert (alone_low, alone_high) == pytest.approx(share_interval(450, 500))
    # each of two writers is right once and wrong once: the spread of writers is unknown, the interval is not empty
    low, high = accuracy_interval(np.array([True, False, True, False]), np.array([0, 0, 1, 1]))
    assert (low, high) == pytest.approx(share_interval(1, 2))


def test_figures_say_what_their_intervals_hold_for(few_digits):
    predictions = random_predictions(n=200)
    known = replace(predictions, writers=np.arange(200) // 4)
    for each, expected in ((predictions, "95% interval over images"), (known, "95% interval over writers")):
        assert expected in class_metrics_figure(each, few_digits).axes[0].get_xlabel()
        legend = reliability_figure(each, "toy/test").axes[0].get_legend()
        assert expected in [text.get_text() for text in legend.get_texts()]


def test_contested_digits_are_the_fifteen_of_cleanlab():
    assert len(CONTESTED_TEST_DIGITS) == 15 and {947, 6651} <= set(CONTESTED_TEST_DIGITS)


def test_curves_show_each_epoch():
    metrics = [EpochMetrics(e, e, 0.1, 1 / e, 0.9, 2 / e, 0.8 + e / 100, 1, 1, 1) for e in (1, 2, 3)]
    figures = curve_figures(metrics, 2)
    (loss,), (accuracy,) = figures["loss"].axes, figures["accuracy"].axes
    assert list(loss.lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert list(accuracy.lines[1].get_ydata()) == pytest.approx([0.81, 0.82, 0.83])
    assert "final weights: epoch 2" in [text.get_text() for text in loss.get_legend().get_texts()]
    assert figures["accuracy"].get_suptitle() == "Validation accuracy 82% with the final weights"


def test_ticks_of_the_curves_are_plain_numbers():
    metrics = [EpochMetrics(1, 1, 0.1, 0.06, 0.9, 0.02, 0.8, 1, 1, 1)]
    figures = curve_figures(metrics, 1)
    loss, accuracy = (ticks_of(figures[name]) for name in ("loss", "accuracy"))
    assert {"0.02", "0.03"} <= set(loss[1]) and all(float(label) for label in loss[1] if label)
    assert all(label.isdigit() for label in accuracy[0]) and all(label.endswith("%") for label in accuracy[1])


def ticks_of(figure):
    """The labels of the x and of the y axis."""
    figure.canvas.draw()
    (axes,) = figure.axes
    return [[label.get_text() for label in labels] for labels in (axes.get_xticklabels(), axes.get_yticklabels())]


def test_reliability_figure_shows_the_bins():
    figure = reliability_figure(SMALL, "toy")
    lower = figure.axes[1]
    assert sum(bar.get_height() for bar in lower.patches) == 4
    assert "toy" in figure.get_suptitle()


def test_the_hardest_class_is_in_the_title():
    images = ImageSet("toy", torch.zeros(4, 28, 28, dtype=torch.uint8), torch.tensor(LABELS))
    figure = class_metrics_figure(SMALL, images)
    assert figure.get_suptitle() == "toy: 1 is the hardest class, 50.0% recall"
    recall, precision = figure.axes[0].lines
    np.testing.assert_allclose(recall.get_xdata()[:4], [1, 0.5, 1, np.nan])
    np.testing.assert_allclose(precision.get_xdata()[:4], [1, 1, 1, 0])


def test_interpret_writes_metrics_report_pictures_and_tensorboard_events(copied_run, home, capsys):
    run = Run(copied_run)
    events_before = len(list(copied_run.glob("events*")))
    metrics = interpret_run(run, load_trained(run), home / "out")
    folder = home / "out" / "mine"
    assert json.loads((folder / "metrics.json").read_text()) == {"run": "mine", **metrics}
    assert metrics["test"]["num_correct"] == run.summary.test_num_correct
    assert metrics["train"]["num_digits"] == 1318
    names = {path.stem for suffix in ("png", "svg") for path in folder.glob(f"*.{suffix}")}
    kinds = ("confusion_matrix", "class_metrics", "worst_mistakes", "least_confident_correct", "reliability")
    assert names == {"loss", "accuracy", *(f"{split}_{kind}" for split in ("train", "test") for kind in kinds)}
    report = (folder / "report.html").read_text().replace("\u00a0", " ")
    assert report.count("<img") == len(names) - 2 and report.count('class="matrix"') == 2  # instead of two pictures
    assert 'href="overview.html"' in report
    assert f"{run.summary.test_num_correct} of 359" in report and "precision" in report
    printed = capsys.readouterr().out
    assert f"{run.summary.test_num_correct} of 359" in printed and "report.html" in printed
    assert len(list(copied_run.glob("events*"))) == events_before + 1


def test_a_damaged_run_does_not_stop_the_others(copied_run, home, capsys):
    for name in ("a-damaged", "b-damaged"):
        shutil.copytree(copied_run, copied_run.with_name(name))
        path = copied_run.with_name(name) / "checkpoints" / "best.pt"
        content = path.read_bytes()
        path.write_bytes(content[:1000] + b"damaged" + content[1007:])
    with pytest.raises(UserError, match="2 of 3 runs could not be interpreted"):
        interpret(Run.finished(), home / "out", ["test"], "cpu")
    assert set(json.loads((home / "out" / "mine" / "metrics.json").read_text())) == {"run", "test"}
    assert capsys.readouterr().err.count("best.pt") == 2


def test_explain_refuses_an_unfinished_run_before_any_work(copied_run, home):
    (copied_run / "summary.json").unlink()
    with pytest.raises(UserError, match="run mine is unfinished, 2 of 2 epochs"):
        explain(Run(copied_run), home / "out", index=3)
    assert not (home / "out").exists()


def test_the_command_interprets_the_newest_run_or_all(command, copied_run, home):
    for arguments in ([], ["all"]):
        code, printed, error = command("interpret", *arguments, "--split", "test", "--output", str(home / "out"))
        assert code == 0 and "mine" in printed, error
    assert set(json.loads((home / "out" / "mine" / "metrics.json").read_text())) == {"run", "test"}


@pytest.mark.parametrize(
    ("arguments", "breaks", "message"),
    [
        ([], "no runs", "no finished run"),
        (["all"], "no runs", "no finished run"),
        (["other"], None, "no run at 'other'"),
        (["mine", "--split", "nothing"], None, "nothing"),
        (["mine"], "predictions/test.npz", "test.npz is missing"),
        (["mine"], "summary.json", "run mine is unfinished"),
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


def test_the_glossary_explains_every_metric_of_the_page():
    glossary = (PROJECT_FOLDER / "docs" / "glossary.md").read_text(encoding="utf-8")
    for label, _ in HEADLINES.values():
        assert f"| {label.split(',')[0]} |" in glossary
