"""Mean curves over the seeds of a recipe with Student's 95 % interval, from the scalars in event files."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from utils.statistics import mean_intervals

Scalars = Mapping[str, Mapping[int, float]]
"""Tag -> step -> value."""
RESULTS = ("final/", "scorecard/")  # one value per run, whose step is the number of epochs of the run
FRACTIONS = ("accuracy", "error_rate")  # tags of values from 0 to 1


class Point(NamedTuple):
    """The mean of a scalar over the seeds with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def group_curves(seeds: Sequence[Scalars]) -> dict[int, dict[str, Point]]:
    """Step -> tag -> mean and interval, for each step that at least two seeds have."""
    curves: dict[int, dict[str, Point]] = {}
    for tag in sorted({tag for scalars in seeds for tag in scalars}):
        rows = [scalars[tag] for scalars in seeds if scalars.get(tag)]
        if tag.startswith(RESULTS):
            last = max(max(row) for row in rows)
            rows = [{last: row[max(row)]} for row in rows]
        steps = sorted({step for row in rows for step in row})
        values = np.array([[row.get(step, np.nan) for step in steps] for row in rows])
        mean, margin = mean_intervals(values)
        low, high = mean - margin, mean + margin
        if any(word in tag for word in FRACTIONS):
            low, high = low.clip(0, 1), high.clip(0, 1)
        for step, *ends in zip(steps, mean.tolist(), low.tolist(), high.tolist(), strict=True):
            if np.isfinite(ends).all():
                curves.setdefault(step, {})[tag] = Point(*ends)
    return curves
