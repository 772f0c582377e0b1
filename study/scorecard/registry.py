"""All metrics and curves of the scorecard by id. To add a metric, write a function and add a `Metric` to its module."""

import difflib

from study.scorecard import adversarial, corruptions, ood, other_datasets, spatial, test_set
from study.scorecard.evaluator import Curve, Metric
from utils.errors import UserError

_METRICS = (
    *test_set.METRICS,
    *other_datasets.METRICS,
    *spatial.METRICS,
    *corruptions.METRICS,
    *ood.METRICS,
    *adversarial.METRICS,
)
_CURVES = (*test_set.CURVES, *spatial.CURVES, *corruptions.CURVES, *adversarial.CURVES)
METRICS: dict[str, Metric] = {metric.id: metric for metric in _METRICS}
CURVES: dict[str, Curve] = {curve.id: curve for curve in _CURVES}

# A few seconds per model: for studies that compare many models.
BRIEF = (
    "test_accuracy",
    "shift_4px",
    "corruptions_mean_1000",
    "usps_accuracy",
    "ood_fashion_mnist_energy",
    "ood_kmnist_energy",
)
# Everything but the metrics that only exist for the brief scorecard.
FULL = tuple(id_ for id_ in METRICS if id_ != "corruptions_mean_1000")


def get_metric(metric_id: str) -> Metric:
    """The metric with this id. Raises UserError for an unknown id."""
    if metric_id not in METRICS:
        close = difflib.get_close_matches(metric_id, METRICS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(f"unknown metric '{metric_id[:60]}': {hint}'mnist scorecard --list' lists all {len(METRICS)}")
    return METRICS[metric_id]
