"""What a layer's channels look for: images that excite them, and the channels that a given digit excites most."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn

from model_interpretation.activation_maximisation import ExcitingImages, climb, most_exciting_images
from model_interpretation.basic_interpret import OUTPUT
from model_interpretation.model_layers import (
    HighestActivations,
    channel_means,
    find_layer,
    highest_activations,
    layer_output,
    leaf_layers,
)
from model_interpretation.picture_page import write_picture_page
from model_interpretation.run_data import chosen_digit, load_run_split
from models.trained import load_trained
from utils.command_line import parse_command_line
from utils.errors import UserError, exit_on_user_error
from utils.figures import COLOURS, INK, plain_axes, tiled_figure
from utils.preloading import to_pixels
from utils.run_folder import RunFolder

NUM_VARIANTS = 8  # images of a single channel
MAX_CHANNELS = 512  # on one sheet
NUM_TOP = 5  # channels that a digit excites most
COLUMNS = 8


@dataclass(frozen=True)
class FeatureCommand:
    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run whose network is looked into; by default the newest that is finished."""
    layer: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Which layer, such as conv2; by default the last convolution or, where there is none, the logits."""
    channel: Annotated[int | None, tyro.conf.arg(metavar="K", aliases=["--unit"])] = None
    """One channel or unit, from 0, in several images; by default all of the layer, in one image each."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """A test digit, from 0: which channels it excites most, and what these look for."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The same for a picture of a digit."""
    seed: int = 0
    """Decides the noise from which the images begin."""
    output: Path = OUTPUT
    """Folder in which the run gets a folder of its name."""


def main(argv: list[str]) -> None:
    """Draws images that excite the channels of a layer more than the training digits do, as PNG and as a page. Above
    each stands the mean activation that it reaches, and the highest that any training digit reaches."""
    options = parse_command_line(FeatureCommand, argv, "mnist features", main.__doc__)
    if sum(value is not None for value in (options.channel, options.id, options.image)) > 1:
        raise UserError("--channel, --id and --image ask different questions: leave all but one out")
    if not 0 <= options.seed < 2**63:
        raise UserError(f"--seed {options.seed}: expected 0 or more, below 2**63")
    run = RunFolder.find_or_newest(options.run)
    model = load_trained(run).requires_grad_(False)
    name = options.layer or default_layer(model)
    layer = find_layer(model, name)
    digit = None
    if options.id is not None or options.image:
        digit = chosen_digit(run, "test", options.id, options.image)
    bests = highest_activations(model, layer, load_run_split(run, "train").images)
    if options.channel is not None and not 0 <= options.channel < len(bests.activations):
        raise UserError(f"channel {options.channel}: {name} has {len(bests.activations)}, counted from 0")
    if digit is None and options.channel is None and len(bests.activations) > MAX_CHANNELS:
        raise UserError(f"{name} has {len(bests.activations):,} channels, too many for one sheet: name a --channel")

    if digit is not None:
        about = f"-{digit[2]}"
        figures = digit_figures(model, layer, bests, digit[0], options.seed)
    elif options.channel is not None:
        about = f"-channel-{options.channel}"
        figures = channel_figures(model, layer, bests, options.channel, options.seed)
    else:
        about = ""
        figures = layer_figures(model, layer, bests, options.seed)
    folder = options.output / run.path.name / f"features-{name}{about}"
    write_picture_page(folder / "features.html", f"{run.path.name}: what {name} looks for", figures)


def default_layer(model: nn.Module) -> str:
    """The last convolution; where there is none, the logits."""
    layers = leaf_layers(model)
    return next((name for name in reversed(layers) if isinstance(layers[name], nn.Conv2d)), list(layers)[-1])


def layer_figures(model: nn.Module, layer: nn.Module, bests: HighestActivations, seed: int) -> dict[str, Figure]:
    """An image for each channel, and for each the training digit that excites it most. Prints how many images win."""
    channels = torch.arange(len(bests.activations))
    found = most_exciting_images(model, layer, channels, bests.activations, seed)
    num_won = int((found.reached >= bests.activations).sum())
    verdict = f"{num_won} of {len(channels)} images excite their channel at least as much as any training digit does"
    print(verdict)
    return {
        "images": _sheet(found, bests, channels, f"{verdict} (reached / best digit)"),
        "digits": tiled_figure(
            bests.digits.numpy(),
            [f"{channel}: {best:.1f}" for channel, best in enumerate(bests.activations.tolist())],
            COLUMNS,
            "the training digit that excites each channel most",
            cmap="gray",
            limits=(0, 1),
        ),
    }


def channel_figures(
    model: nn.Module, layer: nn.Module, bests: HighestActivations, channel: int, seed: int
) -> dict[str, Figure]:
    """Several images of one channel, kept apart from each other."""
    channels = torch.full((NUM_VARIANTS,), channel)
    found = climb(model, layer, channels, bests.activations[channels], seed)
    return {"images": _sheet(found, bests, channels, f"channel {channel} (reached / best digit)")}


def digit_figures(
    model: nn.Module, layer: nn.Module, bests: HighestActivations, digit: UInt8[Tensor, "28 28"], seed: int
) -> dict[str, Figure]:
    """How much the digit excites each channel, and beside it what those look for that it excites most."""
    with torch.no_grad():
        activations = channel_means(layer_output(model, layer, to_pixels(digit[None])))[0].float()
    top = activations.topk(min(NUM_TOP, len(activations))).indices
    found = most_exciting_images(model, layer, top, bests.activations[top], seed)
    return {"activations": _activation_figure(activations, top), "collage": _collage(digit, activations, top, found)}


def _sheet(found: ExcitingImages, bests: HighestActivations, channels: Tensor, title: str) -> Figure:
    captions = [
        f"{channel}: {reached:.1f} / {bests.activations[channel]:.1f}"
        for channel, reached in zip(channels.tolist(), found.reached.tolist(), strict=True)
    ]
    return tiled_figure(found.images.numpy(), captions, COLUMNS, title, cmap="gray", limits=(0, 1), tile_inches=1.1)


def _activation_figure(activations: Float[Tensor, " channels"], top: Tensor) -> Figure:
    figure = Figure(figsize=(max(5.0, 0.11 * len(activations)), 3), layout="constrained")
    axes = plain_axes(figure, 1, 1, 1)
    colours = np.full(len(activations), "#a0aec0", dtype=object)
    colours[top.numpy()] = COLOURS[0]
    axes.bar(range(len(activations)), activations.numpy(), color=list(colours))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(
        xlabel="channel",
        ylabel="mean activation",
        title=f"how much the digit excites each of {len(activations)} channels",
    )
    return figure


def _collage(digit: UInt8[Tensor, "28 28"], activations: Tensor, top: Tensor, found: ExcitingImages) -> Figure:
    """The digit, greyed, under a 3 x 3 grid, and to the right of it the images of the channels that it excites most."""
    figure = Figure(figsize=(2.2 * (1 + len(top)), 2.7), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(top))
    first.imshow(0.55 * digit.numpy() / 255, cmap="gray", vmin=0, vmax=1)
    for place in (28 / 3 - 0.5, 56 / 3 - 0.5):
        first.axhline(place, color="white", linewidth=0.8)
        first.axvline(place, color="white", linewidth=0.8)
    first.set_title("the digit", fontsize=10)
    for axes, channel, image in zip(others, top.tolist(), found.images.numpy(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"channel {channel}: {activations[channel]:.1f}", fontsize=10)
    for axes in (first, *others):
        axes.set(xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
