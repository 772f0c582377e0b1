"""The NumPy network of a model string."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from models.model_string import SIDE, Conv, Drop, FullyConnected, GlobalPool, ModelString, Pool
from models.numpy_models.batch_norm import BatchNorm
from models.numpy_models.convolution import Convolution
from models.numpy_models.layer import Array, Layer
from models.numpy_models.linear import Linear
from models.numpy_models.loss import Logits
from models.numpy_models.pooling import AveragePooling, GlobalAverage, MaxPooling
from models.numpy_models.small_layers import Dropout, Flatten, ReLU, Standardize

Pixels = Float[np.ndarray, "batch 1 28 28"]


class NumpyNet:
    """The layers of a model string, one behind the other, by the names that they have in every engine."""

    def __init__(self, model_string: ModelString, generator: np.random.Generator, dtype: Any = np.float32) -> None:
        """Weights are drawn from the generator, and later what dropout drops."""
        self.dtype = np.dtype(dtype)
        self.layers = dict(_layers(model_string, generator, dtype))

    def forward(self, pixels: Pixels, training: bool = False) -> Logits:
        """The logits of digits in [0, 1]."""
        values: Array = pixels.astype(self.dtype).reshape(-1, SIDE, SIDE, 1)
        for layer in self.layers.values():
            values = layer.forward(values, training)
        return values

    def backward(self, d_logits: Logits) -> None:
        """From dL/dlogits of the last `forward` in training to the gradients of all parameters."""
        first = next(layer for layer in self.layers.values() if layer.parameters)
        values: Array = d_logits
        for layer in reversed(self.layers.values()):
            if layer is first:  # before it nothing learns
                layer.find_gradients(values)
                return
            values = layer.backward(values)

    def parameters(self) -> list[Array]:
        """The arrays that learn, layer by layer."""
        return [array for layer in self.layers.values() for array in layer.parameters.values()]

    def gradients(self) -> list[Array]:
        """Those of the parameters, in the same order, after `backward`."""
        return [layer.gradients[name] for layer in self.layers.values() for name in layer.parameters]

    def use_generator(self, generator: np.random.Generator) -> None:
        """Dropout draws from this generator from now on."""
        for layer in self.layers.values():
            if isinstance(layer, Dropout):
                layer.generator = generator

    def use_arrays(self, arrays: dict[str, Array]) -> None:
        """Takes these arrays as its own, not copies of them: by name, as `conv1.weight`, of the shapes that it has."""
        for name, layer in self.layers.items():
            for own in (layer.parameters, layer.buffers):
                for kind in own:
                    own[kind] = arrays[f"{name}.{kind}"]


def _layers(model_string: ModelString, generator: np.random.Generator, dtype: Any) -> Iterator[tuple[str, Layer]]:
    """The layers with their names, ReLUs and the flattening between them included."""
    yield "standardize", Standardize(dtype)
    inputs: tuple[int, ...] = (1, SIDE, SIDE)
    described = zip(model_string.names, model_string.layers, model_string.shapes, model_string.has_relu, strict=True)
    for name, layer, shape, has_relu in described:
        match layer:
            case Conv(channels, kernel_size):
                yield name, Convolution(inputs[0], channels, kernel_size, layer.padding, generator, dtype)
            case Pool(size, average):
                yield name, AveragePooling(size) if average else MaxPooling(size)
            case GlobalPool():
                yield name, GlobalAverage()
            case Drop(probability):
                yield name, Dropout(float(probability), generator)
            case FullyConnected(width):
                if len(inputs) == 3:
                    yield "flatten", Flatten()
                yield name, Linear(math.prod(inputs), width, generator, dtype)
            case _:
                yield name, BatchNorm(inputs[0], dtype)
        if has_relu:
            yield f"{name}_relu", ReLU()
        inputs = shape
