"""Confidence intervals and tests against hand-computed and published numbers, SciPy, and simulated coverage."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, ttest_ind

from utils.statistics import (
    benjamini_hochberg,
    difference_interval,
    mcnemar_exact,
    mean_interval,
    p_value_text,
    paired_bootstrap,
    probability_first_beats_second,
    share_interval,
    welch_p_value,
)


def test_mean_interval_equals_the_hand_computed_one():
    mean, half_width = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half_width == pytest.approx(4.302653 * 1 / math.sqrt(3), rel=1e-6)  # t(0.975, 2) from the table
    assert math.isnan(mean_interval([1.0])[1])


def test_wilson_interval_equals_the_hand_computed_one():
    z, n, p = 1.959964, 100, 0.9
    shrink = 1 + z**2 / n
    centre, half = (p + z**2 / (2 * n)) / shrink, z / shrink * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert share_interval(90, 100) == pytest.approx((centre - half, centre + half), rel=1e-5)


@pytest.mark.parametrize(
    ("count", "total", "interval"),
    [
        # Newcombe 1998, table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        # By hand.
        (8, 10, (0.4902, 0.9433)),
    ],
)
def test_wilson_intervals_equal_published_ones(count, total, interval):
    assert share_interval(count, total) == pytest.approx(interval, abs=5e-5)


def test_mean_interval_covers_the_mean_in_95_percent_of_samples():
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    intervals = [mean_interval(sample.tolist()) for sample in samples]
    assert np.mean([abs(mean - 3.0) <= half_width for mean, half_width in intervals]) == pytest.approx(0.95, abs=0.015)


def test_welch_interval_equals_scipys():
    first, second = [98.1, 98.4, 98.0, 98.6], [97.2, 98.9, 96.5]
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert difference_interval(first, second) == pytest.approx((expected.low, expected.high))
    low, high = difference_interval(second, first)
    assert (-high, -low) == pytest.approx(difference_interval(first, second))


def test_welch_interval_equals_the_hand_computed_one():
    # Equal sizes and variances: 2 n - 2 = 4 degrees of freedom, t(0.975, 4) from the table.
    half_width = 2.776445 * math.sqrt(1 / 3 + 1 / 3)
    assert difference_interval([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]) == pytest.approx((1 - half_width, 1 + half_width))


def test_welch_interval_of_unequal_groups_has_95_percent_coverage():
    generator = np.random.default_rng(0)
    pairs = [(generator.normal(1, 3, size=4).tolist(), generator.normal(0, 1, size=12).tolist()) for _ in range(2000)]
    covered = [low <= 1 <= high for low, high in (difference_interval(*pair) for pair in pairs)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_difference_interval_of_single_or_constant_values():
    assert all(map(math.isnan, difference_interval([0.9], [0.8, 0.7])))
    assert difference_interval([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.25)


def test_probability_of_beating_equals_the_hand_computed_one():
    # Pairs won by 3: both; by 2: one and a tie; by 1: a tie (1 against 1) and a loss.
    assert probability_first_beats_second([1, 2, 3], [1, 2]) == pytest.approx((0.5 + 1.5 + 2) / 6)
    assert probability_first_beats_second([1, 2], [1, 2, 3]) == pytest.approx(1 - (0.5 + 1.5 + 2) / 6)
    assert probability_first_beats_second([5, 6], [1, 2]) == 1 and probability_first_beats_second([2], [1, 2]) == 0.75


def test_probability_of_beating_equals_mann_whitney_u_over_all_pairs():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 9, size=12).tolist(), generator.integers(0, 9, size=7).tolist()
    expected = mannwhitneyu(first, second).statistic / (12 * 7)
    assert probability_first_beats_second(first, second) == pytest.approx(expected)


def test_mcnemar_equals_a_published_table():
    # Agresti, Categorical Data Analysis, table 10.1: 150 and 86 of 1,600 voters changed their minds; z = 4.17.
    first, second = np.zeros(1600, bool), np.zeros(1600, bool)
    first[:150] = second[150:236] = True
    by_chance = sum(math.comb(236, k) for k in range(87)) / 2**236
    assert mcnemar_exact(first, second) == pytest.approx(2 * by_chance)
    assert mcnemar_exact(first, second) == pytest.approx(math.erfc(4.17 / math.sqrt(2)), rel=0.25)


def test_mcnemar_equals_the_hand_computed_value():
    first = np.array([True] * 8 + [False] * 2 + [True] * 90)
    second = np.array([False] * 8 + [True] * 2 + [True] * 90)
    assert mcnemar_exact(first, second) == pytest.approx(2 * (1 + 10 + 45) / 2**10)  # binomial(10, 1/2) at most 2
    assert mcnemar_exact(first, first) == 1.0


def test_p_values_are_never_shown_as_zero():
    assert [p_value_text(p) for p in (1.0, 0.0341, 0.0001, 0.00009, 0.0)] == [
        "p = 1", "p = 0.034", "p = 0.0001", "p < 0.0001", "p < 0.0001"
    ]  # fmt: skip


def test_bootstrap_matches_the_normal_approximation():
    difference = np.array([1.0] * 60 + [-1.0] * 40 + [0.0] * 900)
    low, high = paired_bootstrap(difference)
    half = 1.96 * difference.std() / 1000**0.5
    assert low == pytest.approx(0.02 - half, abs=0.001) and high == pytest.approx(0.02 + half, abs=0.001)
    assert paired_bootstrap(np.zeros(50)) == (0.0, 0.0)


def test_welch_p_value_equals_scipys():
    first, second = [1.0, 2.0, 4.0], [3.0, 5.0, 9.0, 6.0]
    assert welch_p_value(first, second) == ttest_ind(first, second, equal_var=False).pvalue
    assert math.isnan(welch_p_value([1.0], second))
    assert welch_p_value([1.0, 1.0], [1.0, 1.0]) == 1 and welch_p_value([1.0, 1.0], [2.0, 2.0]) == 0


def test_benjamini_hochberg_equals_the_published_example():
    # Their example (1995, section 3.2): 15 hypotheses, of which the procedure rejects four at 0.05.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
                0.7590, 1.0]  # fmt: skip
    assert benjamini_hochberg(p_values) == [True] * 4 + [False] * 11
    assert benjamini_hochberg([math.nan, 0.01]) == [False, True] and benjamini_hochberg([]) == []
