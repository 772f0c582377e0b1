"""Convolutional networks with any channels, kernels and pools."""

from collections.abc import Sequence

from torch import nn

from models.layers import NUM_CLASSES, LayeredNet
from models.parametric_models.parametric_fc import classifier


class ParametricConvNet(LayeredNet):
    """Convolution blocks, then fully connected layers, then logits.

    A block is a convolution, optional batch norm, optional max pooling, and ReLU. Maximum and ReLU commute, so pooling
    before ReLU gives the same values with a quarter of the work for ReLU.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        paddings: Sequence[int],
        pools: Sequence[int],
        batch_norm: bool = True,
        hidden_widths: Sequence[int] = (),
        dropout: float = 0.0,
        num_classes: int = NUM_CLASSES,
    ) -> None:
        """The first four lists have one entry per block. `pools` are size and stride of max pooling, 1 for none;
        partial windows are dropped. `dropout` is the probability after each hidden fully connected layer.

        Raises ValueError if the lists differ in length or a kernel or pool is larger than its input.
        """
        layers: dict[str, nn.Module] = {}
        side, num_channels = 28, 1
        blocks = zip(channels, kernel_sizes, paddings, pools, strict=True)
        for number, (width, kernel_size, padding, pool) in enumerate(blocks, start=1):
            convolved = side + 2 * padding - kernel_size + 1
            if convolved < pool:
                raise ValueError(f"block {number}: kernel {kernel_size} and pool {pool} exceed {side} x {side}")
            layers[f"conv{number}"] = nn.Conv2d(num_channels, width, kernel_size, padding=padding)
            if batch_norm:
                layers[f"conv{number}_norm"] = nn.BatchNorm2d(width)
            if pool > 1:
                layers[f"conv{number}_pool"] = nn.MaxPool2d(pool)
            layers[f"conv{number}_relu"] = nn.ReLU()
            side, num_channels = convolved // pool, width
        widths = [num_channels * side**2, *hidden_widths]
        super().__init__(**layers, **classifier(widths, dropout, "relu", num_classes))
