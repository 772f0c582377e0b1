"""The test set as it is: the accuracy, calibration, and what abstaining buys."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from model_interpretation.classification_metrics import (
    CONTESTED_TEST_DIGITS,
    calibration_bins,
    expected_calibration_error,
)
from study.generalisation.cells import Cell, Part, missing_cell, share_cell
from study.generalisation.subject import Subject
from utils.answers import Answers
from utils.errors import UserError
from utils.statistics import TAILS

COVERAGES = (0.99, 0.95)  # shares of the digits that are still answered
NUM_CURVE_POINTS = 101
NUM_RESAMPLES = 300
NUM_NEWTON_STEPS = 50
LARGEST_LOG = 4.0  # of a temperature, natural
WITH_IT = "calibration error at this temperature"


def accuracy(subject: Subject) -> Part:
    """All test digits, and those whose label human raters do not contest."""
    right = subject.test_answers.is_right
    uncontested = np.delete(right, CONTESTED_TEST_DIGITS)
    return Part({"MNIST test": share_cell(right), "MNIST test, uncontested labels": share_cell(uncontested)})


def calibration(subject: Subject) -> Part:
    """Whether the probabilities mean what they say, before and after one temperature that is fitted on the run's
    validation digits (Guo et al. 2017, arXiv 1706.04599). The expected calibration error of a finite sample is
    above zero also for a perfectly calibrated network."""
    answers = subject.test_answers
    before, curves = _calibration_error(answers), {"as it is": _reliability(answers)}
    try:
        validation = subject.split("validation")
        temperature = fit_temperature(subject.logits(validation.images), validation.labels)
    except UserError as error:
        missing = dict.fromkeys(("temperature", WITH_IT), missing_cell(error))
        return Part({"calibration error": before, **missing}, curves)
    assert temperature.value is not None  # as fit_temperature says
    scaled = Answers(answers.logits / np.float32(temperature.value), answers.labels)
    cells = {"calibration error": before, "temperature": temperature, WITH_IT: _calibration_error(scaled)}
    return Part(cells, {**curves, "with temperature": _reliability(scaled)})


def fit_temperature(logits: Float[Tensor, "n 10"], labels: Int64[Tensor, " n"]) -> Cell:
    """The temperature with the lowest cross-entropy, found by Newton's method in its logarithm; its interval is from
    the curvature of the loss there. Above 1 the network is too sure of itself. Raises UserError where no temperature
    is best, as where all these digits are named right with room to spare."""
    logits, log_temperature = logits.double(), torch.zeros((), dtype=torch.float64)
    for _ in range(NUM_NEWTON_STEPS):
        slope, curvature = _slope_and_curvature(logits, labels, log_temperature)
        step = slope / curvature if curvature > 0 else slope.sign() * 0.5
        log_temperature = (log_temperature - step.clamp(-0.5, 0.5)).clamp(-LARGEST_LOG, LARGEST_LOG)
    _, curvature = _slope_and_curvature(logits, labels, log_temperature)
    half_width = 1.96 / math.sqrt(float(curvature) * len(labels)) if curvature > 0 else math.inf
    if not (abs(log_temperature) < LARGEST_LOG and half_width < LARGEST_LOG):
        raise UserError(f"no temperature fits these {len(labels):,} validation digits best")
    low, value, high = (math.exp(float(log_temperature) + shift) for shift in (-half_width, 0.0, half_width))
    return Cell(value, low, high, len(labels), "number")


def _slope_and_curvature(
    logits: Float[Tensor, "n 10"], labels: Int64[Tensor, " n"], log_temperature: Float[Tensor, ""]
) -> tuple[Tensor, Tensor]:
    """First and second derivative of the mean cross-entropy by the logarithm of the temperature."""
    point = log_temperature.clone().requires_grad_(True)
    loss = F.cross_entropy(logits / point.exp(), labels)
    (slope,) = torch.autograd.grad(loss, point, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, point)
    return slope.detach(), curvature


def _calibration_error(answers: Answers) -> Cell:
    """With the basic bootstrap's interval over the digits (Davison and Hinkley 1997, 5.2.1): resampled ones have
    a higher error by chance than these."""
    generator, total = np.random.default_rng(0), len(answers.labels)
    resampled = []
    for _ in range(NUM_RESAMPLES):
        drawn = generator.integers(0, total, total)
        resampled.append(expected_calibration_error(Answers(answers.logits[drawn], answers.labels[drawn])))
    error = expected_calibration_error(answers)
    high, low = (2 * error - end for end in np.quantile(resampled, TAILS))
    return Cell(error, max(0.0, float(low)), max(error, float(high)), total)


def _reliability(answers: Answers) -> list[list[float]]:
    """Mean confidence, accuracy and count of each bin that holds a digit."""
    bins = np.stack(calibration_bins(answers), axis=1)
    return [[float(value) for value in row] for row in bins if row[2] > 0]


def abstaining(subject: Subject) -> Part:
    """The error on the digits that are still answered when those with the lowest confidence are not: the
    risk-coverage curve (El-Yaniv and Wiener 2010)."""
    answers = subject.test_answers
    wrong = ~answers.is_right[np.argsort(-answers.confidence, kind="stable")]
    total = len(wrong)
    errors = np.cumsum(wrong) / np.arange(1, total + 1)
    counts = np.linspace(total // (NUM_CURVE_POINTS - 1), total, NUM_CURVE_POINTS - 1).astype(int)
    cells = {
        f"error on the surest {coverage:.0%}": share_cell(wrong[: round(coverage * total)]) for coverage in COVERAGES
    }
    return Part(cells, {"coverage": (counts / total).tolist(), "error": errors[counts - 1].tolist()})
