"""How good a set of answers is, by the field's measures; scikit-learn computes those that it has."""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from utils.answers import Answers
from utils.statistics import share_interval

# MNIST test digits (counted from 0) whose label fewer than 3 of 5 human raters kept: cleanlab's label-errors project,
# Amazon Mechanical Turk (Northcutt et al. 2021, arXiv 2103.14749).
CONTESTED_TEST_DIGITS = (
    947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729,
)  # fmt: skip
NUM_BINS = 15  # of confidence, as in Guo et al. 2017, arXiv 1706.04599


def classification_metrics(
    answers: Answers, class_names: tuple[str, ...], contested: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Plain values for metrics.json. Shares are fractions, the loss is in nats.

    `r2` takes the classes as numbers. The Brier score is the mean squared distance of the ten probabilities to
    the truth, from 0 to 2. `contested` are indices of digits that `uncontested_accuracy` leaves out.
    """
    from sklearn.metrics import log_loss, precision_recall_fscore_support, r2_score, top_k_accuracy_score

    classes = list(range(len(class_names)))
    labels, predicted = answers.labels, answers.predicted
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    return {
        "num_digits": len(labels),
        "num_correct": int(answers.is_right.sum()),
        "accuracy": answers.accuracy,
        "accuracy_95_interval": list(share_interval(int(answers.is_right.sum()), len(labels))),
        "top_2_accuracy": float(top_k_accuracy_score(labels, answers.probabilities, k=2, labels=classes)),
        "negative_log_likelihood": float(log_loss(labels, answers.probabilities, labels=classes)),
        "brier_score": brier_score(answers),
        "expected_calibration_error": expected_calibration_error(answers),
        "r2": float(r2_score(labels, predicted)),
        "macro": {"precision": float(precision.mean()), "recall": float(recall.mean()), "f1": float(f1.mean())},
        "classes": {
            name: {
                "num_digits": int(support[number]),
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
            }
            for number, name in enumerate(class_names)
        },
        **({"uncontested_accuracy": _accuracy_without(answers, contested)} if contested else {}),
    }


def brier_score(answers: Answers) -> float:
    """The mean over digits of the summed squared differences between probabilities and truth (Brier 1950)."""
    truth = np.eye(answers.probabilities.shape[1])[answers.labels]
    return float(((answers.probabilities - truth) ** 2).sum(axis=1).mean())


def calibration_bins(
    answers: Answers,
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
    """Mean confidence, accuracy and number of digits in each of the equally wide bins; NaN where a bin is empty."""
    bins = np.minimum((answers.confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, answers.confidence, NUM_BINS) / counts
        accuracy = np.bincount(bins, answers.is_right, NUM_BINS) / counts
    return confidence, accuracy, counts


def expected_calibration_error(answers: Answers) -> float:
    """The mean over digits of the gap between confidence and accuracy in their bin (Guo et al. 2017)."""
    confidence, accuracy, counts = calibration_bins(answers)
    filled = counts > 0
    return float((np.abs(confidence - accuracy)[filled] * counts[filled]).sum() / counts.sum())


def _accuracy_without(answers: Answers, left_out: tuple[int, ...]) -> float:
    kept = np.delete(answers.is_right, list(left_out))
    return int(kept.sum()) / len(kept)
