"""All metrics and curves of the scorecard by id. To add a metric, write a function and add a `Metric` to its module."""

import difflib
import re

from study.scorecard import (
    adversarial,
    calibration,
    conditions,
    corruptions,
    ood,
    other_datasets,
    spatial,
    test_set,
    writers,
)
from study.scorecard.evaluator import Curve, Metric
from utils.errors import UserError, brief

_METRICS = (
    *test_set.METRICS,
    *writers.METRICS,
    *calibration.METRICS,
    *other_datasets.METRICS,
    *conditions.METRICS,
    *spatial.METRICS,
    *corruptions.METRICS,
    *ood.METRICS,
    *adversarial.METRICS,
)
_CURVES = (*test_set.CURVES, *calibration.CURVES, *spatial.CURVES, *corruptions.CURVES, *adversarial.CURVES)
METRICS: dict[str, Metric] = {metric.id: metric for metric in _METRICS}
CURVES: dict[str, Curve] = {curve.id: curve for curve in _CURVES}

# Less than a minute per model, without attacks: for studies that compare many models. All scores of out-of-distribution
# images, because an effect on one score alone says little.
BRIEF = (
    "test_accuracy",
    "shift_4px",
    *(f"corruptions_{name}_1000" for name in ("mean", "median", "mean_adapted", "median_adapted")),
    "usps_accuracy",
    *(f"ood_{images}_{score}" for images in ("fashion_mnist", "kmnist", "near") for score in ood.SCORE_LABELS),
)
# Everything but the metrics that only exist for the brief scorecard.
FULL = tuple(id_ for id_ in METRICS if not id_.endswith("_1000"))
_STRONG = ("robust_", "gradient_masking")  # beginnings of the ids of metrics and curves by the strong attack
WITHOUT_STRONG_ATTACK = tuple(id_ for id_ in FULL if not id_.startswith(_STRONG))
CURVES_WITHOUT_STRONG_ATTACK = tuple(id_ for id_ in CURVES if not id_.startswith(_STRONG))
# The columns of TensorBoard's HParams page.
MAIN = (
    "rotation_40",
    "shift_4px",
    "spatial_worst_case",
    "corruptions_mean",
    "corruptions_mean_1000",
    "usps_accuracy",
    "ood_far_energy",
    "ood_near_energy",
    "robust_linf_0.1",
)
MAX_SUGGESTIONS = 5


def get_metric(metric_id: str) -> Metric:
    """The metric with this id. Raises UserError for an unknown id."""
    if metric_id not in METRICS:
        similar = similar_ids(metric_id)
        more = ", ..." if len(similar) > MAX_SUGGESTIONS else ""
        hint = f"did you mean {', '.join(similar[:MAX_SUGGESTIONS])}{more}? " if similar else ""
        raise UserError(f"unknown metric '{brief(metric_id)}': {hint}'mnist scorecard --list' lists all {len(METRICS)}")
    return METRICS[metric_id]


def similar_ids(text: str) -> list[str]:
    """The metrics whose id, label and group contain all words of the text, apart from misspellings; if there are none,
    the ids that differ from the text in a few characters."""
    described = {id_: f"{id_} {metric.label} {metric.group}".lower() for id_, metric in METRICS.items()}
    everything = " ".join(described.values())
    vocabulary = set(re.findall(r"[a-z]+", everything))
    words = [
        next(iter([] if word in everything else difflib.get_close_matches(word, vocabulary, n=1, cutoff=0.75)), word)
        for word in text.lower().replace("_", " ").split()
    ]
    found = [id_ for id_, description in described.items() if words and all(word in description for word in words)]
    return found or difflib.get_close_matches(text, METRICS, n=3, cutoff=0.8)
