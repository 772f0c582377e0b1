"""Every layer of a model string in plain NumPy: forward pass, backward pass and gradients, one class per layer.

Maps have the shape (batch, rows, columns, channels), vectors (batch, units). To add a layer of the grammar, write its
class here and add it to BUILDERS.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from models import model_string as grammar
from models.layers import MNIST_MEAN, MNIST_STD

Array = Float[np.ndarray, "..."]
Maps = Float[np.ndarray, "batch _ _ _"]
Vectors = Float[np.ndarray, "batch _"]


class Layer:
    """y = f(x), and its derivative: from dL/dy to dL/dx and to the gradients of the layer's parameters.

    L is the mean loss of the batch. `backward` uses values that the last `forward` with `training=True` stored.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}  # saved with the weights, not trained

    def forward(self, x: Array, training: bool) -> Array:
        raise NotImplementedError

    def find_gradients(self, dy: Array) -> None:
        """Sets `gradients` of the layer's parameters, if any."""

    def backward(self, dy: Array) -> Array:
        """Returns dL/dx and sets `gradients`."""
        raise NotImplementedError


def random_parameters(shape: tuple[int, ...], generator: np.random.Generator, dtype: Any) -> dict[str, Array]:
    """Weights (out, in, ...) and biases (out,), uniform up to 1 / sqrt(inputs of an output), as in torch."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    draws = {"weight": generator.uniform(-bound, bound, shape), "bias": generator.uniform(-bound, bound, shape[0])}
    return {name: values.astype(dtype) for name, values in draws.items()}


class Convolution(Layer):
    """y[n, i, j, o] = b[o] + sum over r, s, c of x[n, i + r, j + s, c] w[o, c, r, s], with `padding` zeros around x.

    The convolution is one matrix product y = P W + b. Each window of x is a row of P, with shape (batch * out_rows *
    out_columns, k * k * channels); each kernel is a column of W, with shape (k * k * channels, out).
    Backward: dW = P' dy, db = sum of dy, and dP = dy W', summed over the windows that contain a pixel.

    Source: Ren and Xu, On Vectorization of Deep Convolutional Neural Networks for Vision Tasks, AAAI 2015.
    """

    def __init__(
        self, shape: tuple[int, int, int, int], padding: int, generator: np.random.Generator, dtype: Any
    ) -> None:
        """`shape`: that of the weights, (out, in, k, k)."""
        super().__init__()
        self.padding = padding
        self.parameters = random_parameters(shape, generator, dtype)

    def kernels_as_columns(self) -> Float[np.ndarray, "window out"]:
        weight = self.parameters["weight"]
        return weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))

    def forward(self, x: Maps, training: bool) -> Maps:
        size, padding = self.parameters["weight"].shape[2], self.padding
        if padding:
            x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        windows = sliding_window_view(x, (size, size), axis=(1, 2))  # (batch, rows, columns, channels, k, k), a view
        batch, rows, columns, num_inputs = windows.shape[:4]
        if num_inputs == 1:  # faster: one contiguous copy of the image rows per window position
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
            d_position = dy_rows @ weight[:, :, r, s]  # (batch * rows * columns, channels), for all windows
            dx[:, r : r + rows, s : s + columns] += d_position.reshape(batch, rows, columns, -1)
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


class MaxPooling(Layer):
    """y[n, i, j, c] = max over r, s < size of x[n, size * i + r, size * j + s, c]; windows at the edge may be partial.

    The loop runs over the size * size positions in a window; each step handles all windows at once.
    Backward: the first position that holds the maximum receives dy, the others 0.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Maps, training: bool) -> Maps:
        y = x[:, :: self.size, :: self.size].copy()
        for values, windows in self.window_positions(x):
            np.maximum(y[windows], values, out=y[windows])
        if training:
            self.x, self.y = x, y
        return y

    def backward(self, dy: Maps) -> Maps:
        dx = np.empty(self.x.shape, dy.dtype)
        is_pending = np.ones(dy.shape, bool)  # windows whose maximum is not found yet
        positions = zip(self.window_positions(self.x), self.window_positions(dx), strict=True)
        for (values, windows), (d_values, _) in positions:
            is_maximum = is_pending[windows] & (values == self.y[windows])
            np.multiply(dy[windows], is_maximum, out=d_values)
            is_pending[windows] ^= is_maximum
        return dx

    def window_positions(self, maps: Maps) -> Iterator[tuple[Maps, tuple[slice, ...]]]:
        """For each position in a window: its values in all windows, and the slice of windows that contain it."""
        for r in range(self.size):
            for s in range(self.size):
                values = maps[:, r :: self.size, s :: self.size]
                yield values, np.s_[:, : values.shape[1], : values.shape[2]]


