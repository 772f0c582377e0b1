"""Accuracy and selective prediction on MNIST's test set."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Int64

from model_interpretation.metrics import CONTESTED_TEST_DIGITS
from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result
from utils.predictions import Predictions

COVERAGES = (0.99, 0.95)
NUM_CURVE_POINTS = 100


def accuracy(evaluator: Evaluator) -> MetricResult:
    return _accuracy_on(evaluator, np.arange(len(evaluator.test_set)))


def accuracy_without_contested(evaluator: Evaluator) -> MetricResult:
    """Accuracy without the 15 test digits whose labels human raters rejected. Raters saw only about 100 digits, chosen
    because models disagreed with their labels, so the other labels are not confirmed."""
    return _accuracy_on(evaluator, np.delete(np.arange(len(evaluator.test_set)), CONTESTED_TEST_DIGITS))


def error_at_coverage(evaluator: Evaluator, coverage: float) -> MetricResult:
    """The error on the most confident predictions, a fraction `coverage` of all."""
    order = _by_confidence(evaluator.test_predictions)
    return _accuracy_on(evaluator, order[: round(coverage * len(order))], of_errors=True)


def _accuracy_on(evaluator: Evaluator, indices: Int64[np.ndarray, " m"], of_errors: bool = False) -> MetricResult:
    """The accuracy, or the error, on the test digits at these indices."""
    predictions = evaluator.test_predictions
    writers = None if predictions.writers is None else torch.from_numpy(predictions.writers[indices])
    return fraction_result(predictions.is_correct[indices] != of_errors, writers)


def risk_coverage(evaluator: Evaluator) -> dict[str, list[float]]:
    """The error over the coverage: the risk-coverage curve (El-Yaniv and Wiener 2010)."""
    predictions = evaluator.test_predictions
    is_wrong = ~predictions.is_correct[_by_confidence(predictions)]
    total = len(is_wrong)
    errors = np.cumsum(is_wrong) / np.arange(1, total + 1)
    counts = np.linspace(total // NUM_CURVE_POINTS, total, NUM_CURVE_POINTS).astype(int)
    return {"coverage": (counts / total).tolist(), "error": errors[counts - 1].tolist()}


def _by_confidence(predictions: Predictions) -> Int64[np.ndarray, " n"]:
    """The indices of the predictions, the most confident first."""
    return np.argsort(-predictions.confidence, kind="stable")


METRICS = [
    Metric("test_accuracy", "test accuracy", 2, "Test set", accuracy),
    Metric("accuracy_without_contested", "test accuracy without contested labels", 2, "Test set",
           accuracy_without_contested),
    *(
        Metric(f"error_at_coverage_{coverage * 100:.0f}", f"error at {coverage * 100:.0f} % coverage", 2,
               "Selective prediction", partial(error_at_coverage, coverage=coverage))
        for coverage in COVERAGES
    ),
]  # fmt: skip
CURVES = [Curve("risk_coverage", 1, risk_coverage)]
