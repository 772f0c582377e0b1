"""Networks that answer together."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of its members' class probabilities, as logits: their softmax is that mean.

    Source: Lakshminarayanan et al. 2017, arXiv 1612.01474.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        log_probabilities = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return log_probabilities.logsumexp(0) - math.log(len(self.members))
