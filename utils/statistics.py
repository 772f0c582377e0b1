"""What a few seeds say about all seeds."""

import math
from collections.abc import Sequence

import numpy as np


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the half-width of its 95 % interval, by Student's t; NaN for the half-width of a single value."""
    from scipy.stats import t  # takes half a second to import

    if len(values) < 2:
        return float(np.mean(values)), math.nan
    standard_error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(t.ppf(0.975, len(values) - 1) * standard_error)


def share_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `count` of `total` were seen (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
