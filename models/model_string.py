"""The grammar of model strings: text to layers and back, such as `C(16,3)-P2-FC128-FC10`.

`C(16,3)` is a valid 3 x 3 convolution with 16 channels and ReLU; `C(16,3,same)` is padded and preserves height and
width. `P2` is 2 x 2 max pooling with stride 2 that includes partial windows at the edge, `A2` average pooling of the
same form, `G` the mean of each channel. `FC128` is a fully connected layer with 128 units and ReLU. `BN` is batch norm;
directly after a convolution or a fully connected layer it precedes that layer's ReLU. `D0.4` is dropout with
probability 0.4. The last layer, such as `FC10`, is fully connected and outputs plain logits, one per class.

To add a layer, write its class here and append it to LAYERS. Its NumPy implementation is a class in
models/numpy_models/layers.py with an entry in BUILDERS there.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from models.layers import BatchNorm1d, BatchNorm2d, Dropout, GlobalAveragePool
from utils.errors import UserError, brief

SIDE = 28
MAX_LAYERS = 100
MAX_WIDTH = 65_536  # channels of a convolution or units of a fully connected layer
MAX_PARAMETERS = 100_000_000
MAX_ACTIVATIONS = 2_000_000  # outputs of all layers together for one image

NUMBER = r"(0|[1-9][0-9]{0,11})"  # without leading zeros, so that str(parse(text)) == text
Shape = tuple[int, ...]  # (channels, height, width) or (units,)


@dataclass(frozen=True)
class Layer:
    """A layer of a model string: what each class in LAYERS defines. `str(layer)` is the layer's text."""

    pattern: ClassVar[str]
    """Regular expression of the layer's text."""
    syntax: ClassVar[str]
    """The layer's text in error messages."""
    kind: ClassVar[str]
    """First part of the layer's name: `conv` for conv1."""
    has_relu: ClassVar[bool] = False
    """Whether ReLU follows the layer, unless it is the last one."""

    @classmethod
    def parse(cls, *groups: str) -> "Layer":
        """The layer for the groups of `pattern`."""
        return cls(*groups)

    def __str__(self) -> str:
        return self.syntax

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the output. Raises ValueError for a layer that is too large or does not fit its inputs."""
        return inputs

    def num_parameters(self, inputs: Shape) -> int:
        return 0

    def to_torch(self, inputs: Shape) -> nn.Module:
        """The torch layer with random weights, without ReLU. A fully connected layer expects flattened inputs."""
        raise NotImplementedError


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution with stride 1, either valid or padded with zeros to preserve height and width."""

    channels: int
    kernel_size: int
    same: bool = False

    pattern = rf"C\({NUMBER},{NUMBER}(,same)?\)"
    syntax = "C(channels,kernel)"
    kind = "conv"
    has_relu = True

    @classmethod
    def parse(cls, *groups: str) -> "Conv":
        return cls(int(groups[0]), int(groups[1]), bool(groups[2]))

    def __str__(self) -> str:
        return f"C({self.channels},{self.kernel_size}{',same' if self.same else ''})"

    @property
    def padding(self) -> int:
        return self.kernel_size // 2 if self.same else 0

    def output_shape(self, inputs: Shape) -> Shape:
        _, side, _ = _check_maps(inputs)
        _check_range("channels", self.channels, MAX_WIDTH)
        _check_range("kernel", self.kernel_size, side, f"the remaining {side} x {side}")
        if self.same and self.kernel_size % 2 == 0:
            raise ValueError(f"with same the kernel must be odd, not {self.kernel_size}")
        side += 2 * self.padding - self.kernel_size + 1
        return (self.channels, side, side)

    def num_parameters(self, inputs: Shape) -> int:
        return self.channels * (inputs[0] * self.kernel_size**2 + 1)

    def to_torch(self, inputs: Shape) -> nn.Module:
        return nn.Conv2d(inputs[0], self.channels, self.kernel_size, padding=self.padding)


@dataclass(frozen=True)
class Pool(Layer):
    """Max or average pooling with stride = size. Partial windows at the edge pool the values they have."""

    size: int
    average: bool = False

    pattern = rf"(P|A){NUMBER}"
    syntax = "P2, A2"
    kind = "pool"

    @classmethod
    def parse(cls, *groups: str) -> "Pool":
        return cls(int(groups[1]), groups[0] == "A")

    def __str__(self) -> str:
        return f"{'A' if self.average else 'P'}{self.size}"

    def output_shape(self, inputs: Shape) -> Shape:
        channels, height, width = _check_maps(inputs)
        _check_range("pool", self.size, height, f"the remaining {height} x {width}")
        return (channels, math.ceil(height / self.size), math.ceil(width / self.size))

    def to_torch(self, inputs: Shape) -> nn.Module:
        pool = partial(nn.AvgPool2d, count_include_pad=False) if self.average else nn.MaxPool2d
        return pool(self.size, ceil_mode=True)


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The mean of each channel."""

    pattern = "G"
    syntax = "G"
    kind = "pool"

    def output_shape(self, inputs: Shape) -> Shape:
        return _check_maps(inputs)[:1]

    def to_torch(self, inputs: Shape) -> nn.Module:
        return GlobalAveragePool()


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch norm of each channel or unit. After a convolution or a fully connected layer it precedes the ReLU."""

    pattern = "BN"
    syntax = "BN"
    kind = "norm"

    def num_parameters(self, inputs: Shape) -> int:
        return 2 * inputs[0]

    def to_torch(self, inputs: Shape) -> nn.Module:
        return BatchNorm2d(inputs[0]) if len(inputs) == 3 else BatchNorm1d(inputs[0])


