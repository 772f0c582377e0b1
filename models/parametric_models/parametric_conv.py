"""Convolutional networks with any channels, kernels, paddings and pools."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import Standardize
from models.parametric_models.parametric_fc import append_classifier


class ParametricConvNet(nn.Module):
    """Convolution blocks, then fully connected layers, then 10 logits.

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
    ) -> None:
        """The first four lists have one entry per block. `pools` are size and stride of max pooling, 1 for none;
        partial windows are dropped. `dropout` is the probability after each hidden fully connected layer.

        Raises ValueError if the lists differ in length or a kernel or pool is larger than its input.
        """
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(standardize=Standardize()))
        side, num_channels = 28, 1
        blocks = zip(channels, kernel_sizes, paddings, pools, strict=True)
        for number, (width, kernel_size, padding, pool) in enumerate(blocks, start=1):
            convolved = side + 2 * padding - kernel_size + 1
            if convolved < pool:
                raise ValueError(
                    f"block {number}: kernel {kernel_size} and pool {pool} do not fit into {side} x {side}"
                )
            self.layers.add_module(f"conv{number}", nn.Conv2d(num_channels, width, kernel_size, padding=padding))
            if batch_norm:
                self.layers.add_module(f"conv{number}_norm", nn.BatchNorm2d(width))
            if pool > 1:
                self.layers.add_module(f"conv{number}_pool", nn.MaxPool2d(pool))
            self.layers.add_module(f"conv{number}_relu", nn.ReLU())
            side, num_channels = convolved // pool, width
        self.layers.add_module("flatten", nn.Flatten())
        append_classifier(self.layers, num_channels * side**2, hidden_widths, dropout)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits
