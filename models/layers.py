"""Layers that torch does not have, or has only slower; MNIST's pixel statistics; the filters of a first layer."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

MNIST_MEAN = 0.1307  # of all training pixels in [0, 1]
MNIST_STD = 0.3081
NUM_PIXELS = 28 * 28
MAX_FILTERS = 64


class Standardize(nn.Module):
    """(pixels - mean) / std. Mean and std are buffers, so every checkpoint holds them."""

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
    """nn.Dropout with faster random numbers on the CPU, where they take up to a fifth of a small network's step.

    On the CPU each value gets one random byte, drawn eight at a time. The dropped fraction is therefore `p` rounded to
    a multiple of 1/256 (0.5 is exact), and the remaining values are scaled by the rounded fraction.
    """

    def forward(self, values: Tensor) -> Tensor:
        num_dropped = round(self.p * 256)  # of 256 byte values
        if not self.training or num_dropped in (0, 256) or values.device.type != "cpu":
            return super().forward(values)
        words = torch.empty(math.ceil(values.numel() / 8), dtype=torch.int64).random_(-(2**63), None)
        draws = words.view(torch.uint8)[: values.numel()].view(values.shape)
        return values * (draws >= num_dropped).to(values.dtype).mul_(256 / (256 - num_dropped))


class BatchNorm1d(nn.BatchNorm1d):
    """nn.BatchNorm1d that accepts a training batch of one image, such as the last batch of an epoch: running
    statistics normalise it. nn.BatchNorm1d raises an error."""

    def forward(self, values: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        is_single = self.training and values.shape[0] == 1
        return _normalize_by_running_statistics(self, values) if is_single else super().forward(values)


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d that accepts a training batch with one value per channel: running statistics normalise it."""

    def forward(self, maps: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch channels _ _"]:
        is_single = self.training and maps.numel() == maps.shape[1]
        return _normalize_by_running_statistics(self, maps) if is_single else super().forward(maps)


def _normalize_by_running_statistics(layer: nn.BatchNorm1d | nn.BatchNorm2d, values: Tensor) -> Tensor:
    return F.batch_norm(values, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


class GlobalAveragePool(nn.Module):
    """The mean of each channel."""

    def forward(self, maps: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch channels"]:
        return F.adaptive_avg_pool2d(maps, 1).flatten(1)


def first_layer_filters(model: nn.Module) -> Float[np.ndarray, "filters height width"] | None:
    """The weights of the first convolutional or fully connected layer as images, at most MAX_FILTERS.

    None if that layer does not see the pixels of one gray-scale image.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)), None)
    if first is None or (first.in_channels != 1 if isinstance(first, nn.Conv2d) else first.in_features != NUM_PIXELS):
        return None
    weights = first.weight.detach().float().cpu().numpy()[:MAX_FILTERS]
    return weights[:, 0] if isinstance(first, nn.Conv2d) else weights.reshape(-1, 28, 28)
