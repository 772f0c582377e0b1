"""Feature visualization: images that maximize the activation of a channel, found by gradient ascent from noise.

The same images of a network with random weights are the control: what appears there, too, was not learned.

Source: Olah, Mordvintsev and Schubert 2017, Feature Visualization, Distill, doi 10.23915/distill.00007.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from model_interpretation.activations import (
    ChannelImages,
    channel_means,
    find_layer,
    highest_activations,
    layer_output,
    leaf_layers,
    model_pixels,
)
from model_interpretation.predict import ChosenDigit, load_run_split
from model_interpretation.random_networks import random_networks
from utils.data.augmentation import RandomAffine, transform
from utils.document import Section, Text, picture_of
from utils.errors import UserError
from utils.figures import COLORS, GREY, INK, figure_style, set_title, tiled_figure
from utils.run import Run
from utils.run_pages import write_run_page
from utils.track import track

SIDE = 28
NUM_STEPS = 200
NUM_STARTS = 4  # per channel; the best result counts, because some starts end in a poor local maximum
DARKEST_LOGIT = -5.0  # mean logit of the last initial image of a batch; the first has 0, which is mid-grey
MAX_CHANNELS_PER_BATCH = 128
LEARNING_RATE = 0.08
JITTER = RandomAffine(rotation_degrees=4, translation_pixels=1.5, scale_fraction=0.04)
# Weights of the penalties, relative to an activation in units of the best digit's activation.
ROUGHNESS_WEIGHT, BRIGHTNESS_WEIGHT, SIMILARITY_WEIGHT = 3.0, 1.0, 0.3
RANGE_WEIGHT = 0.1
MAX_LOGIT = 4.0  # larger absolute logits are penalized: the gradient of a saturated pixel vanishes
TARGET = 1.3  # times the best digit's activation: below it the penalties of an image shrink, above it they grow
PENALTY_DECAY, PENALTY_GROWTH = 0.93, 1.03  # per step
MIN_SCALE = 1e-3  # of activations, for layers that no digit activates
NUM_VARIANTS = 8  # images of a single channel
MAX_CHANNELS_PER_SHEET = 512
NUM_TOP_CHANNELS = 5  # of a digit
NUM_CONTROL_CHANNELS = 16  # of a layer
NUM_CONTROL_DIGITS = 5000  # training digits that set the scale of the random network's channels
NOTE = (
    "Each image was optimised, from noise, to activate one channel of the layer as much as possible. A pattern that "
    "the control shows, too, comes from the architecture and the optimisation, not from training."
)
# Name of a figure -> heading and caption.
PARTS = {
    "activations": ("Activations of the digit", "The digit's mean activation of each channel of the layer."),
    "collage": (
        "What these channels respond to",
        "The digit, dimmed, and for each channel that it activates most the optimised image, with the digit's mean "
        "activation.",
    ),
    "images": (
        "Optimised images",
        "Above each image: the channel, the mean activation that the image reaches / the highest that any training "
        "digit reaches.",
    ),
    "digits": (
        "Digits with the highest activation",
        "For each channel the training digit with the highest mean activation, and this activation.",
    ),
    "control": (
        "Control: a network with random weights",
        "The same optimisation for channels of a network of the same model with random weights.",
    ),
}
COLUMNS = 8


def image_logits(spectrum: Float[Tensor, "n 28 15 2"]) -> Float[Tensor, "n 1 28 28"]:
    """Images, before the sigmoid that maps them to pixels, from their Fourier spectra.

    The learning rate of a wave falls with its frequency, so that neighbouring pixels change together (Distill article,
    section on preconditioning). The backgrounds go from mid-grey to black, because thin strokes are rarely found from a
    bright background.
    """
    frequencies = (torch.fft.fftfreq(SIDE)[:, None] ** 2 + torch.fft.rfftfreq(SIDE)[None] ** 2).sqrt()
    scale = (SIDE / frequencies.clamp(min=1 / SIDE) / SIDE**0.5).to(spectrum.device)
    waves = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(SIDE, SIDE), norm="ortho")
    backgrounds = torch.linspace(0, DARKEST_LOGIT, len(spectrum), device=spectrum.device)
    return (waves + backgrounds[:, None, None]).unsqueeze(1)


@dataclass(frozen=True)
class FeatureVisualizer:
    """Optimizes images for the channels of one layer of a model in eval mode with frozen parameters."""

    model: nn.Module
    layer: nn.Module
    references: ChannelImages
    """Highest mean activations of any digit; they set the scale of each channel."""
    seed: int = 0
    num_steps: int = NUM_STEPS

    def best_images(self, channels: Int64[Tensor, " n"]) -> ChannelImages:
        """One image per channel: the one with the highest activation from several starts."""
        images, activations = [], []
        for batch in channels.split(MAX_CHANNELS_PER_BATCH):
            starts = self.optimize(batch.repeat(NUM_STARTS), similarity_weight=0.0)
            best = starts.activations.view(NUM_STARTS, -1).argmax(0)
            indices = best * len(batch) + torch.arange(len(batch))
            images.append(starts.images[indices])
            activations.append(starts.activations[indices])
        return ChannelImages(torch.cat(images), torch.cat(activations))

    def optimize(self, channels: Int64[Tensor, " n"], similarity_weight: float = SIMILARITY_WEIGHT) -> ChannelImages:
        """One image per entry of `channels`, optimized as one batch.

        A channel may occur several times; `similarity_weight` then keeps its images different. Penalties on roughness
        and brightness shrink, image by image, until the image exceeds its target activation. The result is the latest
        image of the second half of the steps that exceeds it, else the one with the highest activation.
        """
        count = len(channels)
        device = next(self.model.parameters()).device
        channels = channels.to(device)
        references = self.references.activations.to(device)[channels]
        generator = torch.Generator().manual_seed(self.seed)
        noise = 0.05 * torch.randn(count, SIDE, SIDE // 2 + 1, 2, generator=generator)
        spectrum = noise.to(device).requires_grad_()
        optimizer = torch.optim.Adam([spectrum], LEARNING_RATE)
        scale = references.abs().clamp(min=max(float(references.abs().median()), MIN_SCALE))
        targets = references + (TARGET - 1) * scale
        weights = torch.ones(count, device=device)
        best = ChannelImages(torch.zeros(count, SIDE, SIDE, device=device), torch.full_like(references, -torch.inf))
        for step in track(range(self.num_steps + 1), desc="images"):
            logits = image_logits(spectrum)
            pixels = logits.sigmoid()
            with torch.no_grad():
                reached = self._activations(pixels, channels)
            weights = torch.where(reached < targets, weights * PENALTY_DECAY, (weights * PENALTY_GROWTH).clamp(max=1))
            is_late = step > self.num_steps // 2  # later images are smoother
            is_better = (reached > best.activations) | ((reached > targets) & is_late)
            best = ChannelImages(
                torch.where(is_better[:, None, None], pixels[:, 0].detach(), best.images),
                torch.where(is_better, reached, best.activations),
            )
            if step == self.num_steps:
                break
            activations = (
                self._activations(transform(pixels, JITTER.draw(count, generator).to(device)), channels) / scale
            )
            penalties = ROUGHNESS_WEIGHT * total_variation(pixels) + BRIGHTNESS_WEIGHT * pixels.mean((1, 2, 3))
            penalties = weights * penalties
            penalties = penalties + RANGE_WEIGHT * ((logits.abs() - MAX_LOGIT).clamp(min=0) ** 2).mean((1, 2, 3))
            optimizer.zero_grad()
            (penalties.sum() + similarity_weight * similarity(pixels, channels) - activations.sum()).backward()
            optimizer.step()
        return ChannelImages(best.images.cpu(), best.activations.cpu())

    def _activations(self, pixels: Float[Tensor, "n 1 28 28"], channels: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Mean activation of each image's own channel."""
        return channel_means(layer_output(self.model, self.layer, pixels))[torch.arange(len(channels)), channels]


