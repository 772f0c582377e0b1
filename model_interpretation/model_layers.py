"""The layers of a network by name, and what they put out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from utils.errors import UserError
from utils.evaluation import BATCH_SIZE
from utils.preloading import to_pixels


def leaf_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that have no layers inside, by name, such as `conv1` or `block1a.conv1`."""
    return {name.removeprefix("layers."): layer for name, layer in model.named_modules() if not list(layer.children())}


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer of this name. Raises UserError where there is none, saying which there are."""
    layers = leaf_layers(model)
    if name not in layers:
        raise UserError(f"no layer '{name[:60]}' in this network: expected one of {', '.join(layers)}")
    return layers[name]


@contextmanager
def watching(layers: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """A dictionary in which the last output of each of these layers appears as the network runs, in that order."""
    outputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=name: outputs.update({name: output}))
        for name, layer in layers.items()
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def channel_means(output: Tensor) -> Float[Tensor, "batch channels"]:
    """The mean over its places of each channel of maps; units stay as they are."""
    return output.flatten(2).mean(2) if output.ndim > 2 else output


def layer_output(model: nn.Module, layer: nn.Module, pixels: Float[Tensor, "batch 1 28 28"]) -> Tensor:
    """What the layer makes of these digits, gradients included."""
    with watching({"layer": layer}) as outputs:
        model(pixels)
    return outputs["layer"]


@torch.no_grad()
def penultimate_vectors(model: nn.Module, images: UInt8[Tensor, "n 28 28"]) -> Float[Tensor, "n width"]:
    """What the last layer sees of each digit: the network's own representation of it."""
    layers = leaf_layers(model)
    before_last = layers[list(layers)[-2]]
    batches = tqdm(images.split(BATCH_SIZE), desc="digits", disable=None, leave=False)
    return torch.cat([layer_output(model, before_last, to_pixels(batch)).flatten(1).float() for batch in batches])


@dataclass(frozen=True)
class HighestActivations:
    """For each channel of a layer the highest mean activation that any digit reaches, and that digit, 0 to 1."""

    activations: Float[Tensor, " channels"]
    digits: Float[Tensor, "channels 28 28"]


@torch.no_grad()
def highest_activations(model: nn.Module, layer: nn.Module, images: UInt8[Tensor, "n 28 28"]) -> HighestActivations:
    """Looks at all these digits."""
    highest: HighestActivations | None = None
    for batch in tqdm(images.split(BATCH_SIZE), desc="digits", disable=None, leave=False):
        pixels = to_pixels(batch)
        activations, places = channel_means(layer_output(model, layer, pixels)).float().max(0)
        found = HighestActivations(activations, pixels[places, 0])
        if highest is not None:
            is_higher = found.activations > highest.activations
            found = HighestActivations(
                torch.where(is_higher, found.activations, highest.activations),
                torch.where(is_higher[:, None, None], found.digits, highest.digits),
            )
        highest = found
    assert highest is not None
    return highest
