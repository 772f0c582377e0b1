"""The layers of a network by name, and their activations: what every layer puts out for a digit."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn

from model_interpretation.predict import ChosenDigit
from models.registry import num_parameters
from utils.data.batches import to_pixels
from utils.data.datasets import class_names
from utils.document import Section, Text, picture_of
from utils.errors import UserError
from utils.evaluation import BATCH_SIZE
from utils.figures import (
    COLORS,
    DIVERGING,
    GREY,
    INK,
    SEQUENTIAL,
    elided,
    figure_style,
    pixel_values_figure,
    set_title,
    tiled_figure,
)
from utils.run import Run
from utils.run_pages import write_run_page
from utils.track import track

COLUMNS, MAP_INCHES, SINGLE_MAP_INCHES = 16, 0.52, 2.2  # feature maps in a row, and the width of a map
MAX_BARS = 32  # activations that are drawn as bars; more are drawn as a rectangle
ROW_INCHES = 0.34
NOTE = (
    "Each layer has a colour scale of its own, in which white is 0. A layer with negative values has blue for negative "
    "and orange for positive values. The shape 32 of 26 x 26 means 32 feature maps of 26 x 26 pixels. Layers that "
    "change no value, such as dropout, are left out."
)
PIXELS_CAPTION = "The input of the network: 28 x 28 pixels, 0 for black and 255 for white."
NUM_PIXELS = 28 * 28
WITH_WEIGHTS, POOLING, OTHER = COLORS[0], COLORS[1], GREY
PARAMETERS_AT = 6.6  # right edge of the column of parameters; the bar of a million activations has length 6


def leaf_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers without sublayers by name, such as `conv1` or `block1a.conv1`."""
    return {name.removeprefix("layers."): layer for name, layer in model.named_modules() if not list(layer.children())}


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer of this name. Raises UserError with the names of all layers if there is none."""
    layers = leaf_layers(model)
    if name not in layers:
        raise UserError(f"no layer '{name[:60]}' in this network: expected one of {', '.join(layers)}")
    return layers[name]


def model_pixels(model: nn.Module, images: UInt8[Tensor, "n 28 28"]) -> Float[Tensor, "n 1 28 28"]:
    """The images as input of the model, on its device."""
    return to_pixels(images.to(next(model.parameters()).device))


@contextmanager
def record_outputs(layers: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """A dictionary that receives the output of each of these layers, in the order in which the layers run. If a layer
    returns a tuple, as recurrent and attention layers do, the dictionary receives its first element."""
    outputs: dict[str, Tensor] = {}

    def record(name: str, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        outputs[name] = output[0] if isinstance(output, tuple) else output

    hooks = [layer.register_forward_hook(functools.partial(record, name)) for name, layer in layers.items()]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def channel_means(output: Tensor) -> Float[Tensor, "batch channels"]:
    """The spatial mean of each channel of feature maps; the outputs of a fully connected layer are unchanged."""
    return output.flatten(2).mean(2) if output.ndim > 2 else output


def layer_output(model: nn.Module, layer: nn.Module, pixels: Float[Tensor, "batch 1 28 28"]) -> Tensor:
    """The output of one layer for these digits, with its autograd graph."""
    with record_outputs({"layer": layer}) as outputs:
        model(pixels)
    return outputs["layer"]


def penultimate_layer(model: nn.Module) -> nn.Module:
    """The layer before the last. Its output is the embedding. Raises UserError for a model of a single layer."""
    layers = list(leaf_layers(model).values())
    if len(layers) < 2:
        raise UserError(f"{type(model).__name__} has no embeddings: expected a model of at least two layers")
    return layers[-2]


@torch.no_grad()
def penultimate_vectors(
    model: nn.Module, images: UInt8[Tensor, "n 28 28"], progress: str | None = "digits"
) -> Float[Tensor, "n width"]:
    """The embeddings of these digits: the input of the last layer. Raises UserError for a model of a single layer.

    `progress` is the label of a progress bar; None shows no bar.
    """
    layer = penultimate_layer(model)
    batches = track(images.split(BATCH_SIZE), desc=progress, disable=not progress)
    outputs = [layer_output(model, layer, model_pixels(model, batch)).flatten(1).float() for batch in batches]
    return torch.cat(outputs).cpu()


@dataclass(frozen=True)
class ChannelImages:
    """An image per channel, pixels from 0 to 1, and the mean activation of the channel that each image reaches."""

    images: Float[Tensor, "n 28 28"]
    activations: Float[Tensor, " n"]


@torch.no_grad()
def highest_activations(model: nn.Module, layer: nn.Module, images: UInt8[Tensor, "n 28 28"]) -> ChannelImages:
    """For each channel of the layer, the one of these digits with the highest mean activation."""
    batches = track(images.split(BATCH_SIZE), desc="digits")
    highest = [
        channel_means(layer_output(model, layer, model_pixels(model, batch))).float().max(0) for batch in batches
    ]
    activations, best_batches = torch.stack([values for values, _ in highest]).cpu().max(0)
    places = torch.stack([places for _, places in highest]).cpu()[best_batches, torch.arange(len(activations))]
    return ChannelImages(to_pixels(images[best_batches * BATCH_SIZE + places])[:, 0], activations)


@dataclass(frozen=True)
class LayerOutput:
    """The output of a layer for one digit: feature maps (channel, row, column) or a vector (unit,)."""

    name: str
    kind: str
    values: Float[np.ndarray, "..."]
    num_parameters: int

    @property
    def shape(self) -> str:
        """Such as `32 of 26 x 26` for feature maps or `1600` for a vector."""
        if self.values.ndim == 1:
            return str(len(self.values))
        return f"{self.values.shape[0]} of {self.values.shape[1]} x {self.values.shape[2]}"


@torch.no_grad()
def layer_outputs(model: nn.Module, image: UInt8[Tensor, "28 28"]) -> list[LayerOutput]:
    """The output of every layer for one digit, in the order in which the layers run. Sets the model to eval mode."""
    layers = leaf_layers(model)
    with record_outputs(layers) as outputs:
        model.eval()(model_pixels(model, image.unsqueeze(0)))
    return [
        LayerOutput(name, type(layers[name]).__name__, output[0].float().cpu().numpy(), num_parameters(layers[name]))
        for name, output in outputs.items()
    ]


def show_activations(run: Run, model: nn.Module, digit: ChosenDigit, output: Path) -> None:
    """Writes the activations for one digit: a picture per layer and activations.html with all of them. Layers that
    change no value, such as dropout, are left out."""
    pixels = pixel_values_figure(digit.image, f"{digit.title}: pixel values from 0 to 255")
    sections = [Section("The digit", [picture_of(pixels, PIXELS_CAPTION, "00-pixels")])]
    previous = digit.image.numpy() / np.float32(255)
    outputs = layer_outputs(model, digit.image)
    for place, layer in enumerate(outputs, start=1):
        if not np.array_equal(layer.values.ravel(), previous.ravel()):
            picture = picture_of(layer_figure(layer), layer_caption(layer), f"{place:02d}-{layer.name}")
            sections.append(Section(layer.name, [picture]))
        previous = layer.values
    names, logits = class_names(run.recipe.dataset), torch.from_numpy(outputs[-1].values)
    predicted, confidence = elided(names[int(logits.argmax())]), float(logits.softmax(0).max())
    result = f"The network predicts {predicted} with a confidence of {confidence:.1%}."
    file = output / run.name / f"activations-{digit.slug}" / "activations.html"
    write_run_page(file, f"Activations of every layer: {digit.title}", sections, [Text(result), Text(NOTE)])


def layer_caption(output: LayerOutput) -> str:
    """The kind and size of the layer, the range of its values, and how many are positive."""
    num_maps = len(output.values) if output.values.ndim == 3 else 0
    maps = "1 feature map" if num_maps == 1 else f"{num_maps} feature maps"
    count = maps if num_maps else f"{output.values.size:,} values"
    parameters = f" and {output.num_parameters:,} parameters" if output.num_parameters else ""
    low, high, share = output.values.min(), output.values.max(), (output.values > 0).mean()
    return f"{output.kind} with {count}{parameters}. Values from {low:.1f} to {high:.1f}; {share:.0%} are positive."


def layer_figure(output: LayerOutput) -> Figure:
    """Feature maps side by side above their colour scale; a long vector as a rectangle, a short one as bars."""
    title = f"{output.name} ({output.kind}): {output.shape}"
    if output.values.ndim == 1 and len(output.values) <= MAX_BARS:
        return _bars_figure(output.values, title)
    maps = output.values if output.values.ndim == 3 else as_rectangle(output.values)[None]
    most = float(np.abs(maps).max()) or 1.0
    cmap, least = (DIVERGING, -most) if maps.min() < 0 else (SEQUENTIAL, 0.0)
    tile_inches = MAP_INCHES if len(maps) > 4 else SINGLE_MAP_INCHES
    return tiled_figure(maps, None, COLUMNS, title, cmap, (least, most), tile_inches, scale="activation")


@figure_style()
def _bars_figure(values: Float[np.ndarray, " units"], title: str) -> Figure:
    figure = Figure(figsize=(max(5.0, 0.25 * len(values)), 2.8), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(len(values)), values, color=COLORS[0])
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="unit", ylabel="activation", xticks=range(len(values)))
    axes.grid(visible=False, axis="x")
    set_title(figure, f"{title}; unit {values.argmax()} has the highest, {values.max():.1f}")
    return figure


def as_rectangle(values: Float[np.ndarray, " units"]) -> Float[np.ndarray, "rows columns"]:
    """The vector row by row in the squarest rectangle that it fills: 1,600 as 40 x 40, 128 as 8 x 16."""
    rows = next(rows for rows in range(math.isqrt(len(values)), 0, -1) if len(values) % rows == 0)
    return values.reshape(rows, -1)


@figure_style()
def network_figure(model: nn.Module, title: str) -> Figure:
    """The architecture of a network: a bar per layer, from pixels to logits, with output shape and parameters. The
    length of a bar is the logarithm of the number of activations."""
    rows = [("pixels", "1 of 28 x 28", NUM_PIXELS, OTHER, "")]
    for output in layer_outputs(model, torch.zeros(28, 28, dtype=torch.uint8)):
        count = f"{output.num_parameters:,}" if output.num_parameters else ""
        colour = WITH_WEIGHTS if count else POOLING if "Pool" in output.kind else OTHER
        rows.append((f"{output.name} ({output.kind})", output.shape, output.values.size, colour, count))
    figure = Figure(figsize=(9, 0.9 + ROW_INCHES * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, shape, size, colour, count) in enumerate(rows):
        axes.barh(place, math.log10(size + 1), height=0.72, color=colour)
        axes.text(-0.08, place, name, ha="right", va="center")
        axes.text(math.log10(size + 1) + 0.06, place, shape, ha="left", va="center")
        axes.text(PARAMETERS_AT, place, count, ha="right", va="center")
    axes.text(PARAMETERS_AT, -1, "parameters", ha="right", va="center")
    axes.set(xlim=(0, PARAMETERS_AT), ylim=(len(rows) - 0.4, -1.5))
    set_title(figure, title)
    axes.axis("off")
    return figure
