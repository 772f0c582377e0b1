"""Confidence intervals and tests against hand-computed and published numbers, SciPy, and simulated coverage."""

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm, ttest_ind

from utils.data.writers import mnist_writers
from utils.statistics import (
    benjamini_hochberg,
    beta_binomial_std,
    cluster_bootstrap,
    design_effect,
    difference_interval,
    fcr_level,
    interval_over_seeds,
    logit_t_interval,
    mcnemar_exact,
    mean_interval,
    mean_intervals,
    p_value_text,
    paired_bootstrap,
    percentile_interval,
    share_interval,
    total_difference,
    total_interval,
    welch_p_value,
)


def test_mean_interval_equals_the_hand_computed_one():
    mean, half_width = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half_width == pytest.approx(4.302653 * 1 / math.sqrt(3), rel=1e-6)  # t(0.975, 2) from the table
    assert math.isnan(mean_interval([1.0])[1])


def test_mean_intervals_are_those_of_each_column_without_its_missing_values():
    table = np.array([[1.0, 0.5, math.nan], [2.0, 0.25, math.nan], [3.0, math.nan, 7.0]])
    means, half_widths = mean_intervals(table)
    for column, known in enumerate(([1.0, 2.0, 3.0], [0.5, 0.25], [7.0])):
        expected = mean_interval(known)
        assert (means[column], half_widths[column]) == pytest.approx(expected, nan_ok=True)
    assert math.isnan(mean_intervals(np.full((2, 1), math.nan))[0][0])


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


# Clusters: images by the same writer.

WRITERS = np.unique(mnist_writers("test"), return_inverse=True)[1]
NUM_WRITERS = 297


def simulated_seeds(generator, num_seeds, difficulty, seed_std, noise=1.0):
    """Whether networks of one recipe are correct: they share the difficulty of the images, and differ in their mean."""
    means = generator.normal(0, seed_std, (num_seeds, 1))
    return difficulty + means + generator.normal(0, noise, (num_seeds, len(difficulty))) > 0


def simulated_difficulty(generator, mean=4.6, writer_std=0.7, image_std=1.2):
    return mean + generator.normal(0, writer_std, NUM_WRITERS)[WRITERS] + generator.normal(0, image_std, len(WRITERS))


