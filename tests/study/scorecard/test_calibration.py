"""Calibration metrics by hand, and simulations of perfectly calibrated networks."""

import numpy as np
import pytest
import torch
from torch import nn

from model_interpretation.metrics import expected_calibration_error
from study.scorecard import METRICS
from study.scorecard.calibration import debiased_error_result, log_loss_result, null_ece_result
from study.scorecard.evaluator import Evaluator
from study.scorecard.registry import FULL
from utils.predictions import Predictions


def calibrated_predictions(generator, total=4000, factor=1.0, writers=None):
    """Predictions whose labels are drawn from their own probabilities; with a factor the logits are too large."""
    logits = generator.normal(0, 1, (total, 10)).astype(np.float32)
    logits[np.arange(total), generator.integers(0, 10, total)] += generator.gamma(6, 2, total)
    probabilities = Predictions(logits, np.zeros(total, np.int64)).probabilities
    labels = (generator.random((total, 1)) > probabilities.cumsum(1)).sum(1).clip(0, 9)
    return Predictions(logits * np.float32(factor), labels, writers)


def test_the_ece_of_a_calibrated_network_lies_in_its_null_range():
    generator, inside, errors = np.random.default_rng(0), [], []
    for _ in range(60):
        predictions = calibrated_predictions(generator, 2000)
        null, error = null_ece_result(predictions), expected_calibration_error(predictions)
        inside.append(null.ci_low <= error <= null.ci_high)
        errors.append(error)
        assert null.value > 0
    assert np.mean(inside) >= 0.88
    assert np.mean(errors) == pytest.approx(null.value, rel=0.15)  # far from 0: the estimate is biased
    overconfident = calibrated_predictions(generator, 2000, factor=2)
    assert expected_calibration_error(overconfident) > null_ece_result(overconfident).ci_high


def test_the_debiased_error_of_a_calibrated_network_is_zero_within_its_interval():
    generator, covered = np.random.default_rng(0), []
    for _ in range(40):
        predictions = calibrated_predictions(generator, writers=np.arange(4000) // 20)
        covered.append(debiased_error_result(predictions).ci_low == 0)
    assert np.mean(covered) >= 0.9
    overconfident = debiased_error_result(calibrated_predictions(generator, factor=2))
    assert 0 < overconfident.ci_low < overconfident.value < overconfident.ci_high


def test_the_debiased_error_equals_the_hand_computed_one():
    # 15 bins of 100 predictions with a confidence of 0.9; in every bin 80 are correct.
    logit = np.log(0.9 / (0.1 / 9))
    logits = np.zeros((1500, 10), np.float32)
    logits[:, 0] = logit
    labels = (np.arange(1500) % 5 == 4).astype(np.int64)
    expected = 0.1**2 - 0.8 * 0.2 / 99
    assert debiased_error_result(Predictions(logits, labels)).value == pytest.approx(expected**0.5, rel=1e-4)


def test_log_loss_and_brier_score_equal_the_hand_computed_ones():
    logits = np.log(np.array([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]] * 20, np.float32))
    predictions = Predictions(logits, np.array([0, 1, 0] * 20))
    evaluator = Evaluator(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.device("cpu"))
    evaluator.test_predictions = predictions
    loss = -(np.log(0.8) + np.log(0.4) + np.log(0.5)) / 3
    assert METRICS["nll"].measure(evaluator).value == pytest.approx(loss, rel=1e-5)
    brier = METRICS["brier_score"].measure(evaluator)
    assert brier.value == pytest.approx((2 * 0.2**2 + 2 * 0.6**2 + 2 * 0.5**2) / 3, rel=1e-5)
    assert brier.ci_low < brier.value < brier.ci_high


def test_the_interval_of_the_log_loss_counts_writers():
    generator = np.random.default_rng(0)
    predictions = calibrated_predictions(generator, 200)
    copies = Predictions(np.repeat(predictions.logits, 9, 0), np.repeat(predictions.labels, 9))
    written = Predictions(copies.logits, copies.labels, np.arange(1800) // 9)
    alone, clustered = log_loss_result(copies), log_loss_result(written)
    assert clustered.value == alone.value
    width, clustered_width = (it.ci_high - it.ci_low for it in (alone, clustered))
    assert clustered_width == pytest.approx(3 * width, rel=0.1)


def test_proper_scores_come_first():
    calibration = [id_ for id_ in FULL if METRICS[id_].group == "Calibration"]
    assert calibration[:2] == ["nll", "brier_score"]
    assert calibration.index("ece_debiased") < calibration.index("ece") < calibration.index("ece_null")
