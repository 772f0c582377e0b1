"""The grammar of model strings, text <-> layers: `C(16,3)-P2-FC128-FC10`.

`C(16,3)` is a valid 3 x 3 convolution to 16 channels with ReLU, `C(16,3,same)` one that keeps the sides; `P2` 2 x 2 max
pooling with stride 2 that keeps partial windows, `A2` average pooling likewise, `G` the mean of each channel; `FC128` a
fully connected layer with ReLU; `BN` batch norm, which behind a convolution or a fully connected layer stands before
the ReLU; `D0.4` dropout with that probability. The last layer is `FC10`, plain logits.
Parsing knows no torch and takes no memory, so that any engine can build from it.
"""

import math
import re
from collections.abc import Callable
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
    """A convolution, stride 1, followed by ReLU: valid, or padded with zeros so that the sides stay as they are."""

    channels: int
    kernel_size: int
    same: bool = False

    @property
    def padding(self) -> int:
        return self.kernel_size // 2 if self.same else 0

    def __str__(self) -> str:
        return f"C({self.channels},{self.kernel_size}{',same' if self.same else ''})"


@dataclass(frozen=True)
class Pool:
    """Max or average pooling; stride = size; of partial windows at the edge what is there counts."""

    size: int
    average: bool = False

    def __str__(self) -> str:
        return f"{'A' if self.average else 'P'}{self.size}"


@dataclass(frozen=True)
class GlobalPool:
    """The mean of each channel."""

    def __str__(self) -> str:
        return "G"


@dataclass(frozen=True)
class BatchNorm:
    """Batch norm of each channel or unit; behind a convolution or a fully connected layer it stands before the ReLU."""

    def __str__(self) -> str:
        return "BN"


@dataclass(frozen=True)
class Drop:
    """Dropout: while training, each value is set to zero with this probability."""

    probability: str  # as it is written, 0.4

    def __str__(self) -> str:
        return f"D{self.probability}"


@dataclass(frozen=True)
class FullyConnected:
    """A fully connected layer, followed by ReLU unless it is the last."""

    width: int

    def __str__(self) -> str:
        return f"FC{self.width}"


Layer = Conv | Pool | GlobalPool | BatchNorm | Drop | FullyConnected
NUMBER = r"(0|[1-9][0-9]{0,11})"  # no leading zeros, so that str(parse(text)) == text
LAYER_PATTERNS: dict[str, Callable[[re.Match[str]], Layer]] = {
    rf"C\({NUMBER},{NUMBER}(,same)?\)": lambda found: Conv(int(found[1]), int(found[2]), found[3] is not None),
    rf"(P|A){NUMBER}": lambda found: Pool(int(found[2]), found[1] == "A"),
    "G": lambda _: GlobalPool(),
    "BN": lambda _: BatchNorm(),
    r"D(0\.[0-9]{1,6})": lambda found: Drop(found[1]),
    rf"FC{NUMBER}": lambda found: FullyConnected(int(found[1])),
}


@dataclass(frozen=True)
class ModelString:
    """The layers of a network, from pixels to logits, and the shape that each puts out."""

    layers: tuple[Layer, ...]
    shapes: tuple[tuple[int, ...], ...]  # (channels, height, width) or (units,), one a layer

    @property
    def names(self) -> tuple[str, ...]:
        """What each layer is called in every engine: its kind and its place, from 1; the last is `logits`."""
        kinds = {
            Conv: "conv",
            Pool: "pool",
            GlobalPool: "pool",
            BatchNorm: "norm",
            Drop: "dropout",
            FullyConnected: "fc",
        }
        names = [f"{kinds[type(layer)]}{place}" for place, layer in enumerate(self.layers, start=1)]
        return (*names[:-1], "logits")

    @property
    def has_relu(self) -> tuple[bool, ...]:
        """Whether ReLU follows each layer: convolutions and hidden fully connected ones, or their batch norm."""
        with_weights = [isinstance(layer, Conv | FullyConnected) for layer in self.layers[:-1]]
        is_norm = [layer == BatchNorm() for layer in self.layers]
        before, after = [False, *with_weights], [*is_norm[1:], False]
        return tuple(
            (weights and not norm_follows) or (norm and weights_before)
            for weights, norm, weights_before, norm_follows in zip(
                [*with_weights, False], is_norm, before, after, strict=True
            )
        )

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
    for pattern, layer in LAYER_PATTERNS.items():
        found = re.fullmatch(pattern, part)
        if found:
            return layer(found)
    raise ValueError("expected C(channels,kernel), P2, FC<units>, BN, D0.5, A2 or G, joined by '-'")


def _output_shape(layer: Layer, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """The shape after the layer. Raises ValueError where it does not fit onto the shape before it."""
    match layer:
        case FullyConnected(width):
            _check_range("units", width, MAX_WIDTH)
            return (width,)
        case BatchNorm() | Drop():
            return inputs
        case _ if len(inputs) == 1:
            raise ValueError("only fully connected layers, BN and dropout can follow a fully connected layer or G")
        case Conv(channels, kernel_size, same):
            _check_range("channels", channels, MAX_WIDTH)
            _check_range("kernel", kernel_size, inputs[1], f"the {inputs[1]} x {inputs[2]} that is left")
            if same and kernel_size % 2 == 0:
                raise ValueError(f"with same the kernel must be odd, not {kernel_size}")
            side = inputs[1] if same else inputs[1] - kernel_size + 1
            return (channels, side, side)
        case GlobalPool():
            return inputs[:1]
        case Pool(size, _):
            _check_range("pool", size, inputs[1], f"the {inputs[1]} x {inputs[2]} that is left")
            return (inputs[0], -(-inputs[1] // size), -(-inputs[2] // size))


def _check_range(what: str, value: int, limit: int, limit_is: str = "the limit") -> None:
    if not 1 <= value <= limit:
        raise ValueError(f"{what} must be from 1 to {limit:,} ({limit_is}), not {value:,}")


def _num_parameters(layer: Layer, inputs: tuple[int, ...]) -> int:
    match layer:
        case Conv(channels, kernel_size, _):
            return channels * (inputs[0] * kernel_size**2 + 1)
        case FullyConnected(width):
            return width * (math.prod(inputs) + 1)
        case BatchNorm():
            return 2 * inputs[0]
        case _:
            return 0


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
