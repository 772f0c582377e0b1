"""Batch norm."""

from typing import Any

import numpy as np

from models.numpy_models.layer import Array, Layer


class BatchNorm(Layer):
    """y = g z + b with z = (x - m) / sqrt(v + e), m and v the mean and variance of each channel over batch and places.

    For answers running means stand in their place: m_run <- 0.9 m_run + 0.1 m, and v_run likewise of v * n / (n - 1).
    A batch of a single digit's vector has no variance: it is normalised by the running figures too.
    Back, with n values a channel: dg = sum dy z, db = sum dy, dx = g / sqrt(v + e) * (dy - db / n - z dg / n).

    Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
    """

    MOMENTUM = 0.1
    EPSILON = 1e-5

    def __init__(self, num_channels: int, dtype: Any) -> None:
        super().__init__()
        self.parameters = {"weight": np.ones(num_channels, dtype), "bias": np.zeros(num_channels, dtype)}
        self.buffers = {"running_mean": np.zeros(num_channels, dtype), "running_var": np.ones(num_channels, dtype)}

    def forward(self, x: Array, training: bool) -> Array:
        axes = tuple(range(x.ndim - 1))  # all but the channels, which come last
        self.num_values = x.size // x.shape[-1]
        self.is_batch = training and self.num_values > 1
        if self.is_batch:
            mean, variance = x.mean(axes), x.var(axes)
            unbiased = variance * (self.num_values / (self.num_values - 1))
            for name, value in (("running_mean", mean), ("running_var", unbiased)):
                self.buffers[name] += self.MOMENTUM * (value - self.buffers[name])
        else:
            mean, variance = self.buffers["running_mean"], self.buffers["running_var"]
        self.scale = 1 / np.sqrt(variance + self.EPSILON)
        self.z = (x - mean) * self.scale
        return self.parameters["weight"] * self.z + self.parameters["bias"]

    def find_gradients(self, dy: Array) -> None:
        axes = tuple(range(dy.ndim - 1))
        self.gradients = {"weight": (dy * self.z).sum(axes), "bias": dy.sum(axes)}

    def backward(self, dy: Array) -> Array:
        self.find_gradients(dy)
        if self.is_batch:
            mean_dy, mean_dy_z = (self.gradients[name] / self.num_values for name in ("bias", "weight"))
            dy = dy - mean_dy - self.z * mean_dy_z
        return self.parameters["weight"] * self.scale * dy
