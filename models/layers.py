"""Layers that torch does not have, or has only slower; MNIST's pixel statistics; the filters of a first layer."""

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

MNIST_MEAN = 0.1307  # of all training pixels in [0, 1]
MNIST_STD = 0.3081
NUM_PIXELS = 28 * 28
NUM_CLASSES = 10  # unless the data set has another number
MAX_FILTERS = 64


class LayeredNet(nn.Module):
    """Standardisation of the pixels, then these layers in order."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(standardize=Standardize(), **layers))

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.layers(images)
        return logits


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


class _AnyBatch(nn.modules.batchnorm._BatchNorm):
    """Batch norm that normalises a training batch with one value per channel by the running statistics, such as a last
    batch of one image. torch raises an error."""

    def forward(self, values: Float[Tensor, "batch channels *side"]) -> Float[Tensor, "batch channels *side"]:
        if self.training and values.numel() == values.shape[1]:
            return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(values)


class BatchNorm1d(_AnyBatch, nn.BatchNorm1d):
    """nn.BatchNorm1d that accepts a training batch of one image."""


class BatchNorm2d(_AnyBatch, nn.BatchNorm2d):
    """nn.BatchNorm2d that accepts a training batch of one image with maps of one pixel."""


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
    return weights.reshape(len(weights), -1, *(weights.shape[2:] or (28, 28)))[:, 0]
