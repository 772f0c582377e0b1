"""Small layers that torch does not have, or not as quick."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.pixel_statistics import MNIST_MEAN, MNIST_STD


class Standardize(nn.Module):
    """(pixels - mean) / std. Both are buffers, so a checkpoint is complete and no consumer can forget them."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float = MNIST_MEAN, std: float = MNIST_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 1 28 28"]:
        scale = 1 / self.std
        return torch.addcmul(-self.mean * scale, images, scale)  # one pass over the pixels


class Dropout(nn.Dropout):
    """As nn.Dropout, which on a CPU takes up to a fifth of a small network's step to draw its numbers.

    There a byte a value is drawn, eight at a time, so that `p` counts to the nearest 256th (0.5 is exact) and the
    values that stay are scaled by what that gives.
    """

    def forward(self, values: Tensor) -> Tensor:
        num_dropped = round(self.p * 256)  # of 256 byte values
        if not self.training or num_dropped in (0, 256) or values.device.type != "cpu":
            return super().forward(values)
        words = torch.empty(math.ceil(values.numel() / 8), dtype=torch.int64).random_(-(2**63), None)
        draws = words.view(torch.uint8)[: values.numel()].view(values.shape)
        return values * (draws >= num_dropped).to(values.dtype).mul_(256 / (256 - num_dropped))


class BatchNorm1d(nn.BatchNorm1d):
    """As nn.BatchNorm1d, which refuses to train on a batch of one digit, as an epoch's last may be: that is normalised
    by the running statistics."""

    def forward(self, values: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        return super().forward(values) if len(values) > 1 else _normalised_by_running_statistics(self, values)


class BatchNorm2d(nn.BatchNorm2d):
    """Likewise, for one digit's maps of a single place."""

    def forward(self, maps: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch channels _ _"]:
        is_single = maps.numel() == maps.shape[1]
        return _normalised_by_running_statistics(self, maps) if is_single else super().forward(maps)


def _normalised_by_running_statistics(layer: nn.BatchNorm1d | nn.BatchNorm2d, values: Tensor) -> Tensor:
    return F.batch_norm(values, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


class GlobalAveragePool(nn.Module):
    """The mean of each channel."""

    def forward(self, maps: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch channels"]:
        return F.adaptive_avg_pool2d(maps, 1).flatten(1)
