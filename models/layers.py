"""Small layers that torch does not have."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

MNIST_MEAN = 0.1307  # of all training pixels in [0, 1]
MNIST_STD = 0.3081


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
