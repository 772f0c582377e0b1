"""Whether an attribution can be believed."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from jaxtyping import Float
from torch import Tensor, nn

from model_interpretation.attribution_methods import Method, Pixels

PIXELS_A_STEP = 28
NUM_RANDOMISED = 3  # networks with weights drawn anew
MAX_LIKENESS = 0.5  # rank correlation with what random weights give, from which on a picture says nothing of training
NOISE = 0.1  # standard deviation of the pixels' noise


@dataclass(frozen=True)
class Trust:
    """An attribution of one digit, and what the checks found of it."""

    found: Float[Tensor, "28 28"]
    """The map itself."""
    deletion: Float[np.ndarray, " steps"]
    """The class's probability as the pixels go black, the most decisive first; good ones fall at once."""
    insertion: Float[np.ndarray, " steps"]
    """The same as they come back to a black image; good ones rise at once."""
    infidelity: float
    """Mean squared difference between what the map says noise does to the logit and what it does (Yeh et al. 2019)."""
    sensitivity: float
    """How much the map changes, relatively, where the digit hardly does (ibid.)."""
    likeness_to_random: float
    """Rank correlation with the map of networks with random weights (Adebayo et al. 2018, arXiv 1810.03292)."""

    @property
    def deletion_area(self) -> float:
        return float(self.deletion.mean())

    @property
    def insertion_area(self) -> float:
        return float(self.insertion.mean())

    @property
    def failure(self) -> str:
        """Why the map is not to be believed; empty where nothing speaks against it."""
        if not self.found.std() > 0:
            return "the map is empty"
        return "much the same with random weights" if self.likeness_to_random > MAX_LIKENESS else ""


def check(model: nn.Module, method: Method, pixels: Float[Tensor, "1 1 28 28"], label: int, seed: int = 0) -> Trust:
    """All checks of a method's map of this digit for this class."""
    classes = torch.tensor([label])
    found = method(model, pixels, classes)

    def noisy(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = NOISE * torch.randn_like(inputs)
        return noise, inputs - noise

    def map_of(inputs: tuple[Pixels]) -> Tensor:  # Captum hands over a tuple
        return method(model, inputs[0].detach(), classes.expand(len(inputs[0]))).unsqueeze(1)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unfaithful = infidelity(model, noisy, pixels, found.unsqueeze(1), target=label, n_perturb_samples=20)
        sensitive = sensitivity_max(map_of, pixels, n_perturb_samples=4)
        likenesses = [likeness(found[0], method(randomised(model), pixels, classes)[0]) for _ in range(NUM_RANDOMISED)]
    return Trust(
        found=found[0],
        deletion=_probabilities(model, pixels, found[0], label, starts_black=False),
        insertion=_probabilities(model, pixels, found[0], label, starts_black=True),
        infidelity=float(unfaithful),
        sensitivity=float(sensitive),
        likeness_to_random=float(np.mean(likenesses)),
    )


def likeness(one: Float[Tensor, "28 28"], other: Float[Tensor, "28 28"]) -> float:
    """Spearman's rank correlation between the sizes of two maps, over the pixels where either says anything; 0 where
    one is flat there."""
    from scipy.stats import spearmanr  # takes half a second to import

    says_something = (one != 0) | (other != 0)
    sizes = [found.abs()[says_something] for found in (one, other)]
    if any(len(size) < 2 or size.std() == 0 for size in sizes):
        return 0.0
    return float(spearmanr(*(size.numpy() for size in sizes)).statistic)


def randomised(model: nn.Module) -> nn.Module:
    """The network with all weights drawn anew."""
    drawn = copy.deepcopy(model)
    for module in drawn.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return drawn.eval()


@torch.no_grad()
def _probabilities(
    model: nn.Module, pixels: Float[Tensor, "1 1 28 28"], found: Float[Tensor, "28 28"], label: int, starts_black: bool
) -> Float[np.ndarray, " steps"]:
    """The class's probability while pixels are changed, the most decisive first."""
    order = found.flatten().argsort(descending=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    steps = torch.arange(0, len(order) + 1, PIXELS_A_STEP)
    is_changed = rank[None] < steps[:, None]  # (steps, 784)
    kept = is_changed if starts_black else ~is_changed
    images = pixels.flatten()[None] * kept
    return model(images.view(-1, 1, 28, 28)).softmax(1)[:, label].numpy()
