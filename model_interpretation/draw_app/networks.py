"""The networks that the page can ask, and when they should say that something is no digit."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_interpretation.run_data import load_run_split
from models.trained import load_trained
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.run_folder import RunFolder

MAX_LOADED = 4  # networks in memory
NUM_FAMILIAR = 1000  # validation digits that say how sure a network usually is
STRANGE_SHARE = 0.01  # of them, at most, are called strange


@dataclass(frozen=True)
class Familiarity:
    """What all but a few of a network's validation digits reach: below either, something may be no digit."""

    confidence: float
    evidence: float

    @staticmethod
    def of(logits: Float[Tensor, "n 10"]) -> "Familiarity":
        measures = (logits.softmax(1).amax(1), evidence(logits))
        return Familiarity(*(float(np.quantile(values.numpy(), STRANGE_SHARE / len(measures))) for values in measures))

    def is_strange(self, logits: Float[Tensor, " 10"]) -> bool:
        return bool(logits.softmax(0).max() < self.confidence or evidence(logits) < self.evidence)


def evidence(logits: Float[Tensor, "... 10"]) -> Float[Tensor, "..."]:
    """The negative energy, logsumexp of the logits: low where nothing speaks for any class (Liu et al. 2020,
    arXiv 2010.03759)."""
    return logits.logsumexp(-1)


@dataclass(frozen=True)
class LoadedNetwork:
    """A run's network, ready to answer."""

    model: nn.Module
    familiarity: Familiarity | None
    """None where the run's validation digits are not at hand."""


class Networks:
    """The finished runs by name; their networks are loaded when first asked, and the least recently asked leave."""

    def __init__(self, runs: list[RunFolder]) -> None:
        self.runs = {run.path.name: run for run in runs}
        self._loaded: OrderedDict[str, LoadedNetwork] = OrderedDict()

    def run(self, name: str) -> RunFolder:
        """Raises UserError where there is no such run."""
        if name not in self.runs:
            raise UserError(f"no run '{name[:60]}' on this page")
        return self.runs[name]

    def get(self, name: str) -> LoadedNetwork:
        """Raises UserError where there is no such run, or its files are damaged."""
        if name not in self._loaded:
            self._loaded[name] = _load(self.run(name))
        self._loaded.move_to_end(name)
        if len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return self._loaded[name]


def _load(run: RunFolder) -> LoadedNetwork:
    model = load_trained(run).requires_grad_(False)
    try:
        images = load_run_split(run, "validation").images[:NUM_FAMILIAR]
    except UserError:
        return LoadedNetwork(model, None)
    return LoadedNetwork(model, Familiarity.of(predict_logits(model, images, torch.device("cpu"))))
