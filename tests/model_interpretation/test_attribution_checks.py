"""The checks of attribution maps, against cases computed by hand and simulations of their null distributions."""

import numpy as np
import pytest
import torch
from torch import nn

from model_interpretation.attribution import check_row
from model_interpretation.attribution_checks import (
    BASELINES,
    cascading_randomisation,
    check_method,
    infidelity,
    normalised_infidelity,
    pixel_noise,
    randomisation,
    rank_correlation,
    squares,
)
from model_interpretation.attribution_methods import METHODS, Method
from model_interpretation.random_networks import random_networks
from utils.data.batches import to_pixels

ZEROS = Method(lambda _model, pixels, _classes: torch.zeros(len(pixels), 28, 28))


@pytest.fixture(scope="module")
def linear():
    """A linear model, logits W (x - mean) / std + b, and its weight of each pixel for class 4."""
    (model,) = random_networks("linear", 10, torch.device("cpu"), seed=100)
    std = next(buffer for name, buffer in model.named_buffers() if name.endswith("std"))
    weights = next(parameter for parameter in model.parameters() if parameter.shape == (10, 784))
    return model, (weights[4] / std).view(28, 28)


@pytest.fixture(scope="module")
def random_linear():
    return random_networks("linear", 10, torch.device("cpu"), num=8)


@pytest.fixture(scope="module")
def pixels(digits):
    return to_pixels(digits.images[:1])


# Infidelity.


def test_normalised_infidelity_by_hand():
    assert normalised_infidelity(np.array([1.0, 2]), np.array([2.0, 4])) == pytest.approx(0)  # any scale
    assert normalised_infidelity(np.array([-1.0, -2]), np.array([2.0, 4])) == pytest.approx(0)
    assert normalised_infidelity(np.array([1.0, 0]), np.array([0.0, 1])) == pytest.approx(1)
    # The best scale of (1, 1) for (1, 0) is 1/2: the errors are 1/2 and -1/2, their squares half of 1.
    assert normalised_infidelity(np.array([1.0, 1]), np.array([1.0, 0])) == pytest.approx(0.5)
    assert normalised_infidelity(np.zeros(2), np.array([1.0, 0])) == 1


@pytest.mark.parametrize("name", ["saliency", "guided_backprop"])
def test_the_gradient_of_a_linear_network_has_no_infidelity(linear, pixels, name):
    for changes in (pixel_noise(pixels), squares(pixels)):
        assert infidelity(linear[0], METHODS[name], pixels, 4, changes) < 1e-6


def test_contributions_are_divided_by_the_pixels(linear):
    """Without black pixels, weight times pixel is as good as the weight."""
    grey = torch.linspace(0.2, 0.9, 784).view(1, 1, 28, 28)
    changes = pixel_noise(grey)
    assert infidelity(linear[0], METHODS["integrated_gradients"], grey, 4, changes) < 1e-6
    undivided = Method(METHODS["integrated_gradients"].function)
    assert infidelity(linear[0], undivided, grey, 4, changes) > 0.05


def test_a_map_of_zeros_is_no_better_than_any_method(pixels):
    (model,) = random_networks("C(4,3)-P2-FC10", 10, torch.device("cpu"))
    for changes in (pixel_noise(pixels), squares(pixels)):
        assert infidelity(model, ZEROS, pixels, 4, changes) == 1
        for method in METHODS.values():
            assert infidelity(model, method, pixels, 4, changes) <= 1


def test_the_scale_of_a_map_does_not_matter(linear, pixels):
    half = Method(lambda model, images, classes: 0.01 * METHODS["occlusion"](model, images, classes), True)
    full = infidelity(linear[0], METHODS["occlusion"], pixels, 4, squares(pixels))
    assert infidelity(linear[0], half, pixels, 4, squares(pixels)) == pytest.approx(full, rel=1e-3)


def test_squares_are_the_digit_inside_each_square(pixels):
    changes = squares(pixels)
    assert len(changes) == 11 * 11
    assert torch.equal(changes[0, 0, :8, :8], pixels[0, 0, :8, :8]) and changes[0].sum() == pixels[0, 0, :8, :8].sum()
    assert torch.equal(changes[12, 0, 2:10, 2:10], pixels[0, 0, 2:10, 2:10])  # second row, second column


# Random weights.


def test_the_randomisation_test_by_hand():
    ramp = torch.arange(1.0, 785).view(28, 28)
    reverse = ramp.max() + 1 - ramp
    # Two random maps are equal, the third is their reverse: correlations 1, -1, -1. Each with the others: 0, 0, -1.
    test = randomisation(ramp, [ramp, ramp**2, reverse])
    assert test.trained == pytest.approx(1 / 3) and test.null == pytest.approx(-1 / 3)
    assert test.z == pytest.approx((2 / 3) / np.std([0, 0, -1], ddof=1))


