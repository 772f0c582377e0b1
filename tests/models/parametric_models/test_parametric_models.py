"""Networks whose architecture is an argument."""

import pytest
import torch
from torch import nn

from models.layers import Dropout, Standardize
from models.parametric_models.parametric_conv import ParametricConvNet
from models.parametric_models.parametric_fc import ParametricFCNet


def test_no_hidden_layers_is_one_linear_layer():
    assert [type(layer) for layer in ParametricFCNet(hidden_widths=()).layers] == [Standardize, nn.Flatten, nn.Linear]


def test_fully_connected_dropout_and_activation():
    kinds = [type(layer) for layer in ParametricFCNet((32,), dropout=0.5, activation="tanh").layers]
    assert kinds == [Standardize, nn.Flatten, nn.Linear, nn.Tanh, Dropout, nn.Linear]


def test_pooling_before_relu_gives_the_same_values():
    model = ParametricConvNet((6,), (3,), (1,), (2,), batch_norm=True).eval()
    images = torch.rand(4, 1, 28, 28)
    convolved = model.layers.conv1_norm(model.layers.conv1(model.layers.standardize(images)))
    usual = torch.max_pool2d(convolved.relu(), 2)
    torch.testing.assert_close(model.layers[:5](images), usual)


@pytest.mark.parametrize(("kernel", "pool"), [(31, 1), (28, 2)])
def test_kernel_or_pool_larger_than_its_input(kernel, pool):
    with pytest.raises(ValueError, match="block 1"):
        ParametricConvNet((6,), (kernel,), (1 if kernel == 31 else 0,), (pool,))
