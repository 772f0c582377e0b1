"""The comparison with the published generator of MNIST-C: its test, its table, and its error messages."""

import math

import numpy as np
import pytest
from PIL import Image

from benchmarks.mnist_c_agreement import (
    RANDOM_CORRUPTIONS,
    compare_generators,
    difference_interval,
    markdown,
    published_generator,
    reference_sets,
)
from utils.errors import UserError


def test_the_interval_of_the_difference_by_hand():
    # Mean 2, standard deviation 1: 4 - 2 plus and minus t * sqrt(1 + 1/3); at two degrees of freedom the 95 % quantile
    # of t is 0.9 * sqrt(2 / (4 * 0.95 * 0.05)).
    width = 0.9 * math.sqrt(2 / 0.19) * math.sqrt(4 / 3)
    assert difference_interval(4.0, [1.0, 2.0, 3.0]) == pytest.approx((2 - width, 2 + width))


def test_few_noisy_draws_do_not_show_equivalence():
    # No significant difference, but no proof of equivalence within two points either.
    low, high = difference_interval(0.10, [0.08, 0.11, 0.14])
    assert low < -0.02 and high > 0.02
    low, high = difference_interval(0.10, [0.098, 0.100, 0.102] * 5)
    assert -0.02 < low < 0 < high < 0.02


def test_missing_reference_is_named():
    with pytest.raises(
        UserError, match=r"mnist_c_first_500.npz is missing.*\nThe file is not public: set MNIST_STUDY_"
    ):
        reference_sets()


def test_functions_of_a_published_file_are_run_without_its_imports(tmp_path):
    file = tmp_path / "corruptions.py"
    functions = [f"def {name}(x):\n    return np.array(x, dtype=np.float_) + helper\n" for name in RANDOM_CORRUPTIONS]
    file.write_text("import wand.image\nopen('nowhere')\n" + "\n".join(functions).replace("helper", "np.int(7.9)"))
    generator = published_generator(file)
    assert set(generator) == set(RANDOM_CORRUPTIONS)
    assert (generator["fog"](Image.fromarray(np.zeros((28, 28), np.uint8))) == 7).all()
    file.write_text("\n".join(functions[1:]))
    with pytest.raises(UserError, match=r"has no shot_noise: expected corruptions.py of google-research/mnist-c"):
        published_generator(file)
    with pytest.raises(UserError, match="cannot read"):
        published_generator(tmp_path / "nowhere.py")


@pytest.mark.real_mnist
def test_table_picture_and_error_rates(real_mirror, finished_run, tmp_path):
    try:
        reference_sets()
    except UserError:
        pytest.skip("the mirror has no reference digits of MNIST-C")
    result = compare_generators([finished_run], 2, ["stripe", "rotate"], tmp_path)
    assert (tmp_path / "mnist_c_agreement.png").stat().st_size > 10_000
    stripe, rotate = result["results"]
    assert stripe["is_equivalent"] and stripe["furthest_levels"] == 0
    assert stripe["errors"] == [stripe["reference_error"]] * 2
    assert 0 < rotate["reference_error"] < 1 and rotate["low"] < rotate["high"]
    assert "| stripe | 500 |" in markdown(result) and result["runs"] == ["finished"]
