"""The comparison with the published generator of MNIST-C: its test, its table, and what it refuses."""

import math

import pytest

from benchmarks import mnist_c_agreement
from benchmarks.mnist_c_agreement import main, prediction_test, reference_sets
from utils.errors import UserError


def test_the_test_by_hand():
    # Mean 2, standard deviation 1: (4 - 2) / sqrt(1 + 1/3), two degrees of freedom, where p = 1 - t / sqrt(t^2 + 2).
    statistic, p_value = prediction_test(4.0, [1.0, 2.0, 3.0])
    assert statistic == pytest.approx(math.sqrt(3))
    assert p_value == pytest.approx(1 - math.sqrt(3 / 5))


def test_values_without_spread_make_any_difference_count():
    assert prediction_test(0.5, [0.5, 0.5]) == (0.0, 1.0)
    assert prediction_test(0.75, [0.5, 0.5]) == (math.inf, 0.0)


def test_a_missing_reference_is_named():
    with pytest.raises(UserError, match=r"mnist_c_first_500.npz is missing.*\nIt is no public file: set MNIST_STUDY_"):
        reference_sets()


@pytest.mark.parametrize("arguments, message", [([], "say which"), (["finished", "--seeds", "1"], "at least two")])
def test_what_cannot_be_compared_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        main(arguments)


@pytest.mark.real_mnist
def test_table_picture_and_figures_are_written(real_mirror, finished_run, tmp_path, monkeypatch, capsys):
    from benchmarks import results

    for module in (mnist_c_agreement, results):
        monkeypatch.setattr(module, "OUTPUT", tmp_path / "output")
    monkeypatch.setattr(mnist_c_agreement, "CORRUPTIONS", {"stripe": None, "rotate": None})
    try:
        reference_sets()
    except UserError:
        pytest.skip("the mirror has no reference digits of MNIST-C")
    main([str(finished_run.path), "--seeds", "2"])
    assert (tmp_path / "output" / "mnist_c_agreement.png").stat().st_size > 10_000
    stripe, rotate = results.read("mnist_c_agreement")["results"]
    assert stripe["agrees"] and stripe["furthest_levels"] == 0 and stripe["errors"] == [stripe["reference_error"]] * 2
    assert 0 < rotate["reference_error"] < 1 and "p" in rotate
    assert "| stripe |" in capsys.readouterr().out
