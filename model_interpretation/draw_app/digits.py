"""Digits of the data set for the page: any, or one that a run's network names right or wrong."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from model_interpretation.interpretation import run_answers
from model_interpretation.run_data import load_run_split
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.run_folder import RunFolder

KINDS = ("any", "right", "wrong")
BATCH, MAX_BATCHES = 500, 20  # digits that are tried together, and how often, until one is of the kind
CPU = torch.device("cpu")


@dataclass(frozen=True)
class ChosenDigit:
    """A digit of the run's data."""

    image: UInt8[np.ndarray, "28 28"]
    index: int
    label: int


def choose_digit(
    run: RunFolder, model: nn.Module, split: str, kind: str, generator: np.random.Generator
) -> ChosenDigit:
    """A random digit of this kind. Raises UserError where none is found, or there is no such kind or split."""
    if split not in ("train", "test") or kind not in KINDS:
        raise UserError(f"expected train or test, and one of {', '.join(KINDS)}")
    image_set = load_run_split(run, split)
    is_right = run_answers(run, "test", image_set, CPU).is_right if split == "test" else None
    for some in torch.from_numpy(generator.permutation(len(image_set))).split(BATCH)[:MAX_BATCHES]:
        if kind == "any":
            found = some
        elif is_right is not None:
            found = some[torch.from_numpy(is_right)[some] == (kind == "right")]
        else:
            predicted = predict_logits(model, image_set.images[some], CPU).argmax(1)
            found = some[(predicted == image_set.labels[some]) == (kind == "right")]
        if len(found):
            index = int(found[0])
            return ChosenDigit(image_set.images[index].numpy(), index, int(image_set.labels[index]))
    raise UserError(f"no {kind} answer among the digits that were tried")
