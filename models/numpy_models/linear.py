"""The fully connected layer."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from models.numpy_models.layer import Layer, drawn_uniformly

Vectors = Float[np.ndarray, "batch _"]  # units


class Linear(Layer):
    """y = x W' + b, with x (batch, in), W (out, in), b (out,). Back: dW = dy' x, db = the sum of dy, dx = dy W."""

    def __init__(self, num_inputs: int, num_outputs: int, generator: np.random.Generator, dtype: Any) -> None:
        """Weights and biases drawn uniformly up to 1 / sqrt(in), as in torch."""
        super().__init__()
        bound = 1 / math.sqrt(num_inputs)
        self.parameters = {
            "weight": drawn_uniformly(bound, (num_outputs, num_inputs), generator, dtype),
            "bias": drawn_uniformly(bound, (num_outputs,), generator, dtype),
        }

    def forward(self, x: Vectors, training: bool) -> Vectors:
        if training:
            self.x = x
        return x @ self.parameters["weight"].T + self.parameters["bias"]

    def find_gradients(self, dy: Vectors) -> None:
        self.gradients = {"weight": dy.T @ self.x, "bias": dy.sum(0)}

    def backward(self, dy: Vectors) -> Vectors:
        self.find_gradients(dy)
        return dy @ self.parameters["weight"]
