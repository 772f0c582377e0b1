"""Pooling: windows side by side, of which one value remains."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from models.numpy_models.layer import Layer

Maps = Float[np.ndarray, "batch _ _ channels"]  # rows, columns


class MaxPooling(Layer):
    """y[n, i, j, c] = max over r, s < size of x[n, size * i + r, size * j + s, c]; windows at the edge may be partial.

    The maximum runs over the size * size places of a window, for all windows at once. Back: dy goes to the place
    that held the maximum, among equals to the first, and 0 to the others.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Maps, training: bool) -> Maps:
        y = x[:, :: self.size, :: self.size].copy()
        for values, windows in self.places(x):
            np.maximum(y[windows], values, out=y[windows])
        if training:
            self.x, self.y = x, y
        return y

    def backward(self, dy: Maps) -> Maps:
        dx = np.empty(self.x.shape, dy.dtype)
        is_open = np.ones(dy.shape, bool)  # windows whose maximum was not found yet
        for (values, windows), (d_values, _) in zip(self.places(self.x), self.places(dx), strict=True):
            is_maximum = is_open[windows] & (values == self.y[windows])
            np.multiply(dy[windows], is_maximum, out=d_values)
            is_open[windows] ^= is_maximum
        return dx

    def places(self, maps: Maps) -> Iterator[tuple[Maps, tuple[slice, ...]]]:
        """For each place of a window: the values there in all windows, and which windows are large enough for it."""
        for r in range(self.size):
            for s in range(self.size):
                values = maps[:, r :: self.size, s :: self.size]
                yield values, np.s_[:, : values.shape[1], : values.shape[2]]


class AveragePooling(Layer):
    """y[n, i, j, c] = the mean of x over the window (i, j); of partial windows the mean of what is there.

    Back: dy / count to each of the window's places.
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
    """y[n, c] = the mean of x[n, :, :, c]. Back: dy / (rows * columns) to each place."""

    def forward(self, x: Maps, training: bool) -> Float[np.ndarray, "batch channels"]:
        self.shape = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, dy: Float[np.ndarray, "batch channels"]) -> Maps:
        _, rows, columns, _ = self.shape
        return np.broadcast_to(dy[:, None, None] / (rows * columns), self.shape)
