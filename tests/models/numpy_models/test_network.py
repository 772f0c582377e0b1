"""The NumPy networks against torch and against finite differences."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from model_strings import model_strings

from models import build_model
from models.model_string import LAYERS, GlobalPool, parse
from models.numpy_models.layers import BUILDERS
from models.numpy_models.network import SGD, Adam, NumpyNet, cross_entropy_gradient, softmax
from utils.errors import UserError

EXAMPLES = [
    "FC10",
    "C(8,5)-P2-C(16,3)-P2-FC128-FC10",
    "C(4,3,same)-BN-P3-C(6,3)-A2-BN-FC12-BN-FC10",
    "P2-C(3,2)-A3-D0.5-G-BN-FC10",
    "BN-A2-P2-FC20-FC10",
]


def both_networks(text, dtype):
    """The NumPy network of a model string and the torch network with the same weights; images and labels."""
    torch.manual_seed(0)
    theirs = build_model(text).to(torch.float64 if dtype == np.float64 else torch.float32)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
    ours = NumpyNet(parse(text), np.random.default_rng(0), dtype)
    ours.use_arrays({name.removeprefix("layers."): value.numpy() for name, value in theirs.state_dict().items()})
    generator = np.random.default_rng(1)
    return ours, theirs, generator.random((6, 1, 28, 28)).astype(dtype), generator.integers(0, 10, 6)


def share_dropout_masks(ours, theirs):
    """Makes the torch network use the dropout masks of the NumPy network."""
    masks = [layer for layer in ours.layers.values() if hasattr(layer, "factors")]
    for mask, module in zip(masks, [m for m in theirs.modules() if isinstance(m, torch.nn.Dropout)], strict=True):
        factors = mask.factors if mask.factors.ndim == 2 else mask.factors.transpose(0, 3, 1, 2)
        module.forward = lambda values, factors=factors: values * torch.from_numpy(factors)


def assert_same(text, dtype, logits_apart, gradients_apart):
    ours, theirs, pixels, labels = both_networks(text, dtype)
    logits = ours.forward(pixels, training=True)
    share_dropout_masks(ours, theirs)
    torch_logits = theirs.train()(torch.from_numpy(pixels))
    F.cross_entropy(torch_logits, torch.from_numpy(labels), label_smoothing=0.1).backward()
    ours.backward(cross_entropy_gradient(logits, labels, 0.1))
    assert logits.dtype == dtype
    assert np.abs(logits - torch_logits.detach().numpy()).max() < logits_apart
    gradients = dict(zip([name for name, _ in theirs.named_parameters()], ours.gradients(), strict=True))
    for name, parameter in theirs.named_parameters():
        assert gradients[name].shape == tuple(parameter.shape)
        assert np.abs(gradients[name] - parameter.grad.numpy()).max() < gradients_apart, name
    after, torch_after = ours.forward(pixels), theirs.eval()
    for module in torch_after.modules():
        module.__dict__.pop("forward", None)
    with torch.no_grad():
        assert np.abs(after - torch_after(torch.from_numpy(pixels)).numpy()).max() < logits_apart
    for name, layer in ours.layers.items():
        for kind, array in layer.buffers.items():
            theirs_now = theirs.state_dict()[f"layers.{name}.{kind}"].numpy()
            assert np.abs(array - theirs_now).max() < gradients_apart


@pytest.mark.parametrize("text", EXAMPLES)
def test_logits_and_gradients_equal_torch_in_float64(text):
    assert_same(text, np.float64, 1e-10, 1e-8)


@pytest.mark.parametrize("text", EXAMPLES)
def test_logits_and_gradients_equal_torch_in_float32(text):
    assert_same(text, np.float32, 1e-4, 1e-3)


@settings(deadline=None, max_examples=10)
@given(model_strings())
def test_any_model_string_equals_torch(text):
    assert_same(text, np.float64, 1e-10, 1e-8)


@pytest.mark.parametrize("text", ["C(3,3)-BN-P2-C(4,3,same)-A2-FC9-BN-FC10", "P3-C(2,3)-G-FC10"])
def test_gradients_equal_central_differences(text):
    ours, _, pixels, labels = both_networks(text, np.float64)

    def loss():
        probabilities = softmax(ours.forward(pixels, training=True))
        return -np.log(probabilities[np.arange(6), labels]).mean()

    ours.backward(cross_entropy_gradient(ours.forward(pixels, training=True), labels))
    generator = np.random.default_rng(2)
    for array, gradient in zip(ours.parameters(), ours.gradients(), strict=True):
        for place in generator.integers(0, array.size, 5):
            index = np.unravel_index(place, array.shape)
            value, losses = array[index], []
            for step in (1e-6, -1e-6):
                array[index] = value + step
                losses.append(loss())
            array[index] = value
            assert gradient[index] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.9), lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True)),
        (SGD(0.0), lambda w: torch.optim.SGD(w, lr=0.05)),
        (Adam(0.8, 0.95), lambda w: torch.optim.Adam(w, lr=0.05, betas=(0.8, 0.95))),
    ],
    ids=["nesterov", "plain", "adam"],
)
def test_optimizers_equal_torch(ours, theirs):
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=(4, 3)), generator.normal(size=5)]
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    optimizer = theirs(tensors)
    for step in range(6):
        gradients = [generator.normal(size=w.shape) for w in weights]
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        optimizer.param_groups[0]["lr"] = rate = 0.05 / (step + 1)
        optimizer.step()
        ours.step(weights, gradients, rate)
    for w, tensor in zip(weights, tensors, strict=True):
        np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_dropout_drops_its_fraction_and_preserves_the_mean():
    net = NumpyNet(parse("D0.4-FC10"), np.random.default_rng(0))
    layer = net.layers["dropout1"]
    values = np.ones((50, 28, 28, 1), np.float32)
    dropped = layer.forward(values, training=True)
    assert (dropped == 0).mean() == pytest.approx(0.4, abs=0.01)
    assert dropped.mean() == pytest.approx(1, abs=0.02) and dropped.dtype == np.float32
    assert layer.forward(values, training=False) is values


def test_softmax_of_large_logits_is_finite():
    assert softmax(np.array([[1000.0, 0.0, -1000.0]])).tolist() == [[1.0, 0.0, 0.0]]


def test_equal_generators_draw_equal_weights():
    first, second = (NumpyNet(parse("C(2,3)-FC10"), np.random.default_rng(5)).parameters() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(1, 4))
def test_partial_windows_of_pools(side, size):
    size = min(size, side)
    for text in (f"C(2,{29 - side})-P{size}-FC10", f"C(2,{29 - side})-A{size}-FC10"):
        ours, theirs, pixels, _ = both_networks(text, np.float64)
        with torch.no_grad():
            np.testing.assert_allclose(ours.forward(pixels), theirs.eval()(torch.from_numpy(pixels)), atol=1e-10)


def test_numpy_layers_implement_layers_of_the_grammar():
    assert set(BUILDERS) <= set(LAYERS)


def test_layer_without_numpy_implementation_is_refused():
    class Unknown(GlobalPool):
        pass

    model_string = dataclasses.replace(parse("G-FC10"), layers=(Unknown(), *parse("G-FC10").layers[1:]))
    with pytest.raises(UserError, match=r"layer G is not implemented in NumPy: expected C\(channels,kernel\), P2"):
        NumpyNet(model_string, np.random.default_rng(0))
