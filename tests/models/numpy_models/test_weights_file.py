"""Weight files of the project CNN-MNIST."""

import numpy as np
import pytest

from models.model_string import parse
from models.numpy_models.network import NumpyNet
from models.numpy_models.weights_file import read_weights, weights_file_name, write_weights
from utils.errors import UserError

MODEL = "C(3,5)-P2-C(4,3)-P2-FC12-FC10"


@pytest.fixture
def network():
    return NumpyNet(parse(MODEL), np.random.default_rng(0), np.float64)


@pytest.fixture
def file(network, tmp_path):
    """The weights of the network, written as a file."""
    path = tmp_path / weights_file_name(parse(MODEL))
    arrays = {
        f"{name}.{kind}": array
        for name, layer in network.layers.items()
        for kind, array in (layer.parameters | layer.buffers).items()
    }
    write_weights(path, parse(MODEL), arrays)
    return path


def test_written_weights_give_the_same_logits_without_standardisation(network, file):
    model_string, arrays = read_weights(file)
    assert str(model_string) == MODEL and file.name == f"weight_details{MODEL}.npz"
    other = NumpyNet(model_string, np.random.default_rng(1), np.float64)
    other.use_arrays({**arrays, "standardize.mean": np.array(0.0), "standardize.std": np.array(1.0)})
    pixels = np.random.default_rng(2).random((4, 1, 28, 28))
    np.testing.assert_allclose(other.forward(pixels), network.forward(pixels), atol=1e-12)


def test_arrays_are_numbered_by_layer(file):
    with np.load(file) as arrays:
        assert set(arrays.files) == {f"{kind}_{number}" for kind in ("weight", "bias") for number in (1, 3, 5, 6)}
        assert arrays["weight_3"].shape == (4, 3, 3, 3) and arrays["weight_5"].shape == (12, 100)
        assert all(arrays[name].dtype == np.float64 for name in arrays.files)


@pytest.mark.parametrize("model", ["C(3,5,same)-FC10", "A2-FC10", "BN-FC10", "G-FC10", "D0.5-FC10"])
def test_layer_outside_the_format_is_refused(model, tmp_path):
    with pytest.raises(UserError, match=r"is not supported by this weight format: expected valid convolutions"):
        read_weights(tmp_path / f"weight_details{model}.npz")


def test_name_without_a_model_string_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected a file name with the model"):
        read_weights(tmp_path / "weights.npz")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        read_weights(tmp_path / f"weight_details{MODEL}.npz")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("bias_3", None, r"bias_3 is missing; expected it with the shape \(4,\)"),
        ("weight_2", np.zeros(3), "weight_2 is not an array of"),
        ("weight_5", np.zeros((100, 12)), r"weight_5 has the shape \(100, 12\)"),
        ("weight_1", np.full((3, 1, 5, 5), np.nan), "weight_1 holds values that are not finite"),
        ("bias_6", np.array(["a"] * 10), "bias_6: it holds <U1 values"),
        ("bias_6", np.array([None] * 10, dtype=object), "cannot read .* bias_6: it holds object values"),
        ("bias_6", np.full(10, 1e300), "bias_6 holds values that are not finite"),
    ],
)
def test_unexpected_array_is_refused(file, name, array, message):
    with np.load(file) as arrays:
        values = {key: arrays[key] for key in arrays.files} | {name: array}
    np.savez(file, **{key: value for key, value in values.items() if value is not None})
    with pytest.raises(UserError, match=message):
        read_weights(file)


def test_damaged_file_is_refused(file):
    whole = file.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:200] + bytes(400) + whole[600:]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"cannot read .*damaged|is missing|is not an array"):
            read_weights(file)
