"""Attribution methods, all through Captum.

A method is a function `(model, pixels, classes) -> maps` with one entry in METHODS. The model is in eval mode. A map is
positive where a pixel raises the logit of the class and negative where it lowers it, except for the unsigned methods
saliency and Grad-CAM. `attribution_checks` tests the maps.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from model_interpretation.activations import leaf_layers, record_outputs
from utils.errors import UserError, brief, needs_extra

with needs_extra("study"):
    from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, Occlusion, Saliency

Pixels = Float[Tensor, "batch 1 28 28"]
Classes = Int64[Tensor, " batch"]
Maps = Float[Tensor, "batch 28 28"]
MethodFunction = Callable[[nn.Module, Pixels, Classes], Maps]

NUM_INTEGRATION_STEPS = 32
PATCH_SIZE, PATCH_STRIDE = 5, 2  # pixels; the black square of occlusion


@dataclass(frozen=True)
class Method:
    """An attribution method with what is needed to compare its maps with changes of the logit."""

    function: MethodFunction
    multiplies_by_input: bool = False
    """Whether a map holds contributions, effect times pixel value, as opposed to effects per change of a pixel."""
    signed: MethodFunction | None = None
    """The same method with signs, for a method whose maps are absolute values."""

    def __call__(self, model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
        return self.function(model, pixels, classes)

    def local_maps(self, model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
        """Signed maps of the effect per change of a pixel. Contributions are divided by the pixels; that of a black
        pixel is 0."""
        maps = (self.signed or self.function)(model, pixels, classes)
        if not self.multiplies_by_input:
            return maps
        values = pixels[:, 0]
        return torch.where(values > 0, maps / values.clamp(min=torch.finfo(values.dtype).tiny), 0.0)


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
def gradient(model: nn.Module, pixels: Pixels, classes: Classes) -> Maps:
    """Gradient of the logit for each pixel: saliency with signs."""
    return Saliency(model).attribute(pixels, classes, abs=False)[:, 0].detach()


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
    "saliency": Method(saliency, signed=gradient),
    "integrated_gradients": Method(integrated_gradients, multiplies_by_input=True),
    "guided_backprop": Method(guided_backprop),
    "grad_cam": Method(grad_cam),
    "occlusion": Method(occlusion, multiplies_by_input=True),
}


def get_method(name: str) -> Method:
    """The method with this id. Raises UserError for an unknown id."""
    if name not in METHODS:
        raise UserError(f"unknown attribution method '{brief(name)}': expected one of {', '.join(METHODS)}")
    return METHODS[name]


def methods_for(model: nn.Module) -> dict[str, Method]:
    """The methods that apply to this model: Grad-CAM needs a convolution."""
    has_maps = last_feature_maps(model) is not None
    return {name: method for name, method in METHODS.items() if has_maps or method.function is not grad_cam}


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
