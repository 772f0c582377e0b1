"""The comparison with the published generator of MNIST-C: its test, its table, and its error messages."""

import math

import pytest

from benchmarks.mnist_c_agreement import compare_generators, markdown, prediction_test, reference_sets
from utils.errors import UserError


def test_prediction_test_by_hand():
    # Mean 2, standard deviation 1: (4 - 2) / sqrt(1 + 1/3), two degrees of freedom, where p = 1 - t / sqrt(t^2 + 2).
    statistic, p_value = prediction_test(4.0, [1.0, 2.0, 3.0])
    assert statistic == pytest.approx(math.sqrt(3))
    assert p_value == pytest.approx(1 - math.sqrt(3 / 5))


def test_values_without_variance_make_any_difference_significant():
    assert prediction_test(0.5, [0.5, 0.5]) == (0.0, 1.0)
    assert prediction_test(0.75, [0.5, 0.5]) == (math.inf, 0.0)


def test_missing_reference_is_named():
    with pytest.raises(
        UserError, match=r"mnist_c_first_500.npz is missing.*\nThe file is not public: set MNIST_STUDY_"
    ):
        reference_sets()


@pytest.mark.real_mnist
def test_table_picture_and_error_rates(real_mirror, finished_run, tmp_path):
    try:
        reference_sets()
    except UserError:
        pytest.skip("the mirror has no reference digits of MNIST-C")
    result = compare_generators([finished_run], 2, ["stripe", "rotate"], tmp_path)
    assert (tmp_path / "mnist_c_agreement.png").stat().st_size > 10_000
    stripe, rotate = result["results"]
    assert stripe["agrees"] and stripe["furthest_levels"] == 0 and stripe["errors"] == [stripe["reference_error"]] * 2
    assert 0 < rotate["reference_error"] < 1 and "p" in rotate
    assert "| stripe |" in markdown(result) and result["runs"] == ["finished"]