def total_variation(pixels: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, " n"]:
    """Mean absolute difference between neighbouring pixels, vertical plus horizontal."""
    return pixels.diff(dim=2).abs().mean((1, 2, 3)) + pixels.diff(dim=3).abs().mean((1, 2, 3))


def similarity(pixels: Float[Tensor, "n 1 28 28"], channels: Int64[Tensor, " n"]) -> Tensor:
    """Sum of the squared correlations between images of the same channel."""
    centred = pixels.flatten(1) - pixels.flatten(1).mean(1, keepdim=True)
    directions = torch.nn.functional.normalize(centred)
    is_pair = (channels[:, None] == channels[None]) & ~torch.eye(len(channels), dtype=torch.bool, device=pixels.device)
    return ((directions @ directions.T) ** 2 * is_pair).sum()


# The pages of a layer, a channel or a digit.


def visualize_features(
    run: Run,
    model: nn.Module,
    output: Path,
    digit: ChosenDigit | None = None,
    layer: str | None = None,
    channel: int | None = None,
    seed: int = 0,
    num_steps: int = NUM_STEPS,
) -> None:
    """Writes optimized images for a layer, by default the last convolution, as PNG files and as a page.

    The images are for all channels of the layer; with `channel`, several for this channel; with `digit`, for the
    channels that this digit activates most. The model's parameters are frozen. Raises UserError for an unknown layer or
    channel and for a layer with too many channels for one sheet.
    """
    model.requires_grad_(False)
    name = layer or default_layer(model)
    module = find_layer(model, name)
    training_digits = load_run_split(run, "train").images
    references = highest_activations(model, module, training_digits)
    visualizer = FeatureVisualizer(model, module, references, seed, num_steps)
    num_channels = len(references.activations)
    if channel is not None and not 0 <= channel < num_channels:
        raise UserError(f"channel {channel}: {name} has {num_channels}, expected 0 to {num_channels - 1}")
    if digit is not None:
        channels = top_channels(visualizer, digit)
        suffix, figures = f"-{digit.slug}", digit_figures(visualizer, digit, channels)
    elif channel is not None:
        channels = torch.full((NUM_VARIANTS,), channel)
        suffix, figures = f"-channel-{channel}", channel_figures(visualizer, channels)
    elif num_channels > MAX_CHANNELS_PER_SHEET:
        raise UserError(f"{name} has {num_channels:,} channels, too many for one sheet: choose one with --channel")
    else:
        channels = torch.arange(min(num_channels, NUM_CONTROL_CHANNELS))
        suffix, figures = "", layer_figures(visualizer)
    num_outputs = model(model_pixels(model, training_digits[:1])).shape[1]
    (random_model,) = random_networks(run.recipe.model, num_outputs, next(model.parameters()).device, seed=seed)
    figures["control"] = control_figure(random_model, name, channels, training_digits, seed, num_steps)
    file = output / run.name / f"features-{name}{suffix}" / "features.html"
    sections = [Section(PARTS[kind][0], [picture_of(figure, PARTS[kind][1], kind)]) for kind, figure in figures.items()]
    subject = f": {digit.title}" if digit else f", channel {channel}" if channel is not None else ""
    write_run_page(file, f"Features of layer {name}{subject}", sections, [Text(NOTE)])


