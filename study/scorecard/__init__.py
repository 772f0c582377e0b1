"""Metrics of a model beyond its test accuracy, each with a 95 % confidence interval: `evaluate(model)`."""

import utils  # noqa: F401 - before torch: sets how threads wait
from study.scorecard.cache import Scorecard
from study.scorecard.evaluator import Curve, Metric, MetricResult
from study.scorecard.registry import (
    BRIEF,
    CURVES,
    CURVES_WITHOUT_STRONG_ATTACK,
    FULL,
    METRICS,
    WITHOUT_STRONG_ATTACK,
    get_metric,
)
from study.scorecard.scorecards import cached_scorecards, evaluate, finished_mnist_runs, print_scorecards, scorecard

__all__ = [
    "BRIEF", "CURVES", "CURVES_WITHOUT_STRONG_ATTACK", "FULL", "METRICS", "WITHOUT_STRONG_ATTACK", "Curve", "Metric",
    "MetricResult", "Scorecard", "cached_scorecards", "evaluate", "finished_mnist_runs", "get_metric",
    "print_scorecards", "scorecard",
]  # fmt: skip
