"""Two 3x3 convolutions with 32 channels, two with 64, FC 128-10, batch norm and dropout. 468,138 parameters."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import BatchNorm1d, Dropout, Standardize

DROPOUT = 0.4


class DeepConvNet(nn.Module):
    """28 x 28 -> 14 x 14 -> 7 x 7 with padded convolutions. Batch norm follows each convolution and the hidden fully
    connected layer; dropout follows each pool and the hidden fully connected layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(standardize=Standardize()))
        for number, (width_in, width_out) in enumerate([(1, 32), (32, 32), (32, 64), (64, 64)], start=1):
            self.layers.add_module(f"conv{number}", nn.Conv2d(width_in, width_out, 3, padding=1, bias=False))
            self.layers.add_module(f"conv{number}_norm", nn.BatchNorm2d(width_out))
            if number % 2 == 0:
                self.layers.add_module(f"conv{number}_pool", nn.MaxPool2d(2))  # before ReLU: same values, less work
            self.layers.add_module(f"conv{number}_relu", nn.ReLU())
            if number % 2 == 0:
                self.layers.add_module(f"conv{number}_dropout", Dropout(DROPOUT))
        self.layers.add_module("flatten", nn.Flatten())
        self.layers.add_module("fc1", nn.Linear(7 * 7 * 64, 128, bias=False))
        self.layers.add_module("fc1_norm", BatchNorm1d(128))
        self.layers.add_module("fc1_relu", nn.ReLU())
        self.layers.add_module("fc1_dropout", Dropout(DROPOUT))
        self.layers.add_module("logits", nn.Linear(128, 10))

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits
