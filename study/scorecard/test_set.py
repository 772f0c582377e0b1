"""Metrics of MNIST's test set: accuracy, calibration and selective prediction."""

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from model_interpretation.metrics import CONTESTED_TEST_DIGITS, calibration_bins, expected_calibration_error
from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result
from utils.errors import UserError
from utils.predictions import Predictions
from utils.statistics import TAILS

COVERAGES = (0.99, 0.95)
NUM_CURVE_POINTS = 100
NUM_RESAMPLES = 300
NUM_NEWTON_STEPS = 50
MAX_LOG_TEMPERATURE = 4.0


def accuracy(evaluator: Evaluator) -> MetricResult:
    return fraction_result(evaluator.test_predictions.is_correct)


def accuracy_without_contested(evaluator: Evaluator) -> MetricResult:
    """Accuracy without the 15 test digits whose labels human raters rejected. Raters saw only about 100 digits, chosen
    because models disagreed with their labels, so the other labels are not confirmed."""
    return fraction_result(np.delete(evaluator.test_predictions.is_correct, CONTESTED_TEST_DIGITS))


def ece(evaluator: Evaluator) -> MetricResult:
    """The expected calibration error. For a finite sample it is above zero even if calibration is perfect."""
    return _ece_result(evaluator.test_predictions)


def temperature(evaluator: Evaluator) -> MetricResult:
    """The temperature with the lowest cross-entropy on the run's validation digits (Guo et al. 2017, arXiv 1706.04599).

    Above 1 the model is overconfident.
    """

    def compute() -> MetricResult:
        validation_set = evaluator.run_split("validation")
        return fit_temperature(evaluator.logits(validation_set.images), validation_set.labels)

    return evaluator.once("temperature", compute)


def ece_after_temperature_scaling(evaluator: Evaluator) -> MetricResult:
    fitted = temperature(evaluator)
    assert fitted.value is not None  # fit_temperature raises instead
    predictions = evaluator.test_predictions
    return _ece_result(Predictions(predictions.logits / np.float32(fitted.value), predictions.labels))


def fit_temperature(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> MetricResult:
    """The temperature with the lowest cross-entropy, by Newton's method in log temperature.

    The interval comes from the curvature of the loss. Raises UserError if no temperature is best, for example if all
    predictions are correct with a large margin.
    """
    logits, log_temperature = logits.double(), torch.zeros((), dtype=torch.float64)
    for _ in range(NUM_NEWTON_STEPS):
        slope, curvature = _slope_and_curvature(logits, labels, log_temperature)
        step = slope / curvature if curvature > 0 else slope.sign() * 0.5
        log_temperature = log_temperature - step.clamp(-0.5, 0.5)
        log_temperature = log_temperature.clamp(-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE)
    _, curvature = _slope_and_curvature(logits, labels, log_temperature)
    half_width = 1.96 / math.sqrt(float(curvature) * len(labels)) if curvature > 0 else math.inf
    if not (abs(log_temperature) < MAX_LOG_TEMPERATURE and half_width < MAX_LOG_TEMPERATURE):
        raise UserError(f"no temperature fits these {len(labels):,} validation digits best")
    low, value, high = (math.exp(float(log_temperature) + shift) for shift in (-half_width, 0.0, half_width))
    return MetricResult(value, low, high, len(labels), "number")


def _slope_and_curvature(
    logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"], log_temperature: Float[Tensor, ""]
) -> tuple[Tensor, Tensor]:
    """First and second derivative of the mean cross-entropy with respect to the log temperature."""
    point = log_temperature.clone().requires_grad_(True)
    loss = F.cross_entropy(logits / point.exp(), labels)
    (slope,) = torch.autograd.grad(loss, point, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, point)
    return slope.detach(), curvature


def _ece_result(predictions: Predictions) -> MetricResult:
    """The error with the basic bootstrap interval over digits (Davison and Hinkley 1997, 5.2.1): a resample has a
    higher calibration error than the sample, which the percentile interval ignores."""
    generator, total = np.random.default_rng(0), len(predictions.labels)
    resampled = []
    for _ in range(NUM_RESAMPLES):
        drawn = generator.integers(0, total, total)
        resampled.append(expected_calibration_error(Predictions(predictions.logits[drawn], predictions.labels[drawn])))
    error = expected_calibration_error(predictions)
    high, low = (2 * error - end for end in np.quantile(resampled, TAILS))
    return MetricResult(error, max(0.0, float(low)), max(error, float(high)), total)


def reliability(evaluator: Evaluator) -> list[list[float]]:
    """Mean confidence, accuracy and number of digits of each bin that is not empty."""
    bins = np.stack(calibration_bins(evaluator.test_predictions), axis=1)
    return [[float(value) for value in row] for row in bins if row[2] > 0]


def error_at_coverage(evaluator: Evaluator, coverage: float) -> MetricResult:
    """The error on the most confident predictions, a fraction `coverage` of all."""
    is_wrong = _is_wrong_by_confidence(evaluator.test_predictions)
    return fraction_result(is_wrong[: round(coverage * len(is_wrong))])


def risk_coverage(evaluator: Evaluator) -> dict[str, list[float]]:
    """The error over the coverage: the risk-coverage curve (El-Yaniv and Wiener 2010)."""
    is_wrong = _is_wrong_by_confidence(evaluator.test_predictions)
    total = len(is_wrong)
    errors = np.cumsum(is_wrong) / np.arange(1, total + 1)
    counts = np.linspace(total // NUM_CURVE_POINTS, total, NUM_CURVE_POINTS).astype(int)
    return {"coverage": (counts / total).tolist(), "error": errors[counts - 1].tolist()}


def _is_wrong_by_confidence(predictions: Predictions) -> Bool[np.ndarray, " n"]:
    """Whether each prediction is wrong, the most confident prediction first."""
    return ~predictions.is_correct[np.argsort(-predictions.confidence, kind="stable")]


METRICS = [
    Metric("test_accuracy", "test accuracy", 1, "Test set", accuracy),
    Metric("accuracy_without_contested", "test accuracy without contested labels", 1, "Test set",
           accuracy_without_contested),
    Metric("ece", "expected calibration error (ECE)", 1, "Calibration", ece),
    Metric("temperature", "temperature", 1, "Calibration", temperature),
    Metric("ece_after_temperature_scaling", "ECE after temperature scaling", 1, "Calibration",
           ece_after_temperature_scaling),
    *(
        Metric(f"error_at_coverage_{coverage * 100:.0f}", f"error at {coverage * 100:.0f} % coverage", 1,
               "Selective prediction", partial(error_at_coverage, coverage=coverage))
        for coverage in COVERAGES
    ),
]  # fmt: skip
CURVES = [Curve("reliability", 1, reliability), Curve("risk_coverage", 1, risk_coverage)]
