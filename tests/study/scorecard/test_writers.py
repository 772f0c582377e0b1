"""Accuracy by writer and by population of MNIST's test digits."""

import numpy as np
import pytest
import torch
from torch import nn

from study.scorecard import METRICS
from study.scorecard.evaluator import Evaluator, fraction_result
from utils.data import ImageSet
from utils.data.writers import is_student, mnist_writers
from utils.predictions import Predictions

IDS = ("students_accuracy", "staff_accuracy", "writers_std", "design_effect")


def evaluator_with(is_correct, writers):
    """An evaluator whose test predictions are correct on these digits."""
    evaluator = Evaluator(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.device("cpu"))
    labels = np.zeros(len(is_correct), np.int64)
    logits = np.eye(10, dtype=np.float32)[np.where(is_correct, 0, 1)]
    images = torch.zeros(len(is_correct), 28, 28, dtype=torch.uint8)
    ids = None if writers is None else torch.tensor(writers)
    evaluator.test_set = ImageSet("digits", images, torch.tensor(labels), writers=ids)
    evaluator.test_predictions = Predictions(logits, labels, writers)
    return evaluator


def test_accuracies_of_students_and_staff():
    writers = mnist_writers("test")
    is_wrong = np.random.default_rng(0).random(10_000) < np.where(is_student(writers), 0.02, 0.005)
    evaluator = evaluator_with(~is_wrong, writers)
    students, staff = METRICS["students_accuracy"].measure(evaluator), METRICS["staff_accuracy"].measure(evaluator)
    assert (students.n, staff.n) == (5001, 4999)
    assert students.ci_high < staff.ci_low
    both = (students.value * students.n + staff.value * staff.n) / 10_000
    assert METRICS["test_accuracy"].measure(evaluator).value == pytest.approx(both)


def test_writers_who_are_alike_have_no_spread_and_a_design_effect_of_one():
    is_wrong = np.random.default_rng(0).random(10_000) < 0.02
    evaluator = evaluator_with(~is_wrong, mnist_writers("test"))
    spread, effect = METRICS["writers_std"].measure(evaluator), METRICS["design_effect"].measure(evaluator)
    assert spread.ci_low == 0 and spread.n == effect.n == 297
    assert effect.ci_low < 1 < effect.ci_high


def test_writers_who_differ_have_a_spread_and_widen_every_interval():
    generator, codes = np.random.default_rng(0), np.unique(mnist_writers("test"), return_inverse=True)[1]
    rates = generator.beta(0.02 / 0.1, 0.98 / 0.1, 297)
    is_correct = generator.random(10_000) > rates[codes]
    evaluator = evaluator_with(is_correct, mnist_writers("test"))
    assert METRICS["writers_std"].measure(evaluator).ci_low > 0.02
    assert METRICS["design_effect"].measure(evaluator).ci_low > 1.5
    for metric in ("test_accuracy", "accuracy_without_contested", "error_at_coverage_99", "students_accuracy"):
        result = METRICS[metric].measure(evaluator)
        count = round(result.value * result.n)
        alone = fraction_result(np.arange(result.n) < count)
        assert result.ci_high - result.ci_low > 1.4 * (alone.ci_high - alone.ci_low), metric


@pytest.mark.parametrize("metric", IDS)
def test_without_writers_there_is_a_sentence_instead_of_a_value(metric):
    evaluator = evaluator_with(np.arange(100) > 3, None)
    assert "the writers of these test digits are unknown" in METRICS[metric].measure(evaluator).missing


@pytest.mark.parametrize("metric", ["writers_std", "design_effect"])
def test_without_errors_there_is_a_sentence_instead_of_a_value(metric):
    evaluator = evaluator_with(np.ones(10_000, bool), mnist_writers("test"))
    assert "all predictions are equally right" in METRICS[metric].measure(evaluator).missing
    accuracy = METRICS["test_accuracy"].measure(evaluator)
    assert accuracy.ci_high == 1 and 0.99 < accuracy.ci_low < 1
