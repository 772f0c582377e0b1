"""Logits, predictions and score of a model on a set of images."""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from utils.data.batches import to_pixels
from utils.data.datasets import ImageSet
from utils.errors import UserError
from utils.predictions import Predictions
from utils.runtime import autocast
from utils.track import track

BATCH_SIZE = 500  # images; small enough that the activations of a convolutional network stay in the CPU's cache


@dataclass(frozen=True)
class Score:
    """Accuracy and loss of logits, with the counts."""

    num_digits: int
    num_correct: int
    loss: float
    """Mean cross-entropy, in nats."""

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.num_digits

    def values(self, split: str) -> dict[str, float]:
        """The values by name, such as `test_accuracy`."""
        return {f"{split}_{name}": value for name, value in (*asdict(self).items(), ("accuracy", self.accuracy))}

    def __str__(self) -> str:
        correct = f"{self.num_correct:,} of {self.num_digits:,} correct"
        return f"accuracy {self.accuracy:.2%} ({correct}), loss {self.loss:.4f}"


MAX_SHIFT = 4  # pixels: 81 passes instead of one


class ShiftAverage(nn.Module):
    """Logits whose softmax is the mean of a model's class probabilities over all shifts of an image by up to so many
    pixels along each axis. What moves in is black."""

    def __init__(self, model: nn.Module, max_pixels: int) -> None:
        """Raises UserError for a negative number of pixels and for one above 4."""
        super().__init__()
        if not 0 <= max_pixels <= MAX_SHIFT:
            raise UserError(f"--test-time-shifts {max_pixels}: expected 0 to {MAX_SHIFT} pixels")
        self.model, self.max_pixels = model, max_pixels

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        height, width = images.shape[2:]
        padded = F.pad(images, [self.max_pixels] * 4)
        places = range(2 * self.max_pixels + 1)
        shifted = [padded[:, :, top : top + height, left : left + width] for top in places for left in places]
        log_probabilities = torch.stack([self.model(view).float().log_softmax(1) for view in shifted])
        return log_probabilities.logsumexp(0) - math.log(len(shifted))


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    images: UInt8[Tensor, "n 28 28"],
    device: torch.device,
    precision: str = "fp32",
    progress: str | None = None,
) -> Float[Tensor, "n classes"]:
    """The logits of all images as float32 on the device. The model runs in eval mode and then returns to its mode.

    `progress` is the label of a progress bar; None shows no bar.
    """
    was_training = model.training
    model.eval()
    logits = []
    with autocast(device, precision):
        batches = images.split(BATCH_SIZE)
        for batch in track(batches, desc=progress, disable=not progress):
            logits.append(model(to_pixels(batch.to(device))).float())
    model.train(was_training)
    return torch.cat(logits)


def predict(
    model: nn.Module, image_set: ImageSet, device: torch.device | None = None, progress: str | None = None
) -> Predictions:
    """The predictions for all images of the set in fp32. By default on the device that holds the model."""
    device = device or next(model.parameters()).device
    logits = predict_logits(model, image_set.images, device, progress=progress)
    writers = None if image_set.writers is None else image_set.writers.numpy()
    return Predictions(logits.cpu().numpy(), image_set.labels.cpu().numpy(), writers)


def score(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Score:
    """Counts and mean cross-entropy. Logits and labels may be on different devices."""
    labels = labels.to(logits.device)
    return Score(
        num_digits=len(labels),
        num_correct=int((logits.argmax(dim=1) == labels).sum()),
        loss=float(F.cross_entropy(logits, labels)),
    )
