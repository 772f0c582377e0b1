"""Which pixels decide: five ways to ask, through Captum."""

import functools
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, Occlusion, Saliency
from jaxtyping import Float, Int64
from torch import Tensor, nn

from model_interpretation.model_layers import leaf_layers, watching
from utils.errors import UserError

Pixels = Float[Tensor, "batch 1 28 28"]
Classes = Int64[Tensor, " batch"]
Maps = Float[Tensor, "batch 28 28"]
Method = Callable[[nn.Module, Pixels, Classes], Maps]
NUM_STEPS = 32  # of integrated gradients' way from black to the digit
PATCH, STRIDE = 5, 2  # pixels; occlusion's square and how far it moves


def quiet(method: Method) -> Method:
    """The method without Captum's warnings of what it does in passing: hooks, gradients of inputs."""

    @functools.wraps(method)
    def attribute(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return method(model, pixels, classes)

    return attribute


@quiet
def saliency(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """The size of each pixel's gradient (Simonyan et al. 2014, arXiv 1312.6034)."""
    return Saliency(model).attribute(pixels, classes)[:, 0].detach()


@quiet
def integrated_gradients(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Each pixel's share of the logit's rise from a black image to the digit (Sundararajan et al. 2017, 1703.01365)."""
    found = IntegratedGradients(model).attribute(pixels, torch.zeros_like(pixels), classes, n_steps=NUM_STEPS)
    return found[:, 0].detach().float()


@quiet
def guided_backprop(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """The gradient, of which each ReLU lets only the positive part back (Springenberg et al. 2015, 1412.6806)."""
    return GuidedBackprop(model).attribute(pixels, classes)[:, 0].detach()


@quiet
def grad_cam(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """The last maps of the network, weighted by their mean gradients (Selvaraju et al. 2017, 1610.02391).

    Raises UserError for a network without convolutions.
    """
    layer = last_maps(model)
    if layer is None:
        raise UserError("grad_cam needs a convolution, and this network has none: expected another --method")
    found = LayerGradCam(model, layer).attribute(pixels, classes, relu_attributions=True)
    return F.interpolate(found, size=(28, 28), mode="bilinear")[:, 0].detach()


@quiet
def occlusion(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """How far the logit falls where a black square covers the pixel, mean over squares (Zeiler and Fergus 2014)."""
    window, strides = (1, PATCH, PATCH), (1, STRIDE, STRIDE)
    return Occlusion(model).attribute(pixels, window, strides, 0, classes, perturbations_per_eval=16)[:, 0].detach()


METHODS: dict[str, Method] = {
    "saliency": saliency,
    "integrated_gradients": integrated_gradients,
    "guided_backprop": guided_backprop,
    "grad_cam": grad_cam,
    "occlusion": occlusion,
}


def methods_for(model: nn.Module) -> dict[str, Method]:
    """Those that the network allows."""
    return {name: method for name, method in METHODS.items() if method is not grad_cam or last_maps(model) is not None}


@torch.no_grad()
def last_maps(model: nn.Module) -> nn.Module | None:
    """The last layer that puts out maps of more than a place; None where there is no convolution."""
    layers = leaf_layers(model)
    with watching(layers) as outputs:
        model(torch.zeros(1, 1, 28, 28))
    names = list(outputs)
    first = next((place for place, name in enumerate(names) if isinstance(layers[name], nn.Conv2d)), len(names))
    maps = [name for name in names[first:] if outputs[name].ndim == 4 and outputs[name].shape[2:].numel() > 1]
    return layers[maps[-1]] if maps else None
