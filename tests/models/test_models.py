"""Networks: golden parameter counts, shapes, and what a model may contain."""

import pytest
import torch
from torch import nn

from models.layers import Dropout, Standardize
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
