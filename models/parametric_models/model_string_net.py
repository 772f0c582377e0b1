"""The torch network of a model string."""

import math
from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import Standardize
from models.model_string import SIDE, Conv, FullyConnected, ModelString, Pool


class ModelStringNet(nn.Module):
    """The layers that the string names, numbered as they stand there; ReLU after all but pools and the logits."""

    def __init__(self, model_string: ModelString) -> None:
        super().__init__()
        modules: OrderedDict[str, nn.Module] = OrderedDict(standardize=Standardize())
        inputs: tuple[int, ...] = (1, SIDE, SIDE)
        last = len(model_string.layers)
        for number, (layer, shape) in enumerate(zip(model_string.layers, model_string.shapes, strict=True), start=1):
            match layer:
                case Conv(channels, kernel_size):
                    modules[f"conv{number}"] = nn.Conv2d(inputs[0], channels, kernel_size)
                case Pool(size):
                    modules[f"pool{number}"] = nn.MaxPool2d(size, ceil_mode=True)
                case FullyConnected(width):
                    if len(inputs) == 3:
                        modules["flatten"] = nn.Flatten()
                    modules["logits" if number == last else f"fc{number}"] = nn.Linear(math.prod(inputs), width)
            if not isinstance(layer, Pool) and number < last:
                modules[f"relu{number}"] = nn.ReLU()
            inputs = shape
        self.layers = nn.Sequential(modules)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits
