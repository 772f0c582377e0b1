"""Checks of attribution maps: deletion, insertion, infidelity, sensitivity, and two tests against random weights.

No check has a threshold. Two baselines are measured like the methods, for comparison: the ink, whose map is the digit
itself, and noise. A method that is no better than the ink explains the digit rather than the network.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor, nn

from model_interpretation.attribution_methods import Classes, Maps, Method, Pixels
from model_interpretation.random_networks import replace_layers_from_the_last
from utils.errors import needs_extra

with needs_extra("study"):
    from captum.metrics import sensitivity_max

PIXELS_PER_STEP = 28  # of the deletion and insertion curves
NUM_RANDOM_NETWORKS = 8
NUM_CASCADE_NETWORKS = 3  # random networks whose layers replace those of the trained network
NOISE_STD = 0.03  # pixel noise of the infidelity check
NUM_NOISE_SAMPLES = 200
SQUARE_SIDE, SQUARE_STRIDE = 8, 2  # pixels; the squares that the other infidelity check sets to black


def ink(_model: nn.Module, pixels: Pixels, _classes: Classes) -> Maps:
    """The digit itself."""
    return pixels[:, 0].clone()


def noise(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Uniform noise. The seed depends on the weights and the classes, so that every network has other noise."""
    weight_sum = sum(float(parameter.double().sum()) for parameter in model.parameters())
    generator = torch.Generator().manual_seed(hash((weight_sum, *classes.tolist())) % 2**31)
    return torch.rand(len(pixels), 28, 28, generator=generator).to(pixels.device)


BASELINES = {"ink": Method(ink, multiplies_by_input=True), "noise": Method(noise)}


@dataclass(frozen=True)
class CheckedMap:
    """The attribution map of one digit with the results of the checks."""

    map: Float[Tensor, "28 28"]
    deletion: Float[np.ndarray, " steps"]
    """Probability of the class while pixels are set to black, the highest attribution first. Good maps fall early."""
    insertion: Float[np.ndarray, " steps"]
    """Probability of the class while pixels are restored on a black image. Good maps rise early."""
    noise_infidelity: float
    """See `normalised_infidelity`, for pixel noise: 0 is perfect, 1 is a map of zeros."""
    square_infidelity: float
    """The same for squares of the digit that are set to black."""
    sensitivity: float
    """Largest relative change of the map for a small change of the digit (Yeh et al. 2019, arXiv 1901.09392)."""
    randomisation: "Randomisation"
    cascade: dict[str, float]
    """Layer -> rank correlation with the map of the network whose layers from the last to this one have random weights,
    the mean over random networks (Adebayo et al. 2018, arXiv 1810.03292)."""

    @property
    def deletion_area(self) -> float:
        return float(self.deletion.mean())

    @property
    def insertion_area(self) -> float:
        return float(self.insertion.mean())

    @property
    def is_empty(self) -> bool:
        return not self.map.std() > 0


@dataclass(frozen=True)
class Randomisation:
    """How similar the trained network's map is to those of random networks, and these are to each other."""

    trained: float
    """Mean rank correlation of the trained network's map with the maps of the random networks."""
    null: float
    """Mean rank correlation between the maps of two random networks: what the digit and the method alone give."""
    z: float
    """Distance of `trained` from `null`, in standard deviations of a random network's mean correlation with the other
    random networks. Near 0: the trained network's map resembles those of random networks as they resemble each other.
    NaN if the random networks all have the same map."""


