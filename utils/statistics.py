"""Confidence intervals over seeds and over images, and significance tests between networks.

Errors on MNIST's test digits cluster by writer: 297 people wrote the 10,000 digits. Functions with `clusters` take the
writer of each image and count the writers, not the images, as independent. Intervals are 95 % unless a level is given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

LEVEL = 0.95
MIN_SEEDS = 5  # of a recipe, for an interval and for a claim that hold for other seeds
NUM_RESAMPLES = 2_000
SEED = 0
MAX_DESIGN_EFFECT = 3.0  # the largest of networks on MNIST's test digits
MIN_CLUSTER_DF = 8.0  # with fewer the interval of a handful of errors would be useless, and it covers enough with these
TAILS = (0.025, 0.975)

Clusters = Int64[np.ndarray, " n"] | None


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the half width of its interval by Student's t. The half width is NaN for a single value."""
    means, half_widths = mean_intervals(np.array(values, dtype=np.float64)[:, None])
    return float(means[0]), float(half_widths[0])


def mean_intervals(
    values: Float64[np.ndarray, "seeds n"],
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """As `mean_interval`, for each column over the seeds that are not NaN. The mean of a column of NaN is NaN."""
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    is_known = ~np.isnan(values)
    count = is_known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(is_known, values, 0).sum(0) / count
        variances = np.where(is_known, (values - means) ** 2, 0).sum(0) / (count - 1)
        half_widths = stdtrit(count - 1, 0.975) * np.sqrt(variances / count)
    return means, np.where(count > 1, half_widths, np.nan)


def difference_interval(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """The interval of the difference of the means, first minus second, by Welch's t (Welch 1947).

    NaN if either has a single value. The interval has zero width if neither varies.
    """
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2:
        return math.nan, math.nan
    if np.var(first) == np.var(second) == 0:
        return (float(np.mean(first) - np.mean(second)),) * 2
    interval = ttest_ind(first, second, equal_var=False).confidence_interval(level)
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


def fcr_level(significant: Sequence[bool]) -> float:
    """The level for the intervals of those effects of a family that `benjamini_hochberg` selected: 1 - 0.05 R / m for R
    of m effects. Then 5 % of these intervals, on average, miss their effect (Benjamini and Yekutieli 2005)."""
    return 1 - (1 - LEVEL) * sum(significant) / len(significant) if any(significant) else LEVEL


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
    """The percentile bootstrap interval of the mean difference over independent images (Efron 1979).

    Draws how often each distinct value occurs, from a multinomial distribution, because images with the same difference
    are interchangeable.
    """
    values, counts = np.unique(difference, return_counts=True)
    draws = np.random.default_rng(SEED).multinomial(len(difference), counts / len(difference), size=NUM_RESAMPLES)
    return percentile_interval(draws @ values / len(difference))


# The bootstrap over clusters of images.


def percentile_interval(draws: Float64[np.ndarray, " resamples"]) -> tuple[float, float]:
    low, high = np.quantile(draws, TAILS)
    return float(low), float(high)


def resampled_clusters(num_clusters: int) -> Int64[np.ndarray, "resamples clusters"]:
    """How often each cluster occurs in each resample of as many clusters, always the same."""
    chances = np.full(num_clusters, 1 / num_clusters)
    return np.random.default_rng(SEED).multinomial(num_clusters, chances, size=NUM_RESAMPLES)


def cluster_bootstrap(
    values: Shaped[np.ndarray, "rows n"], clusters: Clusters = None
) -> Float64[np.ndarray, "resamples rows"]:
    """The mean of each row of values in every resample of whole clusters (Davison and Hinkley 1997, 3.8).

    Several rows are resampled together, so that a statistic that is a function of means can be resampled.
    """
    sums, sizes = cluster_sums(values, clusters)
    counts = resampled_clusters(len(sizes)).astype(np.float64)
    means: Float64[np.ndarray, "resamples rows"] = counts @ sums.T / (counts @ sizes)[:, None]
    return means


def cluster_sums(
    values: Shaped[np.ndarray, "rows n"], clusters: Clusters = None
) -> tuple[Float64[np.ndarray, "rows clusters"], Float64[np.ndarray, " clusters"]]:
    """The sum of each row within each cluster, and the number of images of each cluster."""
    if clusters is None:
        return values.astype(np.float64), np.ones(values.shape[1])
    codes = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    return np.stack([np.bincount(codes, row, len(sizes)) for row in values]), sizes


def design_effect(values: Shaped[np.ndarray, " n"], clusters: Int64[np.ndarray, " n"]) -> tuple[float, float, float]:
    """The variance of the mean with clusters over the variance of independent images (Kish 1965), with the bootstrap
    interval over clusters. NaN if all values are equal."""
    (sums, squares), sizes = cluster_sums(np.stack([values, np.square(values, dtype=np.float64)]), clusters)
    counts = np.vstack([np.ones(len(sizes)), resampled_clusters(len(sizes))])  # the first row is the sample
    totals = counts @ sizes
    means = counts @ sums / totals
    clustered = counts @ sums**2 - 2 * means * (counts @ (sums * sizes)) + means**2 * (counts @ sizes**2)
    independent = counts @ squares - totals * means**2
    with np.errstate(invalid="ignore", divide="ignore"):
        effects = np.where(independent > 0, clustered / independent, np.nan) * len(sizes) / (len(sizes) - 1)
    if math.isnan(effects[0]):
        return math.nan, math.nan, math.nan
    low, high = np.nanquantile(effects[1:], TAILS)
    return float(effects[0]), float(low), float(high)


# Intervals over seeds and images.


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and images, or a difference of two means, with its 95 % confidence interval."""

    value: float
    low: float
    """NaN if there is no interval."""
    high: float
    num_seeds: int
    """Of the smaller group for a difference."""
    seed_error: float
    """The part of the standard error that comes from the seeds; NaN for a single seed."""
    image_error: float
    """The part that comes from the images, by cluster."""
    p_value: float = math.nan
    """Two-sided test that a difference is 0."""

    @property
    def has_enough_seeds(self) -> bool:
        """Whether there are enough seeds for a claim about other seeds of the same recipes."""
        return self.num_seeds >= MIN_SEEDS


@dataclass(frozen=True)
class _Group:
    """The values of one recipe: its seeds' means, and what each cluster adds to their error."""

    means: Float64[np.ndarray, " seeds"]
    residuals: Float64[np.ndarray, "seeds clusters"]
    spread: float
    """Variance of the means over the seeds; NaN for a single seed."""
    churn: float
    """The part of the spread that comes from the choice of images, because the seeds err on different ones."""
    df: int
    """Degrees of freedom of the spread."""

    @staticmethod
    def of(values: Shaped[np.ndarray, "seeds n"], clusters: Clusters) -> "_Group":
        sums, sizes = cluster_sums(values, clusters)
        means = values.mean(axis=1, dtype=np.float64)
        residuals = (sums - means[:, None] * sizes) / values.shape[1]
        if len(means) == 1:
            return _Group(means, residuals, math.nan, math.nan, 0)
        churn = sum(map(_clustered_variance, residuals - residuals.mean(0))) / (len(means) - 1)
        return _Group(means, residuals, float(means.var(ddof=1)), churn, len(means) - 1)

    def or_spread_of(self, other: "_Group") -> "_Group":
        """The group itself; if it has a single seed, with the spread of the other."""
        return self if self.df else replace(self, spread=other.spread, churn=other.churn, df=other.df)


def total_interval(values: Shaped[np.ndarray, "seeds n"], clusters: Clusters = None) -> Interval:
    """The interval of the mean of values from 0 to 1, such as whether each network classifies each image correctly.

    It holds for other seeds and other clusters of images: the two variances are added without the part that both
    contain (two-way clustering, Cameron, Gelbach and Miller 2011), with Satterthwaite's degrees of freedom, on the
    logit scale. For a single seed it holds for this network on other images. If all values are 0 or all are 1, no
    variance can be measured: then it is Wilson's interval, with clusters for a design effect of MAX_DESIGN_EFFECT.
    """
    group = _Group.of(values, clusters)
    value, (error, df) = float(group.means.mean()), _error([group])
    if 0 < value < 1:
        low, high = logit_t_interval(value, error, df)
    else:
        num_independent = max(1, round(values.shape[1] / (1 if clusters is None else MAX_DESIGN_EFFECT)))
        low, high = share_interval(round(value) * num_independent, num_independent)
    return Interval(value, low, high, len(values), _seed_error([group]), _image_error([group]))


def total_difference(
    first: Shaped[np.ndarray, "seeds n"],
    second: Shaped[np.ndarray, "others n"],
    clusters: Clusters = None,
    level: float = LEVEL,
) -> Interval:
    """The interval of the mean of the first minus the mean of the second on the same images, with a p-value.

    As `total_interval`, paired by image, with Student's t. A single seed takes the spread of the other group's seeds.
    For two single seeds the interval holds for these two networks on other images.
    """
    one, other = _Group.of(first, clusters), _Group.of(second, clusters)
    groups = [one.or_spread_of(other), other.or_spread_of(one)]
    value = float(one.means.mean() - other.means.mean())
    error, df = _error(groups)
    margin, p_value = _student(value, error, df, level)
    num_seeds = min(len(first), len(second))
    return Interval(
        value, value - margin, value + margin, num_seeds, _seed_error(groups), _image_error(groups), p_value
    )


def interval_over_seeds(values: Sequence[float], image_errors: Sequence[float], is_fraction: bool = True) -> Interval:
    """The interval of the mean of one value per seed, given the standard error of each from its images (NaN: unknown).

    All seeds have the same images, so the error from the images does not shrink with the number of seeds. Fractions
    have their interval on the logit scale. Where the error exceeds the mean or its distance from 1, as for a robust
    accuracy near 0, the logit is far from linear: the interval is then on the scale of the fraction, cut at 0 and 1.
    There is no interval if no error is known.
    """
    value, image_error = float(np.mean(values)), float(np.sqrt(np.mean(np.square(image_errors))))
    spread = float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else math.nan
    parts = [part for part in (spread, image_error**2) if not math.isnan(part)]
    variance = sum(parts)
    df = (len(values) - 1) * (variance / spread) ** 2 if len(values) > 1 and spread else math.inf
    interval = Interval(value, math.nan, math.nan, len(values), math.sqrt(spread), image_error)
    if not parts:
        return interval
    error = math.sqrt(variance)
    if is_fraction and error < value * (1 - value):
        low, high = logit_t_interval(value, error, df)
    else:
        margin, _ = _student(value, error, df)
        low, high = value - margin, value + margin
        if is_fraction:
            low, high = max(0.0, low), min(1.0, high)
    return replace(interval, low=low, high=high)


def accuracy_interval(
    is_correct: Bool[np.ndarray, " n"], writers: Int64[np.ndarray, " n"] | None
) -> tuple[float, float]:
    """The 95 % confidence interval of the fraction of correct predictions of one network.

    It holds for other writers if the writers are known, else for other independent images (Wilson 1927).
    """
    if writers is None:
        return share_interval(int(is_correct.sum()), len(is_correct))
    interval = total_interval(is_correct[None], writers)
    if interval.low < interval.high:
        return interval.low, interval.high
    num_writers = len(np.unique(writers))  # all writers have the same accuracy: their spread cannot be measured
    return share_interval(round(interval.value * num_writers), num_writers)


def logit_t_interval(value: float, error: float, df: float) -> tuple[float, float]:
    """Student's interval of a fraction between 0 and 1 on the logit scale, so that it stays between 0 and 1."""
    from scipy.special import expit, logit

    margin, _ = _student(value, error / (value * (1 - value)), df)
    return float(expit(logit(value) - margin)), float(expit(logit(value) + margin))


def _student(value: float, error: float, df: float, level: float = LEVEL) -> tuple[float, float]:
    """The margin of Student's interval, and the two-sided p-value of 0."""
    from scipy.stats import t

    if error == 0:
        return 0.0, float(value == 0)
    return float(t.isf((1 - level) / 2, df) * error), float(2 * t.sf(abs(value) / error, df))


def _error(groups: Sequence[_Group]) -> tuple[float, float]:
    """The standard error of a mean, or of the difference of two, and its degrees of freedom (Satterthwaite 1946)."""
    image_variance = _image_error(groups) ** 2
    uncertainty = image_variance**2 / _cluster_df(_residuals(groups)) if image_variance else 0.0
    seed_variance = churn = 0.0
    if groups[0].df:
        parts = [group.spread / len(group.means) for group in groups]
        seed_variance, churn = sum(parts), sum(group.churn / len(group.means) for group in groups)
        is_shared = len({(group.spread, group.df) for group in groups}) < len(groups)
        squares = [seed_variance] if is_shared else parts
        uncertainty += sum(part**2 / group.df for part, group in zip(squares, groups, strict=False))
    variance = image_variance + max(0.0, seed_variance - churn)
    return math.sqrt(variance), max(1.0, variance**2 / uncertainty) if uncertainty else math.inf


def _seed_error(groups: Sequence[_Group]) -> float:
    return math.sqrt(sum(group.spread / len(group.means) for group in groups))


def _image_error(groups: Sequence[_Group]) -> float:
    return math.sqrt(_clustered_variance(_residuals(groups)))


def _residuals(groups: Sequence[_Group]) -> Float64[np.ndarray, " clusters"]:
    """What each cluster adds to the error of the mean of the group, or of the first minus the second."""
    first, *others = (group.residuals.mean(0) for group in groups)
    return first - sum(others)


def _clustered_variance(residuals: Float64[np.ndarray, " clusters"]) -> float:
    """The variance of a sum over clusters: that of the bootstrap over clusters, in closed form."""
    return float(np.square(residuals).sum()) * len(residuals) / max(1, len(residuals) - 1)


def _cluster_df(residuals: Float64[np.ndarray, " clusters"]) -> float:
    """The degrees of freedom of this variance, by its own variance: few if few clusters have errors."""
    squares = np.square(residuals)
    scatter = float(np.square(squares - squares.mean()).sum())
    return max(MIN_CLUSTER_DF, 2 * float(squares.sum()) ** 2 / scatter) if scatter else math.inf


# Writers.


def beta_binomial_std(
    counts: Int64[np.ndarray, " clusters"], sizes: Int64[np.ndarray, " clusters"]
) -> tuple[float, float, float]:
    """The standard deviation of the clusters' own rates, beyond what chance adds to the observed `counts / sizes`.

    Maximum likelihood of a beta-binomial distribution (Skellam 1948) with the interval of its profile likelihood, which
    begins at 0 if equal rates explain the counts. All zeros if no count, or every count, is positive throughout.
    """
    from scipy.optimize import brentq, minimize_scalar

    rate = counts.sum() / sizes.sum()
    if rate in (0.0, 1.0):
        return 0.0, 0.0, 0.0
    largest = 0.99 * math.sqrt(rate * (1 - rate))

    def deviance(std: float) -> float:
        """Minus twice the highest log-likelihood for this standard deviation, over the mean rate."""
        middle = math.log(rate / (1 - rate))
        fit = minimize_scalar(
            lambda logit: -2 * _beta_binomial(counts, sizes, 1 / (1 + math.exp(-logit)), std),
            bounds=(middle - 3, middle + 3),
            method="bounded",
        )
        return float(fit.fun)

    best = float(minimize_scalar(deviance, bounds=(0.0, largest), method="bounded", options={"xatol": 1e-6}).x)
    best = 0.0 if deviance(0.0) <= deviance(best) else best
    limit = deviance(best) + 3.841459  # the 95 % quantile of chi-squared with one degree of freedom

    def excess(std: float) -> float:
        return deviance(std) - limit

    low = brentq(excess, 0.0, best, xtol=1e-6) if excess(0.0) > 0 else 0.0
    high = brentq(excess, best, largest, xtol=1e-6) if excess(largest) > 0 else largest
    return best, float(low), float(high)


def _beta_binomial(
    counts: Int64[np.ndarray, " clusters"], sizes: Int64[np.ndarray, " clusters"], mean: float, std: float
) -> float:
    """The log-likelihood, up to a constant, of a beta distribution of rates; of equal rates for a tiny `std`."""
    from scipy.special import betaln

    relative = std**2 / (mean * (1 - mean))
    if relative < 1e-8:
        return float(counts.sum() * math.log(mean) + (sizes - counts).sum() * math.log1p(-mean))
    if relative >= 1:
        return -1e30
    total = 1 / relative - 1
    first, second = mean * total, (1 - mean) * total
    return float((betaln(first + counts, second + sizes - counts) - betaln(first, second)).sum())