@dataclass(frozen=True)
class Drop(Layer):
    """Dropout: during training, each value becomes zero with this probability."""

    probability: str  # as in the model string, such as 0.40

    pattern = r"D(0\.[0-9]{1,6})"
    syntax = "D0.5"
    kind = "dropout"

    def __str__(self) -> str:
        return f"D{self.probability}"

    def to_torch(self, inputs: Shape) -> nn.Module:
        return Dropout(float(self.probability))


@dataclass(frozen=True)
class FullyConnected(Layer):
    """A fully connected layer. ReLU follows it unless it is the last layer."""

    width: int

    pattern = rf"FC{NUMBER}"
    syntax = "FC<units>"
    kind = "fc"
    has_relu = True

    @classmethod
    def parse(cls, *groups: str) -> "FullyConnected":
        return cls(int(groups[0]))

    def __str__(self) -> str:
        return f"FC{self.width}"

    def output_shape(self, inputs: Shape) -> Shape:
        _check_range("units", self.width, MAX_WIDTH)
        return (self.width,)

    def num_parameters(self, inputs: Shape) -> int:
        return self.width * (math.prod(inputs) + 1)

    def to_torch(self, inputs: Shape) -> nn.Module:
        return nn.Linear(math.prod(inputs), self.width)


LAYERS: tuple[type[Layer], ...] = (Conv, Pool, GlobalPool, BatchNorm, Drop, FullyConnected)


@dataclass(frozen=True)
class ModelString:
    """The layers of a network from pixels to logits, with the shapes between them."""

    layers: tuple[Layer, ...]
    shapes: tuple[Shape, ...]
    """Output shape of each layer."""

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Input shape of each layer."""
        return ((1, SIDE, SIDE), *self.shapes[:-1])

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each layer in the torch and NumPy networks: kind and position from 1; the last is `logits`."""
        names = [f"{layer.kind}{position}" for position, layer in enumerate(self.layers, start=1)]
        return (*names[:-1], "logits")

    def steps(self) -> Iterator[tuple[str, Layer, Shape, bool]]:
        """Name, layer, input shape, and whether ReLU directly follows. A batch norm receives the ReLU of the layer
        before it."""
        relu = [*(layer.has_relu for layer in self.layers[:-1]), False]
        for position, layer in enumerate(self.layers[1:], start=1):
            if isinstance(layer, BatchNorm) and self.layers[position - 1].has_relu:
                relu[position - 1], relu[position] = False, True
        return zip(self.names, self.layers, self.input_shapes, relu, strict=True)

    def __str__(self) -> str:
        return "-".join(map(str, self.layers))


def parse(text: str) -> ModelString:
    """The layers of a model string. `str(parse(text)) == text`. Allocates no weights.

    Raises UserError with the position and the reason for invalid text and for a network above the size limits.
    """
    layers: list[Layer] = []
    shapes: list[Shape] = []
    shape: Shape = (1, SIDE, SIDE)
    parameters = activations = 0
    position = 1
    for part in text.split("-"):
        try:
            if len(layers) == MAX_LAYERS:
                raise ValueError(f"more than {MAX_LAYERS} layers")
            layer = _parse_layer(part)
            inputs, shape = shape, layer.output_shape(shape)
            parameters += layer.num_parameters(inputs)
            activations += math.prod(shape)
            if parameters > MAX_PARAMETERS:
                raise ValueError(f"{parameters:,} parameters up to this layer, expected at most {MAX_PARAMETERS:,}")
            if activations > MAX_ACTIVATIONS:
                raise ValueError(f"{activations:,} activations per image, expected at most {MAX_ACTIVATIONS:,}")
        except ValueError as error:
            raise UserError(f"model '{brief(text)}', character {position}, '{brief(part)}': {error}") from None
        layers.append(layer)
        shapes.append(shape)
        position += len(part) + 1
    if not isinstance(layers[-1], FullyConnected):
        raise UserError(f"model '{brief(text)}' ends in {layers[-1]}: expected FC10, or FC with the number of classes")
    return ModelString(tuple(layers), tuple(shapes))


def _parse_layer(part: str) -> Layer:
    """The layer of this text. Raises ValueError if there is none."""
    for kind in LAYERS:
        match = re.fullmatch(kind.pattern, part)
        if match:
            return kind.parse(*match.groups(""))
    raise ValueError(f"expected one of {', '.join(kind.syntax for kind in LAYERS)}, joined by '-'")


def _check_maps(inputs: Shape) -> Shape:
    """The shape (channels, height, width). Raises ValueError for the shape (units,)."""
    if len(inputs) == 1:
        raise ValueError("only fully connected layers, BN and dropout can follow a fully connected layer or G")
    return inputs


def _check_range(quantity: str, value: int, limit: int, limit_name: str = "the limit") -> None:
    if not 1 <= value <= limit:
        raise ValueError(f"{quantity} must be from 1 to {limit:,} ({limit_name}), not {value:,}")
