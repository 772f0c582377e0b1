"""Fixed architectures: what each promises beyond its parameter count and output shape."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from models import build_model, num_parameters
from models.layers import MNIST_MEAN
from models.registry import MODELS


def test_resnet18_is_torchvisions_except_for_the_first_layers():
    theirs = resnet18(num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.Identity()
    ours = build_model("resnet18")
    assert num_parameters(ours) == num_parameters(theirs)
    values = [value for name, value in theirs.state_dict().items()]
    names = [name for name in ours.state_dict() if not name.startswith("layers.standardize")]
    ours.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    images = torch.rand(2, 1, 28, 28)
    standardized = ours.layers.standardize(images)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(standardized))


def test_resnet18_starts_with_the_kernels_of_its_paper():
    torch.manual_seed(0)
    ours, theirs = build_model("resnet18"), resnet18()
    assert ours.layers.conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)
    expected = theirs.layer3[0].conv1.weight.std().item()
    assert ours.layers.block3a.conv1.weight.std().item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_network_has_an_output_per_class(name):
    assert build_model(name, 26)(torch.rand(2, 1, 28, 28)).shape == (2, 26)


def test_shift_invariant_ignores_a_shift_by_the_stride_of_both_pools():
    model = build_model("shift_invariant").double().eval()
    speck = torch.full((1, 1, 28, 28), MNIST_MEAN, dtype=torch.float64)  # zero after standardisation
    speck[..., 12, 12] = 1.0  # reaches positions 0 to 5 of the last 7 x 7 map, and 1 to 6 after the shift
    torch.testing.assert_close(model(speck.roll((4, 4), (2, 3))), model(speck), atol=1e-9, rtol=0)
    assert (model(speck.roll(1, 3)) - model(speck)).abs().max() > 1e-6


@pytest.mark.parametrize("name", ["deep_conv", "C(4,3)-BN-P2-FC8-BN-D0.5-FC10"])
def test_an_exported_network_takes_any_batch_size(name):
    model = build_model(name).eval()
    batch = torch.export.Dim("batch", min=1, max=1000)
    exported = torch.export.export(model, (torch.rand(2, 1, 28, 28),), dynamic_shapes=({0: batch},), strict=False)
    for count in (1, 5):
        images = torch.rand(count, 1, 28, 28)
        torch.testing.assert_close(exported.module()(images), model(images))


def test_every_registered_network_trains_on_one_image():
    for name in MODELS:
        assert build_model(name)(torch.rand(1, 1, 28, 28)).shape == (1, 10)
