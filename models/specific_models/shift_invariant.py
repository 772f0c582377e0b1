"""Fully convolutional with global average pooling: nearly invariant to shifts. 112,362 parameters."""

from torch import nn

from models.layers import NUM_CLASSES, GlobalAveragePool, LayeredNet


class ShiftInvariantNet(LayeredNet):
    """Four padded 3x3 convolutions with 32, 64, 64 and 96 channels, two pools, then the mean over the 7 x 7 maps.

    A shift by 4 px, the stride of both pools together, moves the last 7 x 7 maps by one position. Their means change
    only through the padding at the image's edges.
    """

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        layers: dict[str, nn.Module] = {}
        blocks = [(1, 32, 2), (32, 64, 2), (64, 64, 1), (64, 96, 1)]
        for number, (width_in, width_out, pool) in enumerate(blocks, start=1):
            layers[f"conv{number}"] = nn.Conv2d(width_in, width_out, 3, padding=1, bias=False)
            if pool > 1:
                layers[f"conv{number}_pool"] = nn.MaxPool2d(pool)
            layers[f"conv{number}_norm"] = nn.BatchNorm2d(width_out)
            layers[f"conv{number}_relu"] = nn.ReLU()
        super().__init__(**layers, mean=GlobalAveragePool(), logits=nn.Linear(96, num_classes))
