"""Layers without weights: what happens before, between and behind those that have some."""

from typing import Any

import numpy as np
from jaxtyping import Float

from models.numpy_models.layer import Array, Layer
from models.pixel_statistics import MNIST_MEAN, MNIST_STD

Maps = Float[np.ndarray, "batch _ _ _"]  # rows, columns, channels
Vectors = Float[np.ndarray, "batch _"]  # units


class Standardize(Layer):
    """y = (x - mean) / std, x the pixels in [0, 1]; every network's first layer, so nothing goes back through it."""

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.buffers = {"mean": np.array(MNIST_MEAN, dtype), "std": np.array(MNIST_STD, dtype)}

    def forward(self, x: Array, training: bool) -> Array:
        return (x - self.buffers["mean"]) / self.buffers["std"]


class Flatten(Layer):
    """Maps as vectors (batch, channels * rows * columns), channel by channel: the order in which weights are stored."""

    def forward(self, x: Maps, training: bool) -> Float[np.ndarray, "batch _"]:
        self.shape = x.shape
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)

    def backward(self, dy: Vectors) -> Maps:
        batch, rows, columns, channels = self.shape
        return dy.reshape(batch, channels, rows, columns).transpose(0, 2, 3, 1)


class ReLU(Layer):
    """y = max(x, 0). Back: dx = dy where x > 0, else 0."""

    def forward(self, x: Array, training: bool) -> Array:
        y = np.maximum(x, 0)
        if training:
            self.is_on = y > 0
        return y

    def backward(self, dy: Array) -> Array:
        return dy * self.is_on


class Dropout(Layer):
    """y = x m / (1 - p) while training, m = 0 with probability p and else 1; y = x for answers.

    Back: dx = dy m / (1 - p).
    Source: Srivastava et al. 2014, Journal of Machine Learning Research 15.
    """

    def __init__(self, p: float, generator: np.random.Generator) -> None:
        super().__init__()
        self.p = p
        self.generator = generator

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            return x
        stays = self.generator.random(x.shape, np.float32) >= self.p
        self.factors = stays.astype(x.dtype) / (1 - self.p)
        return x * self.factors

    def backward(self, dy: Array) -> Array:
        return dy * self.factors
