"""The NumPy network of a model string, its loss and its optimizers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from models.model_string import SIDE, FullyConnected, ModelString
from models.numpy_models.layers import BUILDERS, Array, Dropout, Flatten, Layer, ReLU, Standardize
from utils.errors import UserError

Logits = Float[np.ndarray, "batch classes"]
Pixels = Float[np.ndarray, "batch 1 28 28"]


def softmax(logits: Logits) -> Logits:
    """p[n, k] = exp(z[n, k]) / sum over j of exp(z[n, j]). The largest logit is subtracted first to avoid overflow."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy_gradient(logits: Logits, labels: Int64[np.ndarray, " batch"], label_smoothing: float = 0.0) -> Logits:
    """dL/dz of the mean cross-entropy L = -1/N sum over n, k of t[n, k] log p[n, k]: (p - t) / N.

    The targets t are one-hot, with the fraction `label_smoothing` spread evenly over the classes.
    """
    targets = np.full_like(logits, label_smoothing / logits.shape[1])
    targets[np.arange(len(labels)), labels] += 1 - label_smoothing
    return (softmax(logits) - targets) / len(labels)


class NumpyNet:
    """The layers of a model string in order, under the same names as in the torch network."""

    def __init__(self, model_string: ModelString, generator: np.random.Generator, dtype: Any = np.float32) -> None:
        """The generator draws the initial weights, and later the dropout masks.

        Raises UserError for a layer without a NumPy implementation.
        """
        self.dtype = np.dtype(dtype)
        self.layers = dict(_layers(model_string, generator, dtype))

    def forward(self, pixels: Pixels, training: bool = False) -> Logits:
        """The logits of images with pixels in [0, 1]."""
        values: Array = pixels.astype(self.dtype).reshape(-1, SIDE, SIDE, 1)
        for layer in self.layers.values():
            values = layer.forward(values, training)
        return values

    def backward(self, d_logits: Logits) -> None:
        """Sets the gradients of all parameters, for dL/dlogits of the last `forward` with `training=True`."""
        first = next(layer for layer in self.layers.values() if layer.parameters)
        values: Array = d_logits
        for layer in reversed(self.layers.values()):
            if layer is first:  # the layers before it have no parameters
                layer.find_gradients(values)
                return
            values = layer.backward(values)

    def parameters(self) -> list[Array]:
        """The trained arrays, layer by layer."""
        return [array for layer in self.layers.values() for array in layer.parameters.values()]

    def gradients(self) -> list[Array]:
        """The gradients that `backward` set, in the order of `parameters`."""
        return [layer.gradients[name] for layer in self.layers.values() for name in layer.parameters]

    def use_generator(self, generator: np.random.Generator) -> None:
        """Sets the generator of all dropout masks."""
        for layer in self.layers.values():
            if isinstance(layer, Dropout):
                layer.generator = generator

    def use_arrays(self, arrays: dict[str, Array]) -> None:
        """Replaces all parameters and buffers by these arrays without copying. Keys are as in `conv1.weight`."""
        for name, layer in self.layers.items():
            for values in (layer.parameters, layer.buffers):
                for kind in values:
                    values[kind] = arrays[f"{name}.{kind}"]


def _layers(model_string: ModelString, generator: np.random.Generator, dtype: Any) -> Iterator[tuple[str, Layer]]:
    """Names and layers, including standardisation, flattening and ReLUs."""
    yield "standardize", Standardize(dtype)
    for name, layer, inputs, has_relu in model_string.steps():
        if type(layer) not in BUILDERS:
            known = ", ".join(kind.syntax for kind in BUILDERS)
            raise UserError(f"layer {layer} is not implemented in NumPy: expected {known}, or use the torch backend")
        if isinstance(layer, FullyConnected) and len(inputs) == 3:
            yield "flatten", Flatten()
        yield name, BUILDERS[type(layer)](layer, inputs, generator, dtype)
        if has_relu:
            yield f"{name}_relu", ReLU()


class SGD:
    """SGD with Nesterov momentum (Sutskever et al. 2013), in place, as in torch: v <- m v + g, w <- w - r (g + m v)."""

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.state: dict[str, list[Array]] = {}

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], rate: float) -> None:
        velocities = self.state.setdefault("velocity", [np.zeros_like(w) for w in parameters])
        for w, g, v in zip(parameters, gradients, velocities, strict=True):
            v *= self.momentum
            v += g
            w -= rate * (g + self.momentum * v)


class Adam:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980), in place, as in torch:

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  w <- w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8)
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.beta1, self.beta2 = beta1, beta2
        self.state: dict[str, list[Array]] = {}

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], rate: float) -> None:
        for name in ("mean", "square"):
            self.state.setdefault(name, [np.zeros_like(w) for w in parameters])
        (num_steps,) = self.state.setdefault("num_steps", [np.zeros(())])
        num_steps += 1
        correction = np.sqrt(1 - self.beta2**num_steps)
        step_size = rate / (1 - self.beta1**num_steps)
        moments = zip(parameters, gradients, self.state["mean"], self.state["square"], strict=True)
        for w, g, m, v in moments:
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g * g - v)
            w -= (step_size * m / (np.sqrt(v) / correction + 1e-8)).astype(w.dtype)