def check_method(
    model: nn.Module,
    method: Method,
    pixels: Float[Tensor, "1 1 28 28"],
    label: int,
    random_models: Sequence[nn.Module],
    seed: int = 0,
) -> CheckedMap:
    """The method's map of one digit for the class `label`, with all checks. `random_models` are networks of the same
    model with independent random weights, at least three."""
    classes = torch.tensor([label], device=pixels.device)

    def map_of(network: nn.Module) -> Float[Tensor, "28 28"]:
        return method(network, pixels, classes)[0]

    def explain(inputs: tuple[Pixels]) -> Tensor:  # Captum passes a tuple
        return method(model, inputs[0].detach(), classes.expand(len(inputs[0]))).unsqueeze(1)

    map = map_of(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sensitivity = float(sensitivity_max(explain, pixels, n_perturb_samples=4))
    return CheckedMap(
        map=map,
        deletion=_probability_curve(model, pixels, map, label, starts_black=False),
        insertion=_probability_curve(model, pixels, map, label, starts_black=True),
        noise_infidelity=infidelity(model, method, pixels, label, pixel_noise(pixels, seed)),
        square_infidelity=infidelity(model, method, pixels, label, squares(pixels)),
        sensitivity=sensitivity,
        randomisation=randomisation(map, [map_of(network) for network in random_models]),
        cascade=cascading_randomisation(model, random_models[:NUM_CASCADE_NETWORKS], map_of),
    )


# Randomisation of the weights.


def rank_correlation(one: Float[Tensor, "28 28"], other: Float[Tensor, "28 28"]) -> float:
    """Spearman's correlation of the absolute values of two maps, over the pixels where either is not 0. The result is 0
    if a map is constant there."""
    is_used = (one != 0) | (other != 0)
    sizes = [values.abs()[is_used].cpu() for values in (one, other)]
    if any(len(size) < 2 or size.std() == 0 for size in sizes):
        return 0.0
    return float(spearmanr(*(size.numpy() for size in sizes)).statistic)


def randomisation(map: Float[Tensor, "28 28"], random_maps: Sequence[Float[Tensor, "28 28"]]) -> Randomisation:
    """The rank correlations of the map with those of random networks against their null distribution: the correlations
    of the random networks' maps with each other."""
    count = len(random_maps)
    between = np.full((count, count), np.nan)
    for i, j in combinations(range(count), 2):
        between[i, j] = between[j, i] = rank_correlation(random_maps[i], random_maps[j])
    trained = float(np.mean([rank_correlation(map, other) for other in random_maps]))
    each_with_others = np.nanmean(between, axis=1)
    null, spread = float(each_with_others.mean()), float(each_with_others.std(ddof=1))
    return Randomisation(trained, null, (trained - null) / spread if spread > 1e-9 else math.nan)


def cascading_randomisation(
    model: nn.Module,
    random_models: Sequence[nn.Module],
    map_of: Callable[[nn.Module], Float[Tensor, "28 28"]],
) -> dict[str, float]:
    """Replaces the layers by those of a random network, one more in each step, from the last layer to the first.

    Returns the rank correlation of the map after each step with the map of the trained network, the mean over the
    random networks, by the name of the last layer that was replaced. (Adebayo et al. 2018, arXiv 1810.03292)
    """
    trained_map = map_of(model)
    correlations: dict[str, list[float]] = {}
    for random_model in random_models:
        for name, changed in replace_layers_from_the_last(model, random_model):
            correlations.setdefault(name, []).append(rank_correlation(trained_map, map_of(changed)))
    return {name: float(np.mean(found)) for name, found in correlations.items()}


# Infidelity.


def pixel_noise(pixels: Float[Tensor, "1 1 28 28"], seed: int = 0) -> Float[Tensor, "changes 1 28 28"]:
    """Normal noise on all pixels."""
    generator = torch.Generator().manual_seed(seed)
    return (NOISE_STD * torch.randn(NUM_NOISE_SAMPLES, 1, 28, 28, generator=generator)).to(pixels.device)


def squares(pixels: Float[Tensor, "1 1 28 28"]) -> Float[Tensor, "changes 1 28 28"]:
    """The digit inside a square and 0 outside, for squares at all places: to subtract it sets the square to black."""
    starts = torch.arange(0, 28 - SQUARE_SIDE + 1, SQUARE_STRIDE, device=pixels.device)
    places = torch.arange(28, device=pixels.device)
    is_inside = (places >= starts[:, None]) & (places < starts[:, None] + SQUARE_SIDE)  # (starts, 28)
    masks = is_inside[:, None, :, None] & is_inside[None, :, None, :]
    return pixels * masks.reshape(-1, 1, 28, 28)


@torch.no_grad()
def infidelity(
    model: nn.Module,
    method: Method,
    pixels: Float[Tensor, "1 1 28 28"],
    label: int,
    changes: Float[Tensor, "changes 1 28 28"],
) -> float:
    """The normalised infidelity of the method's map (Yeh et al. 2019, arXiv 1901.09392): how badly the map predicts the
    drop of the logit when these changes are subtracted from the digit.

    The map must be signed and local, a change of the logit per change of a pixel. An unsigned method is replaced by its
    signed form, and a map that is multiplied by the pixels is divided by them.
    """
    with torch.enable_grad():
        map = method.local_maps(model, pixels, torch.tensor([label], device=pixels.device))
    predicted = (changes[:, 0] * map).sum((1, 2))
    measured = model(pixels)[:, label] - model(pixels - changes)[:, label]
    return normalised_infidelity(predicted.double().cpu().numpy(), measured.double().cpu().numpy())


def normalised_infidelity(predicted: Float[np.ndarray, " n"], measured: Float[np.ndarray, " n"]) -> float:
    """The mean squared error of the predicted changes, times the scale that minimises it, divided by the mean square of
    the measured changes: from 0 to 1. A map of zeros has 1, the gradient of a linear network 0."""
    power = float((predicted**2).sum() * (measured**2).sum())
    return 1 - float((predicted * measured).sum()) ** 2 / power if power > 0 else 1.0


@torch.no_grad()
def _probability_curve(
    model: nn.Module, pixels: Float[Tensor, "1 1 28 28"], map: Float[Tensor, "28 28"], label: int, starts_black: bool
) -> Float[np.ndarray, " steps"]:
    """Probability of the class while pixels are changed, the highest attribution first."""
    rank = map.flatten().argsort(descending=True).argsort()
    steps = torch.arange(0, len(rank) + 1, PIXELS_PER_STEP, device=rank.device)
    is_changed = rank[None] < steps[:, None]  # (steps, 784)
    is_visible = is_changed if starts_black else ~is_changed
    images = pixels.flatten()[None] * is_visible
    return model(images.view(-1, 1, 28, 28)).softmax(1)[:, label].cpu().numpy()
