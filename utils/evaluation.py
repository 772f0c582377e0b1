"""What a network answers on a set of digits, and how many of the answers are right."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from utils.devices import autocast
from utils.preloading import to_pixels

BATCH_SIZE = 500  # digits; small enough that the activations of a convolutional network stay in the cache


@dataclass(frozen=True)
class Score:
    """How good a set of answers is: counts first, shares by one division."""

    num_digits: int
    num_correct: int
    loss: float
    """Mean cross-entropy, in nats."""

    @property
    def accuracy(self) -> float:
        """The share of digits that are named right."""
        return self.num_correct / self.num_digits

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.2%} ({self.num_correct:,} of {self.num_digits:,} right), loss {self.loss:.4f}"


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    images: UInt8[Tensor, "n 28 28"],
    device: torch.device,
    precision: str = "fp32",
    progress: str | None = None,
) -> Float[Tensor, "n 10"]:
    """The logits of all images, float32, on the device. The model is in eval mode meanwhile, afterwards as before.

    `progress` is what a progress bar is called; without it there is none.
    """
    was_training = model.training
    model.eval()
    logits = []
    with autocast(device, precision):
        batches = images.split(BATCH_SIZE)
        for batch in tqdm(batches, desc=progress, disable=None if progress else True, leave=False):
            logits.append(model(to_pixels(batch.to(device))).float())
    model.train(was_training)
    return torch.cat(logits)


def score(logits: Float[Tensor, "n 10"], labels: Int64[Tensor, " n"]) -> Score:
    """Counts and mean cross-entropy of these answers. Logits and labels may lie on different devices."""
    labels = labels.to(logits.device)
    return Score(
        num_digits=len(labels),
        num_correct=int((logits.argmax(dim=1) == labels).sum()),
        loss=float(F.cross_entropy(logits, labels)),
    )
