"""A trained network, with the digits that it learned from and those that it is judged on."""

from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from model_interpretation.run_data import load_run_split
from models.trained import load_trained
from utils.answers import Answers
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.image_set import ImageSet
from utils.run_folder import RunFolder
from utils.splits import stratified_sample


class Subject:
    """A run under examination. Nothing is loaded or computed before it is asked for; everything is in fp32."""

    def __init__(self, run: RunFolder, device: torch.device) -> None:
        self.run, self.device = run, device

    @cached_property
    def model(self) -> nn.Module:
        """In eval mode, without gradients of its weights. Raises UserError as `load_trained`."""
        return load_trained(self.run, self.device).requires_grad_(False)

    @cached_property
    def test_set(self) -> ImageSet:
        """MNIST's 10,000 test digits, whatever the network learned from."""
        return load_dataset("mnist", "test")

    @cached_property
    def test_answers(self) -> Answers:
        return self.answers(self.test_set)

    def sample(self, count: int) -> ImageSet:
        """So many of the test digits, stratified, always the same: MNIST's first 5,000 are easier than the others."""
        return stratified_sample(self.test_set, count)

    def split(self, name: str) -> ImageSet:
        """The digits that the run learned from, or held out. Raises UserError where they cannot be had."""
        return load_run_split(self.run, name)

    def logits(self, images: UInt8[Tensor, "n 28 28"], progress: str | None = None) -> Float[Tensor, "n 10"]:
        """On the CPU."""
        return predict_logits(self.model, images, self.device, progress=progress).cpu()

    def answers(self, image_set: ImageSet, progress: str | None = None) -> Answers:
        return Answers(self.logits(image_set.images, progress).numpy(), image_set.labels.numpy())

    def is_right(self, image_set: ImageSet, progress: str | None = None) -> Bool[np.ndarray, " n"]:
        right: Bool[np.ndarray, " n"] = self.answers(image_set, progress).is_right
        return right


def load_test_set(dataset: str) -> ImageSet:
    """As `load_dataset`, with a reason that fits a cell."""
    try:
        return load_dataset(dataset, "test")
    except UserError as error:
        advice = f"'mnist evaluate RUN --dataset {dataset}' fetches its test digits, or says how to get them"
        raise UserError(f"{dataset} is not at hand: {advice}") from error