def test_a_random_network_among_random_networks_has_a_small_z(pixels):
    """The similarity of two random networks is high because of the ink; a threshold on it would fail them all."""
    models = random_networks("C(4,3)-P2-FC10", 10, torch.device("cpu"), num=24)
    maps = [METHODS["guided_backprop"](model, pixels, torch.tensor([4]))[0] for model in models]
    tests = [randomisation(map, maps[:8]) for map in maps[8:]]
    assert np.mean([abs(test.z) > 2.5 for test in tests]) <= 0.2
    assert abs(np.mean([test.z for test in tests])) < 1


def test_a_map_unlike_those_of_random_networks_has_a_large_z():
    torch.manual_seed(0)
    shared = torch.rand(28, 28)
    maps = [shared + 0.3 * torch.rand(28, 28) for _ in range(8)]
    test = randomisation(torch.rand(28, 28), maps)
    assert test.null > 0.8 and test.trained < 0.2 and test.z < -10


def test_maps_that_ignore_the_weights_have_a_null_of_1_and_no_z(linear, random_linear, pixels):
    test = check_method(linear[0], BASELINES["ink"], pixels, 4, random_linear).randomisation
    assert test.null == pytest.approx(1) and test.trained == pytest.approx(1) and np.isnan(test.z)


def test_the_cascade_replaces_layers_from_the_last_to_the_first():
    """The map lists how many of the three layers are still the trained ones."""
    trained, random = (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
    seen = []

    def map_of(network):
        seen.append([torch.equal(network[i].weight, trained[i].weight) for i in (0, 2, 3)])
        return torch.arange(784.0).view(28, 28) * (1 if all(seen[-1]) else -1) ** len(seen)

    cascade = cascading_randomisation(trained, [random], map_of)
    assert list(cascade) == ["3", "2", "0"]
    assert seen == [[True] * 3, [True, True, False], [True, False, False], [False] * 3]
    assert torch.equal(trained[3].weight, trained[3].weight) and not torch.equal(trained[3].weight, random[3].weight)


def test_a_deep_network_is_randomised_in_few_steps(pixels):
    models = random_networks("resnet18", 10, torch.device("cpu"), num=2)
    cascade = cascading_randomisation(
        models[0], models[1:], lambda network: METHODS["saliency"](network, pixels, torch.tensor([4]))[0]
    )
    assert 2 <= len(cascade) <= 8


def test_the_cascade_of_a_linear_network_ends_at_no_correlation_and_that_of_ink_stays(linear, random_linear, pixels):
    (weights_last,) = check_method(linear[0], METHODS["saliency"], pixels, 4, random_linear).cascade.values()
    assert abs(weights_last) < 0.15
    assert list(check_method(linear[0], BASELINES["ink"], pixels, 4, random_linear).cascade.values()) == [1]
    noise = check_method(linear[0], BASELINES["noise"], pixels, 4, random_linear)
    assert max(noise.cascade.values()) < 0.15 and abs(noise.randomisation.null) < 0.1


def test_random_networks_are_independent_and_reproducible():
    state = torch.random.get_rng_state()
    first, second = random_networks("linear", 10, torch.device("cpu"), num=2)
    (again,) = random_networks("linear", 10, torch.device("cpu"))
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [next(iter(network.parameters())) for network in (first, second, again)]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])


# Curves, sensitivity, rows.


def test_deletion_and_insertion_tell_a_good_map_from_its_opposite(linear, random_linear, pixels):
    model, weights = linear
    good, bad = (
        check_method(model, Method(lambda _, images, __, sign=sign: sign * weights * images[:, 0]), pixels, 4,
                     random_linear)
        for sign in (1, -1)
    )  # fmt: skip
    assert good.deletion_area < bad.deletion_area and good.insertion_area > bad.insertion_area
    assert good.deletion[0] == pytest.approx(good.insertion[-1])


def test_the_gradient_of_a_linear_network_is_not_sensitive(linear, random_linear, pixels):
    assert check_method(linear[0], METHODS["saliency"], pixels, 4, random_linear).sensitivity < 1e-5


def test_a_row_has_a_dash_where_there_is_no_z_and_marks_an_empty_map(linear, random_linear, pixels):
    empty = check_method(linear[0], ZEROS, pixels, 4, random_linear)
    assert empty.is_empty and empty.noise_infidelity == empty.square_infidelity == 1
    row = check_row("my_method", empty, [])
    assert row[0] == "my method (empty map)" and row[3:5] == ["1.00", "1.00"] and row[-2:] == ["-", "no run"]


def test_rank_correlation_uses_absolute_values_and_ignores_blank_pixels():
    ramp = torch.arange(784.0).view(28, 28)
    assert rank_correlation(ramp, -(ramp**3)) == pytest.approx(1)
    assert rank_correlation(ramp, torch.zeros(28, 28)) == 0
    mostly_blank = torch.zeros(28, 28)
    mostly_blank[0, :3] = torch.tensor([1.0, 2, 3])
    assert rank_correlation(mostly_blank, mostly_blank.flip(1).roll(3, 1)) == pytest.approx(-1)
