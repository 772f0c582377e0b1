"""Classification and calibration metrics of predictions. scikit-learn computes those that it offers."""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from sklearn.metrics import log_loss, precision_recall_fscore_support, r2_score

from utils.predictions import Predictions
from utils.statistics import accuracy_interval

# MNIST test digits (counted from 0) whose label was confirmed by fewer than 3 of 5 human raters: cleanlab's
# label-errors project, Amazon Mechanical Turk (Northcutt et al. 2021, arXiv 2103.14749). About 100 of the 10,000 test
# digits were rated, those whose labels models doubted most; the other labels were never checked.
NUM_RATED_TEST_DIGITS = 100
CONTESTED_TEST_DIGITS = (
    947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729,
)  # fmt: skip
NUM_BINS = 15  # confidence bins, as in Guo et al. 2017, arXiv 1706.04599


def classification_metrics(
    predictions: Predictions, class_names: tuple[str, ...], contested: tuple[int, ...] = ()
) -> dict[str, Any]:
    """All metrics as plain values for metrics.json. Accuracies are fractions, the likelihood is in nats.

    `r2` treats the classes as numbers. `accuracy_without_contested` leaves out the digits at the indices `contested`.
    """
    classes = list(range(len(class_names)))
    labels, predicted = predictions.labels, predictions.predicted
    num_correct = int(predictions.is_correct.sum())
    ci_low, ci_high = accuracy_interval(predictions.is_correct, predictions.writers)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    uncontested = np.delete(predictions.is_correct, list(contested))
    top_2 = predictions.probabilities.argsort(axis=1, kind="stable")[:, -2:]
    return {
        "num_digits": len(labels),
        "num_correct": num_correct,
        "accuracy": predictions.accuracy,
        "accuracy_ci_low": ci_low,
        "accuracy_ci_high": ci_high,
        "top_2_accuracy": float((top_2 == labels[:, None]).any(axis=1).mean()),
        "negative_log_likelihood": float(log_loss(labels, predictions.probabilities, labels=classes)),
        "brier_score": brier_score(predictions),
        "ece": expected_calibration_error(predictions),
        "r2": float(r2_score(labels, predicted)),
        "macro": {"precision": float(precision.mean()), "recall": float(recall.mean()), "f1": float(f1.mean())},
        "classes": {
            name: {"num_digits": int(num_digits), "precision": float(p), "recall": float(r), "f1": float(f)}
            for name, num_digits, p, r, f in zip(class_names, support, precision, recall, f1, strict=True)
        },
        **({"accuracy_without_contested": int(uncontested.sum()) / len(uncontested)} if contested else {}),
    }


def brier_score(predictions: Predictions) -> float:
    """Mean squared distance between the probabilities and the one-hot label, from 0 to 2 (Brier 1950)."""
    one_hot = np.eye(predictions.probabilities.shape[1])[predictions.labels]
    return float(((predictions.probabilities - one_hot) ** 2).sum(axis=1).mean())


def bins_of(predictions: Predictions) -> Int64[np.ndarray, " n"]:
    """The bin of each prediction by its confidence."""
    return np.minimum((predictions.confidence * NUM_BINS).astype(int), NUM_BINS - 1)


def calibration_bins(
    predictions: Predictions,
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
    """Mean confidence, accuracy and number of digits in each of 15 bins of equal width; NaN for an empty bin."""
    bins = bins_of(predictions)
    counts = np.bincount(bins, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, predictions.confidence, NUM_BINS) / counts
        accuracy = np.bincount(bins, predictions.is_correct, NUM_BINS) / counts
    return confidence, accuracy, counts


def expected_calibration_error(predictions: Predictions) -> float:
    """Mean over the digits of the gap between confidence and accuracy in their bin (Guo et al. 2017)."""
    confidence, accuracy, counts = calibration_bins(predictions)
    filled = counts > 0
    return float((np.abs(confidence - accuracy)[filled] * counts[filled]).sum() / counts.sum())
