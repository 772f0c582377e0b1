"""Networks: golden parameter counts, shapes, and what a model may contain."""

import pytest
import torch
from torch import nn

from models.ensemble import Ensemble
from models.layers import MNIST_MEAN, BatchNorm1d, Dropout, Standardize
from models.parametric_models.parametric_conv import ParametricConvNet
from models.parametric_models.parametric_fc import ParametricFCNet
from models.registry import MODELS, build_model, num_parameters
from utils.errors import UserError

GOLDEN = {
    "linear": 7_850,
    "standard_fc": 109_386,
    "standard_conv": 1_729_162,
    "two_conv": 34_826,
    "fast_conv": 161_114,
    "deep_conv": 468_138,
    "shift_invariant": 112_362,
    "resnet18": 11_172_810,
    "C(16,3)-P2-FC128-FC10": 16 * 10 + (16 * 13 * 13 + 1) * 128 + 129 * 10,
    "C(8,5)-P2-C(16,3)-P2-FC128-FC10": 8 * 26 + 16 * 73 + (16 * 25 + 1) * 128 + 129 * 10,
    "FC10": 7_850,
}


@pytest.mark.parametrize(("name", "count"), GOLDEN.items())
def test_golden_parameter_counts(name, count):
    assert num_parameters(build_model(name)) == count


@pytest.mark.parametrize("name", [*MODELS, "C(4,3)-P2-P2-FC10"])
def test_pixels_in_logits_out(name):
    model = build_model(name)
    assert model(torch.rand(3, 1, 28, 28)).shape == (3, 10)
    first = next(module for module in model.modules() if not list(module.children()))
    assert isinstance(first, Standardize)
    names = [type(module).__name__ for module in model.modules()]
    assert not any("Softmax" in name for name in names)


def test_standardize_is_part_of_the_checkpoint():
    layer = Standardize(0.5, 0.25)
    torch.testing.assert_close(layer(torch.ones(1, 1, 28, 28)), torch.full((1, 1, 28, 28), 2.0))
    assert set(layer.state_dict()) == {"mean", "std"}
    assert not list(layer.parameters())


def test_each_relu_is_used_once():
    calls = []
    model = build_model("standard_conv")
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, *_: calls.append(id(module)))
    model(torch.rand(2, 1, 28, 28))
    assert len(calls) == 5 == len(set(calls))


def test_depth_zero_is_one_linear_layer():
    assert [type(layer) for layer in ParametricFCNet(hidden_widths=()).layers] == [Standardize, nn.Flatten, nn.Linear]


def test_fc_dropout_and_activation():
    kinds = [type(layer) for layer in ParametricFCNet((32,), dropout=0.5, activation="tanh").layers]
    assert kinds == [Standardize, nn.Flatten, nn.Linear, nn.Tanh, Dropout, nn.Linear]


def test_pooling_before_relu_gives_the_same_values():
    model = ParametricConvNet((6,), (3,), (1,), (2,), batch_norm=True).eval()
    images = torch.rand(4, 1, 28, 28)
    convolved = model.layers.conv1_norm(model.layers.conv1(model.layers.standardize(images)))
    usual = torch.max_pool2d(convolved.relu(), 2)
    torch.testing.assert_close(model.layers[:5](images), usual)


@pytest.mark.parametrize(("kernel", "pool"), [(31, 1), (28, 2)])
def test_kernel_or_pool_that_does_not_fit(kernel, pool):
    with pytest.raises(ValueError, match="block 1"):
        ParametricConvNet((6,), (kernel,), (1 if kernel == 31 else 0,), (pool,))


def test_unknown_name_lists_the_registered_ones():
    with pytest.raises(UserError, match="linear, standard_fc, standard_conv"):
        build_model("resnet")


def test_dropout_drops_its_share_and_keeps_the_mean():
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


def test_dropout_is_decided_by_torchs_seed():
    layer, values = Dropout(0.4), torch.ones(7, 33)
    first, second = (layer(values) for _ in range(2) if torch.manual_seed(3))
    assert torch.equal(first, second)


def test_dropout_of_one_drops_all():
    assert not Dropout(1.0)(torch.ones(1000)).any()


def test_an_ensemble_answers_with_the_mean_probability():
    members = [build_model("FC10").eval() for _ in range(3)]
    images = torch.rand(5, 1, 28, 28)
    mean = sum(member(images).softmax(1) for member in members) / 3
    torch.testing.assert_close(Ensemble(members)(images).exp(), mean)


def test_batch_norm_of_one_digit_takes_the_running_statistics():
    ours, theirs = BatchNorm1d(4), nn.BatchNorm1d(4)
    values = torch.randn(6, 4)
    torch.testing.assert_close(ours(values), theirs(values))
    torch.testing.assert_close(ours(values[:1]), theirs.eval()(values[:1]))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)


def test_batch_norm_of_maps_of_one_place():
    layer = build_model("C(4,28)-BN-FC10").layers.norm2
    assert layer(torch.randn(1, 4, 1, 1)).isfinite().all()
    theirs = nn.BatchNorm2d(4)
    maps = torch.randn(3, 4, 2, 2)
    layer.running_mean.zero_(), layer.running_var.fill_(1)
    torch.testing.assert_close(layer(maps), theirs(maps))


def test_resnet18_is_torchvisions_but_for_the_stem():
    from torchvision.models import resnet18

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


def test_a_shift_by_both_pools_stride_is_nothing_to_the_shift_invariant_network():
    model = build_model("shift_invariant").double().eval()
    speck = torch.full((1, 1, 28, 28), MNIST_MEAN, dtype=torch.float64)  # which the network standardises to zero
    speck[..., 12, 12] = 1.0  # reaches the places 0 to 5 of the last 7 x 7 map, and 1 to 6 where it is moved
    torch.testing.assert_close(model(speck.roll((4, 4), (2, 3))), model(speck), atol=1e-9, rtol=0)
    assert (model(speck.roll(1, 3)) - model(speck)).abs().max() > 1e-6
