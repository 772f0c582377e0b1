"""Calibration: the log loss and the Brier score first, then the calibration error with its value for a perfectly
calibrated network, and temperature scaling."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64, Num
from torch import Tensor

from model_interpretation.metrics import NUM_BINS, calibration_bins, expected_calibration_error
from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult
from utils.errors import UserError
from utils.predictions import Predictions
from utils.statistics import TAILS, cluster_bootstrap, percentile_interval

NUM_DRAWS = 1_000
SEED = 0
NUM_NEWTON_STEPS = 50
MAX_LOG_TEMPERATURE = 4.0


def nll(evaluator: Evaluator) -> MetricResult:
    """The negative log-likelihood of the labels, in nats. A proper score: the true probabilities have the lowest."""
    return log_loss_result(evaluator.test_predictions)


def brier_score(evaluator: Evaluator) -> MetricResult:
    """The squared distance of the probabilities to the one-hot label, from 0 to 2 (Brier 1950). A proper score."""
    predictions = evaluator.test_predictions
    one_hot = np.eye(predictions.probabilities.shape[1])[predictions.labels]
    return _score_result(predictions, ((predictions.probabilities - one_hot) ** 2).sum(axis=1))


def ece(evaluator: Evaluator) -> MetricResult:
    """The expected calibration error. It is above zero even if calibration is perfect: compare it with `ece_null`. It
    has no interval, because a resample has a higher error than the sample."""
    predictions = evaluator.test_predictions
    return MetricResult(expected_calibration_error(predictions), n=len(predictions.labels))


def ece_null(evaluator: Evaluator) -> MetricResult:
    """The mean of `ece` if the network were perfectly calibrated, with its 95 % range."""
    return null_ece_result(evaluator.test_predictions)


def ece_debiased(evaluator: Evaluator) -> MetricResult:
    return debiased_error_result(evaluator.test_predictions)


def temperature(evaluator: Evaluator) -> MetricResult:
    """The temperature with the lowest cross-entropy on the run's validation digits (Guo et al. 2017, arXiv 1706.04599).

    Above 1 the model is overconfident.
    """

    def compute() -> MetricResult:
        validation_set = evaluator.run_split("validation")
        return fit_temperature(evaluator.logits(validation_set.images), validation_set.labels)

    return evaluator.once("temperature", compute)


def nll_after_temperature_scaling(evaluator: Evaluator) -> MetricResult:
    return log_loss_result(_scaled_predictions(evaluator))


def ece_debiased_after_temperature_scaling(evaluator: Evaluator) -> MetricResult:
    return debiased_error_result(_scaled_predictions(evaluator))


def _scaled_predictions(evaluator: Evaluator) -> Predictions:
    fitted = temperature(evaluator)
    assert fitted.value is not None  # fit_temperature raises instead
    predictions = evaluator.test_predictions
    return Predictions(predictions.logits / np.float32(fitted.value), predictions.labels, predictions.writers)


def log_loss_result(predictions: Predictions) -> MetricResult:
    """The mean negative log-likelihood of the labels."""
    logits = torch.from_numpy(predictions.logits).double()
    losses = F.cross_entropy(logits, torch.from_numpy(predictions.labels), reduction="none").numpy()
    return _score_result(predictions, losses)


def _score_result(predictions: Predictions, values: Float64[np.ndarray, " n"]) -> MetricResult:
    """The mean of a score, with the bootstrap interval over the writers, or over the images if these are unknown."""
    draws = cluster_bootstrap(values[None], predictions.writers)[:, 0]
    return MetricResult(float(values.mean()), *percentile_interval(draws), len(values), "number")


def null_ece_result(predictions: Predictions) -> MetricResult:
    """The distribution of the expected calibration error if every prediction is correct with its confidence as the
    probability: its mean and the range of 95 %."""
    confidence, generator = predictions.confidence, np.random.default_rng(SEED)
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    order = np.argsort(bins, kind="stable")
    starts = np.unique(bins[order], return_index=True)[1]
    sorted_confidence = confidence[order]
    errors = [
        np.abs(np.add.reduceat((generator.random(len(order)) < sorted_confidence) - sorted_confidence, starts)).sum()
        for _ in range(NUM_DRAWS)
    ]
    draws = np.array(errors) / len(order)
    return MetricResult(float(draws.mean()), *percentile_interval(draws), len(order))


def debiased_error_result(predictions: Predictions) -> MetricResult:
    """The root mean square gap between confidence and accuracy over bins of equally many predictions, without the part
    that the noise of the accuracies adds (Kumar, Liang and Ma 2019, arXiv 1909.10155).

    The square has no bias, so that its mean is 0 for a perfectly calibrated network; below 0 it counts as 0. The
    interval is the bootstrap interval of the square over the writers, or over the images if these are unknown.
    """
    total = len(predictions.labels)
    order = np.argsort(predictions.confidence, kind="stable")
    bins = np.empty(total, dtype=np.int64)
    bins[order] = np.arange(total) * NUM_BINS // total
    in_bin = bins == np.arange(NUM_BINS)[:, None]
    rows = np.concatenate([in_bin, in_bin * predictions.confidence, in_bin * predictions.is_correct])
    square = float(squared_error(rows.mean(1)[None], total)[0])
    draws = squared_error(cluster_bootstrap(rows, predictions.writers), total)
    # A resample has the noise of the sample and its own: its mean is too high by as much as the correction removes.
    low, high = (square - float(end) for end in np.quantile(draws - draws.mean(), TAILS[::-1]))
    value, low, high = (math.sqrt(max(0.0, it)) for it in (square, low, high))
    return MetricResult(value, low, high, total)


def squared_error(means: Num[np.ndarray, "rows parts"], total: int) -> Float64[np.ndarray, " rows"]:
    """The debiased squared calibration error from the bins' shares, and the means of confidence and of correctness
    within each bin times its share."""
    share, confidence, correct = np.split(means, 3, axis=1)
    share = np.maximum(share, 1 / total)  # a resample may miss a bin
    accuracy = correct / share
    gap = accuracy - confidence / share
    noise = accuracy * (1 - accuracy) / np.maximum(share * total - 1, 1)
    squares: Float64[np.ndarray, " rows"] = (share * (gap**2 - noise)).sum(axis=1)
    return squares


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


def reliability(evaluator: Evaluator) -> list[list[float]]:
    """Mean confidence, accuracy and number of digits of each bin that is not empty."""
    bins = np.stack(calibration_bins(evaluator.test_predictions), axis=1)
    return [[float(value) for value in row] for row in bins if row[2] > 0]


GROUP = "Calibration"
METRICS = [
    Metric("nll", "negative log-likelihood (NLL), nats", 1, GROUP, nll),
    Metric("brier_score", "Brier score", 1, GROUP, brier_score),
    Metric("ece_debiased", "calibration error, root mean square, debiased", 1, GROUP, ece_debiased),
    Metric("ece", "expected calibration error (ECE), not debiased", 2, GROUP, ece),
    Metric("ece_null", "ECE of a perfectly calibrated network", 1, GROUP, ece_null),
    Metric("temperature", "temperature", 1, GROUP, temperature),
    Metric("nll_after_temperature_scaling", "NLL after temperature scaling, nats", 1, GROUP,
           nll_after_temperature_scaling),
    Metric("ece_debiased_after_temperature_scaling", "debiased calibration error after temperature scaling", 1, GROUP,
           ece_debiased_after_temperature_scaling),
]  # fmt: skip
CURVES = [Curve("reliability", 1, reliability)]