def control_figure(
    random_model: nn.Module,
    layer: str,
    channels: Int64[Tensor, " n"],
    training_digits: UInt8[Tensor, "m 28 28"],
    seed: int = 0,
    num_steps: int = NUM_STEPS,
) -> Figure:
    """Images of these channels of a network with random weights, by the same optimisation."""
    module = find_layer(random_model, layer)
    references = highest_activations(random_model, module, training_digits[:NUM_CONTROL_DIGITS])
    visualizer = FeatureVisualizer(random_model, module, references, seed, num_steps)
    is_one_channel = len(channels) > 1 and bool((channels == channels[0]).all())
    optimized = visualizer.optimize(channels) if is_one_channel else visualizer.best_images(channels)
    num_higher = int((optimized.activations >= references.activations[channels]).sum())
    title = f"Control, random weights: {num_higher} of {len(channels)} images reach the best digit (image / best digit)"
    return _sheet(optimized, references, channels, title)


def default_layer(model: nn.Module) -> str:
    """The last convolution, or the last layer of a model without convolutions."""
    layers = leaf_layers(model)
    return next((name for name in reversed(layers) if isinstance(layers[name], nn.Conv2d)), list(layers)[-1])


def layer_figures(visualizer: FeatureVisualizer) -> dict[str, Figure]:
    """One image per channel, and the training digit that activates each channel most. Prints how many images activate
    their channel at least as much as that digit."""
    references = visualizer.references
    channels = torch.arange(len(references.activations))
    optimized = visualizer.best_images(channels)
    num_higher = int((optimized.activations >= references.activations).sum())
    result = f"{num_higher} of {len(channels)} images activate their channel at least as much as every training digit"
    print(result)
    return {
        "images": _sheet(optimized, references, channels, f"{result} (image / best digit)"),
        "digits": tiled_figure(
            references.images.numpy(),
            [f"{channel}: {activation:.1f}" for channel, activation in enumerate(references.activations.tolist())],
            COLUMNS,
            "Training digit with the highest mean activation of each channel (channel: activation)",
            cmap="gray",
            limits=(0, 1),
        ),
    }