def test_the_bootstrap_resamples_whole_writers():
    values = np.repeat([1.0, 0.0, 0.0, 0.0], 25)[None]
    draws = cluster_bootstrap(values, np.arange(100) // 25)[:, 0]
    assert set(np.round(draws * 4).astype(int)) == {0, 1, 2, 3, 4} and np.allclose(draws * 4, np.round(draws * 4))
    assert draws.std() == pytest.approx((0.25 * 0.75 / 4) ** 0.5, rel=0.03)
    assert cluster_bootstrap(values)[:, 0].std() == pytest.approx((0.25 * 0.75 / 100) ** 0.5, rel=0.05)


def test_writers_of_unequal_diligence_count_by_their_images():
    draws = cluster_bootstrap(np.array([[1.0] * 9 + [0.0]]), np.array([0] * 9 + [1]))[:, 0]
    assert set(np.round(draws, 6)) == {0.0, 0.9, 1.0}


def test_the_error_in_closed_form_is_that_of_the_bootstrap():
    generator = np.random.default_rng(0)
    values = simulated_seeds(generator, 3, simulated_difficulty(generator, mean=3), 0.0)
    interval = total_interval(values, WRITERS)
    assert interval.image_error == pytest.approx(cluster_bootstrap(values, WRITERS).mean(1).std(), rel=0.05)
    assert interval.value == pytest.approx(values.mean())
    low, high = percentile_interval(cluster_bootstrap(values[:1], WRITERS)[:, 0])
    single = total_interval(values[:1], WRITERS)
    assert (single.low, single.high) == pytest.approx((low, high), abs=0.001)


def test_the_design_effect_of_equal_writers_is_one_and_of_copies_their_number():
    generator = np.random.default_rng(0)
    effect, low, high = design_effect(generator.random(10_000) < 0.02, WRITERS)
    assert low < 1 < high and effect == pytest.approx(1, abs=0.25)
    copied = np.repeat(generator.random(400) < 0.1, 25)
    effect, low, high = design_effect(copied, np.arange(10_000) // 25)
    assert effect == pytest.approx(25, rel=0.01) and low == pytest.approx(25, rel=0.05)
    assert all(map(math.isnan, design_effect(np.ones(50), np.arange(50) // 5)))


@pytest.mark.parametrize("rate", [0.0005, 0.004, 0.02])
def test_the_interval_of_a_network_covers_its_accuracy_for_other_writers(rate):
    """Logit-t with writers covers; Wilson's interval of independent images covers 70 to 80 %."""
    generator, covered, covered_without = np.random.default_rng(0), [], []
    sizes = np.bincount(WRITERS)
    for _ in range(300):
        rates = generator.beta(rate / 0.04, (1 - rate) / 0.04, NUM_WRITERS)
        wrong = generator.random(len(WRITERS)) < rates[WRITERS]
        interval = total_interval(~wrong[None], WRITERS)
        covered.append(interval.low <= 1 - rate <= interval.high)
        low, high = share_interval(int((~wrong).sum()), len(wrong))
        covered_without.append(low <= 1 - rate <= high)
        assert 0 <= interval.low <= interval.high <= 1
    assert sizes.sum() == 10_000
    assert np.mean(covered) >= 0.92 and np.mean(covered_without) < 0.9


@pytest.mark.parametrize("seed_std", [0.0, 0.15])
def test_the_total_interval_covers_the_mean_over_seeds_and_writers(seed_std):
    """Student's interval over the seeds alone covers far less, because all seeds have the same images."""
    generator, covered, covered_by_seeds = np.random.default_rng(0), [], []
    truth = norm.cdf(4.6 / (0.7**2 + 1.2**2 + 1 + seed_std**2) ** 0.5)
    for _ in range(150):
        values = simulated_seeds(generator, 5, simulated_difficulty(generator), seed_std)
        interval = total_interval(values, WRITERS)
        covered.append(interval.low <= truth <= interval.high)
        mean, margin = mean_interval(values.mean(1).tolist())
        covered_by_seeds.append(abs(mean - truth) <= margin)
    assert np.mean(covered) >= 0.9 and np.mean(covered_by_seeds) < 0.88


def test_logit_t_intervals_of_accuracies_near_one_cover_and_stay_below_one():
    generator, truth = np.random.default_rng(0), 0.99
    covered, inside, inside_without = [], [], []
    for _ in range(1000):
        values = expit(generator.normal(math.log(truth / (1 - truth)), 0.6, 5))
        interval = interval_over_seeds(values.tolist(), [math.nan] * 5)
        expected = 0.98809  # the mean of the logit-normal distribution
        covered.append(interval.low <= expected <= interval.high)
        inside.append(interval.high < 1)
        mean, margin = mean_interval(values.tolist())
        inside_without.append(mean + margin < 1)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)
    assert all(inside) and not all(inside_without)
    low, high = logit_t_interval(0.5, 0.01, math.inf)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.01, 0.5 + 1.96 * 0.01), abs=1e-4)


def test_an_interval_without_errors_ends_at_one():
    clustered, independent = total_interval(np.ones((2, 300)), np.arange(300) // 10), total_interval(np.ones((2, 300)))
    assert clustered.high == independent.high == 1
    assert independent.low == pytest.approx(share_interval(300, 300)[0])
    assert clustered.low == pytest.approx(share_interval(100, 100)[0])  # a design effect of 3


@pytest.mark.parametrize(("sizes", "seed_std"), [((2, 1), 0.0), ((3, 1), 0.12), ((8, 1), 0.12), ((5, 5), 0.12)])
def test_equal_recipes_seldom_differ(sizes, seed_std):
    generator, p_values = np.random.default_rng(0), []
    for _ in range(120):
        difficulty = simulated_difficulty(generator)
        groups = (simulated_seeds(generator, size, difficulty, seed_std) for size in sizes)
        p_values.append(total_difference(*groups, WRITERS).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.09


def test_a_difference_is_paired_by_image_and_has_the_error_of_both():
    generator = np.random.default_rng(0)
    difficulty = simulated_difficulty(generator, mean=3)
    first, second = (simulated_seeds(generator, 6, difficulty + gain, 0.1) for gain in (0.5, 0.0))
    interval = total_difference(first, second, WRITERS)
    assert interval.value == pytest.approx(first.mean() - second.mean()) and interval.num_seeds == 6
    assert interval.low > 0 and interval.p_value < 0.01
    assert interval.image_error < total_interval(first, WRITERS).image_error  # paired
    mirrored = total_difference(second, first, WRITERS)
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low))
    assert total_difference(first, first, WRITERS).p_value == 1
    wider = total_difference(first, second, WRITERS, level=0.99)
    assert wider.low < interval.low and wider.high > interval.high


def test_an_interval_over_seeds_adds_the_error_from_the_images():
    values = [0.98, 0.985, 0.99, 0.975, 0.98]
    alone, both = (interval_over_seeds(values, [error] * 5) for error in (math.nan, 0.01))
    assert math.isnan(alone.image_error) and both.image_error == pytest.approx(0.01)
    assert both.low < alone.low < 0.982 < alone.high < both.high < 1
    single = interval_over_seeds([0.98], [0.01])
    assert not single.has_enough_seeds and math.isnan(single.seed_error) and single.low < 0.98 < single.high
    assert math.isnan(interval_over_seeds([0.98], [math.nan]).low)
    assert interval_over_seeds([0.0] * 5, [0.01] * 5).low == 0 < interval_over_seeds([0.0] * 5, [0.01] * 5).high
    one_survivor = interval_over_seeds([0, 0, 0, 0, 0.001], [0.0015] * 4 + [0.001])
    assert one_survivor.low == 0 and 0.002 < one_survivor.high < 0.006  # 1 of 5,000; none of 1,000 is at most 0.0037


def test_the_spread_of_writers_is_found_and_absent_if_they_are_alike():
    generator, sizes = np.random.default_rng(0), np.bincount(WRITERS)
    covered = []
    for _ in range(15):
        rates = generator.beta(0.02 / 0.05, 0.98 / 0.05, NUM_WRITERS)
        std, low, high = beta_binomial_std(generator.binomial(sizes, rates), sizes)
        covered.append(low <= (0.02 * 0.98 / (1 / 0.05 + 1)) ** 0.5 <= high)
        assert 0 < low < std < high
    assert sum(covered) >= 13
    std, low, _ = beta_binomial_std(generator.binomial(sizes, 0.02), sizes)
    assert low == 0 and std < 0.01
    assert beta_binomial_std(np.zeros(5, np.int64), np.full(5, 10)) == (0, 0, 0)


def test_the_level_of_selected_intervals_takes_the_selection_into_account():
    assert fcr_level([True] * 4) == 0.95 and fcr_level([False] * 4) == 0.95
    assert fcr_level([True, False, False, False, False]) == pytest.approx(0.99)
