"""What every layer of the NumPy engine is."""

from typing import Any

import numpy as np
from jaxtyping import Float

Array = Float[np.ndarray, "..."]


class Layer:
    """y = f(x), and the way back: from dL/dy to dL/dx and to the gradients of the layer's own parameters.

    Maps are (batch, rows, columns, channels), vectors (batch, units). `backward` follows a `forward` with
    `training=True`, whose values it needs; L is the mean loss of the batch.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}  # kept with the weights, but not trained

    def forward(self, x: Array, training: bool) -> Array:
        raise NotImplementedError

    def find_gradients(self, dy: Array) -> None:
        """Sets the gradients of the layer's own parameters, where it has any."""

    def backward(self, dy: Array) -> Array:
        """dL/dx; also finds the gradients of the layer's own parameters."""
        raise NotImplementedError


def drawn_uniformly(bound: float, shape: tuple[int, ...], generator: np.random.Generator, dtype: Any) -> Array:
    """Values from -bound to bound."""
    return generator.uniform(-bound, bound, shape).astype(dtype)