def channel_figures(visualizer: FeatureVisualizer, channels: Int64[Tensor, " n"]) -> dict[str, Figure]:
    """Several different images of one channel."""
    title = f"Channel {int(channels[0])} (image / best digit)"
    return {"images": _sheet(visualizer.optimize(channels), visualizer.references, channels, title)}


def digit_figures(
    visualizer: FeatureVisualizer, digit: ChosenDigit, channels: Int64[Tensor, " n"]
) -> dict[str, Figure]:
    """The digit's mean activation of each channel, and optimized images of the channels with the highest."""
    activations = _digit_activations(visualizer, digit)
    return {
        "activations": _activation_figure(activations, channels),
        "collage": _collage(digit, activations, channels, visualizer.best_images(channels)),
    }


def top_channels(visualizer: FeatureVisualizer, digit: ChosenDigit) -> Int64[Tensor, " n"]:
    """The channels that the digit activates most."""
    activations = _digit_activations(visualizer, digit)
    return activations.topk(min(NUM_TOP_CHANNELS, len(activations))).indices


@torch.no_grad()
def _digit_activations(visualizer: FeatureVisualizer, digit: ChosenDigit) -> Float[Tensor, " channels"]:
    pixels = model_pixels(visualizer.model, digit.image[None])
    return channel_means(layer_output(visualizer.model, visualizer.layer, pixels))[0].float().cpu()


def _sheet(optimized: ChannelImages, references: ChannelImages, channels: Tensor, title: str) -> Figure:
    captions = [
        f"channel {channel}\n{reached:.1f} / {references.activations[channel]:.1f}"
        for channel, reached in zip(channels.tolist(), optimized.activations.tolist(), strict=True)
    ]
    return tiled_figure(optimized.images.numpy(), captions, COLUMNS, title, cmap="gray", limits=(0, 1))


@figure_style()
def _activation_figure(activations: Float[Tensor, " channels"], top: Tensor) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    colors = np.full(len(activations), GREY, dtype=object)
    colors[top.numpy()] = COLORS[0]
    axes.bar(range(len(activations)), activations.numpy(), color=list(colors))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="channel", ylabel="mean activation")
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    listed = ", ".join(map(str, top.tolist()))
    set_title(figure, f"Of {len(activations)} channels, the digit activates these most (blue): {listed}")
    return figure


@figure_style()
def _collage(digit: ChosenDigit, activations: Tensor, top: Tensor, optimized: ChannelImages) -> Figure:
    """The digit, dimmed under a 3 x 3 grid, beside the images of the channels that it activates most."""
    figure = Figure(figsize=(1.6 * (1 + len(top)), 2.2), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(top))
    first.imshow(0.55 * digit.image.numpy() / 255, cmap="gray", vmin=0, vmax=1)
    for place in (28 / 3 - 0.5, 56 / 3 - 0.5):
        first.axhline(place, color="white", linewidth=0.8)
        first.axvline(place, color="white", linewidth=0.8)
    first.set_title("the digit")
    for axes, channel, image in zip(others, top.tolist(), optimized.images.numpy(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"channel {channel}: {activations[channel]:.1f}")
    for axes in (first, *others):
        axes.axis("off")
    set_title(figure, f"{digit.title} and images of the channels that it activates most (channel: activation)")
    return figure
