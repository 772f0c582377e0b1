"""The grammar of model strings, text <-> layers: `C(16,3)-P2-FC128-FC10`.

`C(16,3)` is a valid 3 x 3 convolution to 16 channels with ReLU, `P2` 2 x 2 max pooling with stride 2 that keeps
partial windows, `FC128` a fully connected layer with ReLU; the last layer is `FC10`, plain logits.
Parsing knows no torch and takes no memory, so that any engine can build from it.
"""

import math
import re
from dataclasses import dataclass

from utils.errors import UserError

NUM_CLASSES = 10
SIDE = 28
MAX_LAYERS = 100
MAX_WIDTH = 65_536  # channels of a convolution or units of a fully connected layer
MAX_PARAMETERS = 100_000_000
MAX_ACTIVATIONS = 2_000_000  # values that one digit takes in all layers together


@dataclass(frozen=True)
class Conv:
    """A valid convolution, stride 1, followed by ReLU."""

    channels: int
    kernel_size: int

    def __str__(self) -> str:
        return f"C({self.channels},{self.kernel_size})"


@dataclass(frozen=True)
class Pool:
    """Max pooling; stride = size; partial windows at the edge are kept."""

    size: int

    def __str__(self) -> str:
        return f"P{self.size}"


@dataclass(frozen=True)
class FullyConnected:
    """A fully connected layer, followed by ReLU unless it is the last."""

    width: int

    def __str__(self) -> str:
        return f"FC{self.width}"


Layer = Conv | Pool | FullyConnected
NUMBER = r"(0|[1-9][0-9]{0,11})"  # no leading zeros, so that str(parse(text)) == text
LAYER_PATTERNS: dict[str, type[Conv] | type[Pool] | type[FullyConnected]] = {
    rf"C\({NUMBER},{NUMBER}\)": Conv,
    rf"P{NUMBER}": Pool,
    rf"FC{NUMBER}": FullyConnected,
}


@dataclass(frozen=True)
class ModelString:
    """The layers of a network, from pixels to logits, and the shape that each puts out."""

    layers: tuple[Layer, ...]
    shapes: tuple[tuple[int, ...], ...]  # (channels, height, width) or (units,), one a layer

    def __str__(self) -> str:
        return "-".join(map(str, self.layers))


def parse(text: str) -> ModelString:
    """The layers that a model string names. `str(parse(text)) == text`.

    Raises UserError with the place and the reason for a string that is no network or an absurd one.
    """
    layers: list[Layer] = []
    shapes: list[tuple[int, ...]] = []
    shape: tuple[int, ...] = (1, SIDE, SIDE)
    parameters = activations = 0
    position = 1
    for part in text.split("-"):
        try:
            if len(layers) == MAX_LAYERS:
                raise ValueError(f"more than {MAX_LAYERS} layers")
            layer = _parse_layer(part)
            inputs, shape = shape, _output_shape(layer, shape)
            parameters += _num_parameters(layer, inputs)
            activations += math.prod(shape)
            if parameters > MAX_PARAMETERS:
                raise ValueError(f"{parameters:,} parameters up to here, at most {MAX_PARAMETERS:,} are allowed")
            if activations > MAX_ACTIVATIONS:
                raise ValueError(f"{activations:,} values a digit up to here, at most {MAX_ACTIVATIONS:,} are allowed")
        except ValueError as error:
            raise UserError(
                f"model '{_shortened(text)}', character {position}, '{_shortened(part)}': {error}"
            ) from None
        layers.append(layer)
        shapes.append(shape)
        position += len(part) + 1
    if layers[-1] != FullyConnected(NUM_CLASSES):
        raise UserError(f"model '{_shortened(text)}' ends in {layers[-1]}: the last layer must be FC{NUM_CLASSES}")
    return ModelString(tuple(layers), tuple(shapes))


def _parse_layer(part: str) -> Layer:
    for pattern, kind in LAYER_PATTERNS.items():
        match = re.fullmatch(pattern, part)
        if match:
            return kind(*map(int, match.groups()))
    raise ValueError("expected C(channels,kernel), P2 or FC<units>, joined by '-'")


def _output_shape(layer: Layer, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """The shape after the layer. Raises ValueError where it does not fit onto the shape before it."""
    match layer:
        case FullyConnected(width):
            _check_range("units", width, MAX_WIDTH)
            return (width,)
        case _ if len(inputs) == 1:
            raise ValueError("only fully connected layers can follow a fully connected layer")
        case Conv(channels, kernel_size):
            _check_range("channels", channels, MAX_WIDTH)
            _check_range("kernel", kernel_size, inputs[1], f"the {inputs[1]} x {inputs[2]} that is left")
            return (channels, inputs[1] - kernel_size + 1, inputs[2] - kernel_size + 1)
        case Pool(size):
            _check_range("pool", size, inputs[1], f"the {inputs[1]} x {inputs[2]} that is left")
            return (inputs[0], -(-inputs[1] // size), -(-inputs[2] // size))


def _check_range(what: str, value: int, limit: int, limit_is: str = "the limit") -> None:
    if not 1 <= value <= limit:
        raise ValueError(f"{what} must be from 1 to {limit:,} ({limit_is}), not {value:,}")


def _num_parameters(layer: Layer, inputs: tuple[int, ...]) -> int:
    match layer:
        case Conv(channels, kernel_size):
            return channels * (inputs[0] * kernel_size**2 + 1)
        case FullyConnected(width):
            return width * (math.prod(inputs) + 1)
        case _:
            return 0


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
