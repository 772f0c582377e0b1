"""Digits of the data set for the page: any, or one that a run's network names right or wrong."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from model_interpretation.run_data import load_run_split
from models.trained import load_trained
from utils.answers import load_answers
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.image_set import ImageSet
from utils.run_folder import RunFolder

KINDS = ("any", "right", "wrong")
NUM_TRIED = 4000  # training digits that are drawn until one is of the kind; all test answers are on record


@dataclass(frozen=True)
class ChosenDigit:
    """A digit of the run's data."""

    image: UInt8[np.ndarray, "28 28"]
    index: int
    label: int


def choose_digit(run: RunFolder, split: str, kind: str, generator: np.random.Generator) -> ChosenDigit:
    """A random digit of this kind. Raises UserError where there is none, or no such kind or split."""
    if split not in ("train", "test") or kind not in KINDS:
        raise UserError(f"expected train or test, and one of {', '.join(KINDS)}")
    image_set = load_run_split(run, split)
    indices = generator.permutation(len(image_set))
    if kind != "any":
        indices = indices if split == "test" else indices[:NUM_TRIED]
        indices = indices[_is_right(run, split, image_set, indices) == (kind == "right")]
    if not len(indices):
        raise UserError(f"no {kind} answer among the digits that were tried")
    index = int(indices[0])
    return ChosenDigit(image_set.images[index].numpy(), index, int(image_set.labels[index]))


def _is_right(run: RunFolder, split: str, image_set: ImageSet, indices: np.ndarray) -> np.ndarray:
    if split == "test":
        return load_answers(run.test_predictions).is_right[indices]
    chosen = torch.from_numpy(indices)
    predicted = predict_logits(load_trained(run), image_set.images[chosen], torch.device("cpu")).argmax(1)
    return (predicted == image_set.labels[chosen]).numpy()
