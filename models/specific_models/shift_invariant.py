"""Fully convolutional with global average pooling: nearly invariant to shifts. 112,362 parameters."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import GlobalAveragePool, Standardize


class ShiftInvariantNet(nn.Module):
    """Four padded 3x3 convolutions with 32, 64, 64 and 96 channels, two pools, then the mean over the 7 x 7 maps.

    A shift by 4 px, the stride of both pools together, moves the last 7 x 7 maps by one position. Their means change
    only through the padding at the image's edges.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(standardize=Standardize()))
        blocks = [(1, 32, 2), (32, 64, 2), (64, 64, 1), (64, 96, 1)]
        for number, (width_in, width_out, pool) in enumerate(blocks, start=1):
            self.layers.add_module(f"conv{number}", nn.Conv2d(width_in, width_out, 3, padding=1, bias=False))
            if pool > 1:
                self.layers.add_module(f"conv{number}_pool", nn.MaxPool2d(pool))
            self.layers.add_module(f"conv{number}_norm", nn.BatchNorm2d(width_out))
            self.layers.add_module(f"conv{number}_relu", nn.ReLU())
        self.layers.add_module("mean", GlobalAveragePool())
        self.layers.add_module("logits", nn.Linear(96, 10))

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits
