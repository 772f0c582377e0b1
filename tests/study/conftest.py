"""Runs with invented scorecards, for the tests of pages and reports."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import made_predictions, make_run, write_weights

from study.scorecard import CURVES, FULL, METRICS, MetricResult
from study.scorecard.cache import ScorecardCache, cache_file
from trainers.recipes import get_recipe
from utils.data import load_dataset
from utils.run import Run

NEEDS_QMNIST = "qmnist is not available: 'mnist evaluate RUN --dataset qmnist' downloads its test images"
VALUES = {"test_accuracy": 0.994, "accuracy_without_contested": 0.996, "spatial_worst_case": 0.4, "usps_accuracy": 0.8}
RADII = {"radius": [0.0, 0.1, 0.3], "accuracy": [0.99, 0.5, 0.0]}
INVENTED_CURVES: dict[str, Any] = {
    "reliability": [[0.9, 0.8, 20], [1.0, 0.99, 980]],
    "risk_coverage": {"coverage": [0.5, 1.0], "error": [0.001, 0.01]},
    "shift_map": np.hanning(29)[:, None].repeat(29, 1).tolist(),
    "scale_curve": {"scale": [0.4, 1.0], "accuracy": [0.3, 0.99]},
    "rotation_curve": {"degrees": [-180, 0, 180], "accuracy": [0.4, 0.99, 0.4]},
    "corruption_sources": ["generated from MNIST's test digits with seed 0"],
}


def invented_result(metric_id: str, seed: int = 0) -> MetricResult:
    if metric_id == "qmnist_accuracy":
        return MetricResult(None, missing=NEEDS_QMNIST)
    value = VALUES.get(metric_id, 0.9) + seed / 1000
    kind = "number" if metric_id in ("temperature", "shift_area_95") else "fraction"
    if metric_id.startswith("ood_blank"):
        return MetricResult(value, n=256, kind=kind)
    return MetricResult(value, value - 0.0005, value + 0.0005, 500, kind)


def put_full_scorecard(run: Run) -> None:
    """Fills the cache, so that nothing is left to measure."""
    cache = ScorecardCache(cache_file(run))
    for metric_id in FULL:
        cache.put(METRICS[metric_id], asdict(invented_result(metric_id, run.recipe.seed)), 0.5)
    for curve_id, curve in CURVES.items():
        cache.put(curve, INVENTED_CURVES.get(curve_id, RADII), 0.5)


@pytest.fixture
def in_scored_home(home: Path, real_mirror: str) -> Path:
    """A home with three finished runs of two recipes, all with full scorecards; for tests marked real_mnist."""
    labels = load_dataset("mnist", "test").labels.numpy()
    for name, seed, rate in (("a-s0", 0, 0.01), ("a-s1", 1, 0.01), ("b-s0", 0, 0.02)):
        recipe = replace(get_recipe("fast_conv"), num_epochs=2, learning_rate=rate, seed=seed)
        predictions = made_predictions(np.arange(10_000) % 200 != seed, labels)
        run = make_run(name, recipe, 0.995 - rate / 10 + seed / 1000, 0.995, predictions)
        write_weights(run, name)
        put_full_scorecard(run)
    return home
