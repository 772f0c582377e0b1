"""The torch network of a model string."""

import math
from collections import OrderedDict
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import BatchNorm1d, BatchNorm2d, Dropout, GlobalAveragePool, Standardize
from models.model_string import SIDE, BatchNorm, Conv, Drop, FullyConnected, GlobalPool, ModelString, Pool


class ModelStringNet(nn.Module):
    """The layers that the string names, numbered as they stand there; ReLU after each convolution and each hidden
    fully connected layer, and after the batch norm that follows it where one does."""

    def __init__(self, model_string: ModelString) -> None:
        super().__init__()
        self.model_string = model_string
        modules: OrderedDict[str, nn.Module] = OrderedDict(standardize=Standardize())
        inputs: tuple[int, ...] = (1, SIDE, SIDE)
        layers = zip(model_string.names, model_string.layers, model_string.shapes, model_string.has_relu, strict=True)
        for name, layer, shape, has_relu in layers:
            match layer:
                case Conv(channels, kernel_size):
                    modules[name] = nn.Conv2d(inputs[0], channels, kernel_size, padding=layer.padding)
                case Pool(size, average):
                    kind = partial(nn.AvgPool2d, count_include_pad=False) if average else nn.MaxPool2d
                    modules[name] = kind(size, ceil_mode=True)
                case GlobalPool():
                    modules[name] = GlobalAveragePool()
                case BatchNorm():
                    modules[name] = BatchNorm2d(inputs[0]) if len(inputs) == 3 else BatchNorm1d(inputs[0])
                case Drop(probability):
                    modules[name] = Dropout(float(probability))
                case FullyConnected(width):
                    if len(inputs) == 3:
                        modules["flatten"] = nn.Flatten()
                    modules[name] = nn.Linear(math.prod(inputs), width)
            if has_relu:
                modules[f"{name}_relu"] = nn.ReLU()
            inputs = shape
        self.layers = nn.Sequential(modules)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits
