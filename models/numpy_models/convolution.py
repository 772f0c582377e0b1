"""Convolution as one matrix product."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from models.numpy_models.layer import Layer, drawn_uniformly

Maps = Float[np.ndarray, "batch _ _ _"]  # rows, columns, channels


class Convolution(Layer):
    """y[n, i, j, o] = b[o] + sum over r, s, c of x[n, i + r, j + s, c] w[o, c, r, s], with `padding` zeros around x.

    Every window of x becomes a row of a matrix P (batch * out_rows * out_columns, k * k * channels), every kernel a
    column of W (k * k * channels, out), so that all windows of all digits meet all kernels in one product y = P W + b.
    Back: dW = P' dy, db = the sum of dy, dP = dy W', which is added, place by place of the windows, where P came from.

    Source: Ren and Xu, On Vectorization of Deep Convolutional Neural Networks for Vision Tasks, AAAI 2015.
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        kernel_size: int,
        padding: int,
        generator: np.random.Generator,
        dtype: Any,
    ) -> None:
        """Weights (out, in, k, k) and biases (out,), drawn uniformly up to 1 / sqrt(in * k * k), as in torch."""
        super().__init__()
        self.padding = padding
        bound = 1 / math.sqrt(num_inputs * kernel_size**2)
        shape = (num_outputs, num_inputs, kernel_size, kernel_size)
        self.parameters = {
            "weight": drawn_uniformly(bound, shape, generator, dtype),
            "bias": drawn_uniformly(bound, (num_outputs,), generator, dtype),
        }

    def kernels_as_columns(self) -> Float[np.ndarray, "window out"]:
        weight = self.parameters["weight"]
        return weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))

    def forward(self, x: Maps, training: bool) -> Maps:
        size, padding = self.parameters["weight"].shape[2], self.padding
        if padding:
            x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        windows = sliding_window_view(x, (size, size), axis=(1, 2))  # (batch, rows, columns, channels, k, k), a view
        batch, rows, columns, num_inputs = windows.shape[:4]
        if num_inputs == 1:  # copied place by place of the window, in which the image's rows stay whole: quicker
            window_rows = windows.transpose(4, 5, 3, 0, 1, 2).reshape(-1, batch * rows * columns).T
        else:
            window_rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(batch * rows * columns, -1)
        y = window_rows @ self.kernels_as_columns() + self.parameters["bias"]
        if training:
            self.window_rows, self.padded_shape = window_rows, x.shape
        return y.reshape(batch, rows, columns, -1)

    def backward(self, dy: Maps) -> Maps:
        self.find_gradients(dy)
        batch, rows, columns, num_outputs = dy.shape
        weight, dy_rows = self.parameters["weight"], dy.reshape(-1, num_outputs)
        dx = np.zeros(self.padded_shape, dy.dtype)
        for r, s in np.ndindex(weight.shape[2:]):
            d_place = dy_rows @ weight[:, :, r, s]  # of this place in every window, (batch * rows * columns, channels)
            dx[:, r : r + rows, s : s + columns] += d_place.reshape(batch, rows, columns, -1)
        padding = self.padding
        return dx[:, padding : dx.shape[1] - padding, padding : dx.shape[2] - padding]

    def find_gradients(self, dy: Maps) -> None:
        num_outputs, num_inputs, size, _ = self.parameters["weight"].shape
        dy_rows = dy.reshape(-1, num_outputs)
        d_kernels = self.window_rows.T @ dy_rows
        self.gradients = {
            "weight": d_kernels.reshape(size, size, num_inputs, num_outputs).transpose(3, 2, 0, 1),
            "bias": dy_rows.sum(0),
        }
