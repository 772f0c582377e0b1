"""The layers of models/layers.py."""

import numpy as np
import pytest
import torch
from torch import nn

from models import build_model
from models.layers import BatchNorm1d, BatchNorm2d, Dropout, Standardize, first_layer_filters


def test_standardize_is_part_of_the_checkpoint():
    layer = Standardize(0.5, 0.25)
    torch.testing.assert_close(layer(torch.ones(1, 1, 28, 28)), torch.full((1, 1, 28, 28), 2.0))
    assert set(layer.state_dict()) == {"mean", "std"}
    assert not list(layer.parameters())


def test_pixels_are_standardised_with_mean_and_std_of_mnist():
    pixels = torch.tensor([0.1307, 0.1307 + 0.3081]).view(2, 1, 1, 1).expand(2, 1, 28, 28)
    standardised = build_model("linear").layers.standardize(pixels)
    torch.testing.assert_close(standardised[:, 0, 0, 0], torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0)


def test_dropout_drops_its_fraction_and_preserves_the_mean():
    values = torch.ones(400, 1000, requires_grad=True)
    for p, share in ((0.5, 128 / 256), (0.1, 26 / 256), (0.995, 255 / 256)):
        layer = Dropout(p)
        dropped = layer(values)
        assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.005)
        assert dropped.max().item() == pytest.approx(1 / (1 - share))
        (gradient,) = torch.autograd.grad(dropped.sum(), values)
        assert torch.equal(gradient, dropped)
        assert not torch.equal(layer(values), dropped)
    assert layer(values.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(layer.eval()(values), values)


def test_dropout_depends_on_the_seed_of_torch():
    layer, values = Dropout(0.4), torch.ones(7, 33)
    first, second = (layer(values) for _ in range(2) if torch.manual_seed(3))
    assert torch.equal(first, second)


def test_dropout_with_probability_one_drops_everything():
    assert not Dropout(1.0)(torch.ones(1000)).any()


def test_batch_norm_of_one_image_uses_the_running_statistics():
    ours, theirs = BatchNorm1d(4), nn.BatchNorm1d(4)
    values = torch.randn(6, 4)
    torch.testing.assert_close(ours(values), theirs(values))
    torch.testing.assert_close(ours(values[:1]), theirs.eval()(values[:1]))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.eval()(values[:1]), theirs(values[:1]))


def test_batch_norm_of_maps_with_one_value_per_channel():
    layer = build_model("C(4,28)-BN-FC10").layers.norm2
    assert layer(torch.randn(1, 4, 1, 1)).isfinite().all()
    ours, theirs = BatchNorm2d(4), nn.BatchNorm2d(4)
    maps = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_filters_of_the_first_layer():
    model = build_model("C(6,3)-FC10")
    np.testing.assert_array_equal(first_layer_filters(model), model.layers.conv1.weight.detach()[:, 0])
    assert first_layer_filters(build_model("standard_fc")).shape == (64, 28, 28)
    assert first_layer_filters(build_model("A2-FC10")) is None
    assert first_layer_filters(nn.Sequential(nn.Conv2d(3, 4, 3))) is None
    assert first_layer_filters(nn.ReLU()) is None
