"""What a sample says about all: intervals over seeds and over digits, and whether two networks differ."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

NUM_RESAMPLES = 10_000
SEED = 0
TAILS = (0.025, 0.975)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the half-width of its 95 % interval, by Student's t; NaN for the half-width of a single value."""
    from scipy.stats import t  # takes half a second to import

    if len(values) < 2:
        return float(np.mean(values)), math.nan
    standard_error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(t.ppf(0.975, len(values) - 1) * standard_error)


def difference_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean over seeds of the first minus that of the second, by Welch's t (Welch 1947).

    NaN where either has a single value; without width where neither varies.
    """
    from scipy.stats import t

    if min(len(first), len(second)) < 2:
        return math.nan, math.nan
    difference = float(np.mean(first) - np.mean(second))
    # The squared standard errors of the two means.
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    if sum(errors) == 0:
        return difference, difference
    # Welch and Satterthwaite's degrees of freedom.
    degrees = sum(errors) ** 2 / (errors[0] ** 2 / (len(first) - 1) + errors[1] ** 2 / (len(second) - 1))
    half_width = float(t.ppf(0.975, degrees)) * math.sqrt(sum(errors))
    return difference - half_width, difference + half_width


def welch_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Welch's t test of equal means, two-sided; NaN where either has a single value."""
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2:
        return math.nan
    if np.var(first) == np.var(second) == 0:
        return float(np.mean(first) == np.mean(second))
    return float(ttest_ind(first, second, equal_var=False).pvalue)


def told_apart(p_values: Sequence[float]) -> list[bool]:
    """Which of these tests stand out when so few are called that one in twenty of them is false (Benjamini and Hochberg
    1995); none that is NaN."""
    from scipy.stats import false_discovery_control

    known = [p for p in p_values if not math.isnan(p)]
    adjusted = iter(false_discovery_control(known) if known else [])
    return [not math.isnan(p) and bool(next(adjusted) <= 0.05) for p in p_values]


def probability_first_beats_second(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float, tuple[float, float]]:
    """How often a run of the first is better than a run of the second, and the 95 % interval of that.

    The share of all pairs of seeds, ties half: A of Vargha and Delaney (2000), U / (n m) of Mann and Whitney (1947),
    recommended for networks by Bouthillier et al. (2021, arXiv 2103.03098). Larger values are better. The interval is
    the percentile bootstrap over seeds, NaN where either has a single value; of few seeds it is too narrow, and
    without width where every pair is won.
    """
    values, others = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)
    wins = (values > others) + 0.5 * (values == others)  # (n, m)
    if min(wins.shape) < 2:
        return float(wins.mean()), (math.nan, math.nan)
    generator = np.random.default_rng(SEED)
    # How often each seed is drawn, (NUM_RESAMPLES, n) and (NUM_RESAMPLES, m).
    draws = [generator.multinomial(size, np.full(size, 1 / size), size=NUM_RESAMPLES) for size in wins.shape]
    low, high = np.quantile((draws[0] @ wins * draws[1]).sum(axis=1) / wins.size, TAILS)
    return float(wins.mean()), (float(low), float(high))


def share_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `count` of `total` were seen (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_exact(first_right: Bool[np.ndarray, " n"], second_right: Bool[np.ndarray, " n"]) -> float:
    """The two-sided p-value of McNemar's exact test (McNemar 1947); 1 where the two are right on the same digits."""
    from scipy.stats import binomtest

    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    return float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0


def paired_bootstrap(difference: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over digits drawn anew with replacement (Efron 1979).

    Digits with the same difference are alike, so how often each value is drawn is multinomial.
    """
    values, counts = np.unique(difference, return_counts=True)
    draws = np.random.default_rng(SEED).multinomial(len(difference), counts / len(difference), size=NUM_RESAMPLES)
    low, high = np.quantile(draws @ values / len(difference), TAILS)
    return float(low), float(high)