class AveragePooling(Layer):
    """y[n, i, j, c] = mean of x over window (i, j). A partial window at the edge averages the values it has.

    Backward: each value of a window with `count` values receives dy / count.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Maps, training: bool) -> Maps:
        starts = [np.arange(0, side, self.size) for side in x.shape[1:3]]
        sums = np.add.reduceat(np.add.reduceat(x, starts[0], axis=1), starts[1], axis=2)
        lengths = [np.diff(start, append=side) for start, side in zip(starts, x.shape[1:3], strict=True)]
        self.counts = np.multiply.outer(*lengths)[:, :, None].astype(x.dtype)
        self.shape = x.shape
        return sums / self.counts

    def backward(self, dy: Maps) -> Maps:
        spread = (dy / self.counts).repeat(self.size, axis=1).repeat(self.size, axis=2)
        return spread[:, : self.shape[1], : self.shape[2]]


class GlobalAverage(Layer):
    """y[n, c] = mean of x[n, :, :, c]. Backward: dx[n, :, :, c] = dy[n, c] / (rows * columns)."""

    def forward(self, x: Maps, training: bool) -> Float[np.ndarray, "batch channels"]:
        self.shape = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, dy: Float[np.ndarray, "batch channels"]) -> Maps:
        _, rows, columns, _ = self.shape
        return np.broadcast_to(dy[:, None, None] / (rows * columns), self.shape)


class Linear(Layer):
    """y = x W' + b, with x (batch, in), W (out, in), b (out,). Backward: dW = dy' x, db = sum of dy, dx = dy W."""

    def __init__(self, shape: tuple[int, int], generator: np.random.Generator, dtype: Any) -> None:
        super().__init__()
        self.parameters = random_parameters(shape, generator, dtype)

    def forward(self, x: Vectors, training: bool) -> Vectors:
        if training:
            self.x = x
        return x @ self.parameters["weight"].T + self.parameters["bias"]

    def find_gradients(self, dy: Vectors) -> None:
        self.gradients = {"weight": dy.T @ self.x, "bias": dy.sum(0)}

    def backward(self, dy: Vectors) -> Vectors:
        self.find_gradients(dy)
        return dy @ self.parameters["weight"]


class BatchNorm(Layer):
    """y = g z + b with z = (x - m) / sqrt(v + e); m and v are the mean and variance of each channel over the batch.

    In evaluation, running averages replace m and v: m_run <- 0.9 m_run + 0.1 m, v_run <- 0.9 v_run + 0.1 v n / (n - 1)
    with n values per channel. They also normalise a training batch with one value per channel, which has no variance.
    Backward: dg = sum dy z, db = sum dy, dx = g / sqrt(v + e) * (dy - db / n - z dg / n).

    Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
    """

    MOMENTUM = 0.1
    EPSILON = 1e-5

    def __init__(self, num_channels: int, dtype: Any) -> None:
        super().__init__()
        self.parameters = {"weight": np.ones(num_channels, dtype), "bias": np.zeros(num_channels, dtype)}
        self.buffers = {"running_mean": np.zeros(num_channels, dtype), "running_var": np.ones(num_channels, dtype)}

    def forward(self, x: Array, training: bool) -> Array:
        axes = tuple(range(x.ndim - 1))  # all except the channels, the last axis
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


class Standardize(Layer):
    """y = (x - mean) / std for pixels x in [0, 1]. The first layer of every network: it has no backward pass."""

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.buffers = {"mean": np.array(MNIST_MEAN, dtype), "std": np.array(MNIST_STD, dtype)}

    def forward(self, x: Array, training: bool) -> Array:
        return (x - self.buffers["mean"]) / self.buffers["std"]


class Flatten(Layer):
    """Maps to vectors (batch, channels * rows * columns), in torch's order: channels first."""

    def forward(self, x: Maps, training: bool) -> Vectors:
        self.shape = x.shape
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)

    def backward(self, dy: Vectors) -> Maps:
        batch, rows, columns, channels = self.shape
        return dy.reshape(batch, channels, rows, columns).transpose(0, 2, 3, 1)


class ReLU(Layer):
    """y = max(x, 0). Backward: dx = dy where x > 0, else 0."""

    def forward(self, x: Array, training: bool) -> Array:
        y = np.maximum(x, 0)
        if training:
            self.is_on = y > 0
        return y

    def backward(self, dy: Array) -> Array:
        return dy * self.is_on


class Dropout(Layer):
    """In training y = x m / (1 - p), with m = 0 with probability p and 1 otherwise. In evaluation y = x.

    Backward: dx = dy m / (1 - p).

    Source: Srivastava et al. 2014, Journal of Machine Learning Research 15.
    """

    def __init__(self, p: float, generator: np.random.Generator) -> None:
        super().__init__()
        self.p = p
        self.generator = generator

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            return x
        is_kept = self.generator.random(x.shape, np.float32) >= self.p
        self.factors = is_kept.astype(x.dtype) / (1 - self.p)
        return x * self.factors

    def backward(self, dy: Array) -> Array:
        return dy * self.factors


# The NumPy layer of each layer of a model string: a function of (layer, input shape, generator, dtype).
BUILDERS: dict[type[grammar.Layer], Callable[..., Layer]] = {
    grammar.Conv: lambda layer, inputs, *rest: Convolution(
        (layer.channels, inputs[0], layer.kernel_size, layer.kernel_size), layer.padding, *rest
    ),
    grammar.Pool: lambda layer, *_: AveragePooling(layer.size) if layer.average else MaxPooling(layer.size),
    grammar.GlobalPool: lambda *_: GlobalAverage(),
    grammar.BatchNorm: lambda _, inputs, __, dtype: BatchNorm(inputs[0], dtype),
    grammar.Drop: lambda layer, _, generator, __: Dropout(float(layer.probability), generator),
    grammar.FullyConnected: lambda layer, inputs, *rest: Linear((layer.width, math.prod(inputs)), *rest),
}
