"""Confidence intervals over seeds and over images, and significance tests between networks. All intervals are 95 %."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

NUM_RESAMPLES = 10_000
SEED = 0
TAILS = (0.025, 0.975)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the half width of its interval by Student's t. The half width is NaN for a single value."""
    from scipy.stats import t  # takes half a second to import

    if len(values) < 2:
        return float(np.mean(values)), math.nan
    standard_error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(t.ppf(0.975, len(values) - 1) * standard_error)


def difference_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The interval of the difference of the means, first minus second, by Welch's t (Welch 1947).

    NaN if either has a single value. The interval has zero width if neither varies.
    """
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2:
        return math.nan, math.nan
    if np.var(first) == np.var(second) == 0:
        return (float(np.mean(first) - np.mean(second)),) * 2
    interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def welch_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of Welch's t test for equal means. NaN if either has a single value."""
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2:
        return math.nan
    if np.var(first) == np.var(second) == 0:
        return float(np.mean(first) == np.mean(second))
    return float(ttest_ind(first, second, equal_var=False).pvalue)


def p_value_text(p_value: float) -> str:
    """`p = 0.034`, or `p < 0.0001` for smaller values."""
    return f"p = {p_value:.2g}" if p_value >= 0.0001 else "p < 0.0001"


def benjamini_hochberg(p_values: Sequence[float]) -> list[bool]:
    """Which tests are significant at a false discovery rate of 5 % (Benjamini and Hochberg 1995). NaN is never
    significant."""
    from scipy.stats import false_discovery_control

    known = [p for p in p_values if not math.isnan(p)]
    adjusted = iter(false_discovery_control(known) if known else [])
    return [not math.isnan(p) and bool(next(adjusted) <= 0.05) for p in p_values]


def probability_first_beats_second(first: Sequence[float], second: Sequence[float]) -> float:
    """The probability that a run of the first has a larger value than a run of the second.

    It is the fraction of all pairs of seeds, where a tie counts one half: A of Vargha and Delaney (2000), U / (n m) of
    Mann and Whitney (1947), recommended for networks by Bouthillier et al. (2021, arXiv 2103.03098).
    """
    values, others = np.asarray(first)[:, None], np.asarray(second)
    return float(((values > others) + 0.5 * (values == others)).mean())


def share_interval(count: int, total: int) -> tuple[float, float]:
    """The interval of a proportion, given `count` successes in `total` trials (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_exact(first_correct: Bool[np.ndarray, " n"], second_correct: Bool[np.ndarray, " n"]) -> float:
    """The two-sided p-value of McNemar's exact test (McNemar 1947). 1 if both are correct on the same images."""
    from scipy.stats import binomtest

    only_first = int((first_correct & ~second_correct).sum())
    only_second = int((second_correct & ~first_correct).sum())
    return float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0


def paired_bootstrap(difference: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean difference over images (Efron 1979).

    Draws how often each distinct value occurs, from a multinomial distribution, because images with the same difference
    are interchangeable.
    """
    values, counts = np.unique(difference, return_counts=True)
    draws = np.random.default_rng(SEED).multinomial(len(difference), counts / len(difference), size=NUM_RESAMPLES)
    low, high = np.quantile(draws @ values / len(difference), TAILS)
    return float(low), float(high)
