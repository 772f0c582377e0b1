"""Attribution methods, all through Captum, and sanity checks of the maps that they give.

A method is a function `(model, pixels, classes) -> maps` with one entry in METHODS. The model is in eval mode. A map is
positive where a pixel raises the logit of the class and negative where it lowers it, except for the unsigned methods
saliency and Grad-CAM.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy.stats import spearmanr
from torch import Tensor, nn

from model_interpretation.activations import leaf_layers, record_outputs
from utils.errors import UserError, brief, needs_extra

with needs_extra("study"):
    from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, Occlusion, Saliency
    from captum.metrics import infidelity, sensitivity_max

Pixels = Float[Tensor, "batch 1 28 28"]
Classes = Int64[Tensor, " batch"]
Maps = Float[Tensor, "batch 28 28"]
Method = Callable[[nn.Module, Pixels, Classes], Maps]

NUM_INTEGRATION_STEPS = 32
PATCH_SIZE, PATCH_STRIDE = 5, 2  # pixels; the black square of occlusion


@contextmanager
def without_captum_warnings() -> Iterator[None]:
    """Hides Captum's warnings about hooks and input gradients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@without_captum_warnings()
def saliency(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Absolute gradient of the logit for each pixel (Simonyan et al. 2014, arXiv 1312.6034)."""
    return Saliency(model).attribute(pixels, classes)[:, 0].detach()


@without_captum_warnings()
def integrated_gradients(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Gradient integrated from a black image to the digit; the map sums to the difference of the two logits
    (Sundararajan et al. 2017, arXiv 1703.01365)."""
    black = torch.zeros_like(pixels)
    attribution = IntegratedGradients(model).attribute(pixels, black, classes, n_steps=NUM_INTEGRATION_STEPS)
    return attribution[:, 0].detach().float()


@without_captum_warnings()
def guided_backprop(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Gradient whose negative part is cut off at every ReLU (Springenberg et al. 2015, arXiv 1412.6806)."""
    return GuidedBackprop(model).attribute(pixels, classes)[:, 0].detach()


@without_captum_warnings()
def grad_cam(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Last feature maps, weighted by their mean gradients (Selvaraju et al. 2017, arXiv 1610.02391).

    Raises UserError for a model without a convolution.
    """
    layer = last_feature_maps(model)
    if layer is None:
        raise UserError("grad_cam needs a convolution and this model has none: choose another --method")
    attribution = LayerGradCam(model, layer).attribute(pixels, classes, relu_attributions=True)
    return F.interpolate(attribution, size=(28, 28), mode="bilinear")[:, 0].detach()


@without_captum_warnings()
def occlusion(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Drop of the logit when a black square covers the pixel, averaged over squares (Zeiler and Fergus 2014, arXiv
    1311.2901)."""
    window, strides = (1, PATCH_SIZE, PATCH_SIZE), (1, PATCH_STRIDE, PATCH_STRIDE)
    return Occlusion(model).attribute(pixels, window, strides, 0, classes, perturbations_per_eval=16)[:, 0].detach()


METHODS: dict[str, Method] = {
    "saliency": saliency,
    "integrated_gradients": integrated_gradients,
    "guided_backprop": guided_backprop,
    "grad_cam": grad_cam,
    "occlusion": occlusion,
}


def get_method(name: str) -> Method:
    """The method with this id. Raises UserError for an unknown id."""
    if name not in METHODS:
        raise UserError(f"unknown attribution method '{brief(name)}': expected one of {', '.join(METHODS)}")
    return METHODS[name]


def methods_for(model: nn.Module) -> dict[str, Method]:
    """The methods that apply to this model: Grad-CAM needs a convolution."""
    has_maps = last_feature_maps(model) is not None
    return {name: method for name, method in METHODS.items() if has_maps or method is not grad_cam}


@torch.no_grad()
def last_feature_maps(model: nn.Module) -> nn.Module | None:
    """The last layer, after the first convolution, with maps larger than 1 x 1; None without a convolution."""
    layers = leaf_layers(model)
    with record_outputs(layers) as outputs:
        model(torch.zeros(1, 1, 28, 28, device=next(model.parameters()).device))
    names = list(outputs)
    first = next((i for i, name in enumerate(names) if isinstance(layers[name], nn.Conv2d)), len(names))
    maps = [name for name in names[first:] if outputs[name].ndim == 4 and outputs[name].shape[2:].numel() > 1]
    return layers[maps[-1]] if maps else None


# Sanity checks: deletion, insertion, infidelity, sensitivity, weight randomisation.

PIXELS_PER_STEP = 28
NUM_RANDOM_MODELS = 3
MAX_RANDOM_CORRELATION = 0.5  # a map that correlates more than this with those of random weights fails
NOISE_STD = 0.1  # pixel noise of the infidelity check


@dataclass(frozen=True)
class CheckedMap:
    """The attribution map of one digit with the results of the checks."""

    map: Float[Tensor, "28 28"]
    deletion: Float[np.ndarray, " steps"]
    """Probability of the class while pixels are set to black, the highest attribution first. Good maps fall early."""
    insertion: Float[np.ndarray, " steps"]
    """Probability of the class while pixels are restored on a black image. Good maps rise early."""
    infidelity: float
    """Mean squared error of the logit change that the map predicts for pixel noise (Yeh et al. 2019, arXiv
    1901.09392)."""
    sensitivity: float
    """Largest relative change of the map for a small change of the digit (Yeh et al. 2019)."""
    random_correlation: float
    """Mean rank correlation with the maps of models with random weights (Adebayo et al. 2018, arXiv 1810.03292)."""

    @property
    def deletion_area(self) -> float:
        return float(self.deletion.mean())

    @property
    def insertion_area(self) -> float:
        return float(self.insertion.mean())

    @property
    def failure(self) -> str:
        """Why the map fails the checks. Empty if it passes."""
        if not self.map.std() > 0:
            return "the map is empty"
        return "similar with random weights" if self.random_correlation > MAX_RANDOM_CORRELATION else ""


def check_method(
    model: nn.Module, method: Method, pixels: Float[Tensor, "1 1 28 28"], label: int, seed: int = 0
) -> CheckedMap:
    """The method's map of one digit for the class `label`, with all checks."""
    classes = torch.tensor([label], device=pixels.device)
    maps = method(model, pixels, classes)

    def add_noise(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = NOISE_STD * torch.randn_like(inputs)
        return noise, inputs - noise

    def explain(inputs: tuple[Pixels]) -> Tensor:  # Captum passes a tuple
        return method(model, inputs[0].detach(), classes.expand(len(inputs[0]))).unsqueeze(1)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        infidelities = infidelity(model, add_noise, pixels, maps.unsqueeze(1), target=label, n_perturb_samples=20)
        sensitivities = sensitivity_max(explain, pixels, n_perturb_samples=4)
        correlations = [
            rank_correlation(maps[0], method(with_random_weights(model), pixels, classes)[0])
            for _ in range(NUM_RANDOM_MODELS)
        ]
    return CheckedMap(
        map=maps[0],
        deletion=_probability_curve(model, pixels, maps[0], label, starts_black=False),
        insertion=_probability_curve(model, pixels, maps[0], label, starts_black=True),
        infidelity=float(infidelities),
        sensitivity=float(sensitivities),
        random_correlation=float(np.mean(correlations)),
    )


def rank_correlation(one: Float[Tensor, "28 28"], other: Float[Tensor, "28 28"]) -> float:
    """Spearman's correlation of the absolute values of two maps, over the pixels where either is not 0. The result is 0
    if a map is constant there."""
    is_used = (one != 0) | (other != 0)
    sizes = [values.abs()[is_used].cpu() for values in (one, other)]
    if any(len(size) < 2 or size.std() == 0 for size in sizes):
        return 0.0
    return float(spearmanr(*(size.numpy() for size in sizes)).statistic)


def with_random_weights(model: nn.Module) -> nn.Module:
    """A copy of the model with freshly initialised weights."""
    random_model = copy.deepcopy(model)
    for module in random_model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return random_model.eval()


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
