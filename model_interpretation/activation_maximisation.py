"""Images that excite a channel, found by going up the gradient from noise.

Source: Olah, Mordvintsev and Schubert 2017, Feature Visualization, Distill, doi 10.23915/distill.00007.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from tqdm import tqdm

from model_interpretation.model_layers import channel_means, layer_output
from utils.augmentation import RandomAffine, transform

SIDE = 28
NUM_STEPS = 200
NUM_STARTS = 4  # of which the best image of a channel counts: from some noise the way up ends early
DARKEST = -5.0  # logit of the grey from which the last image of a batch begins; the first begins half bright
NUM_AT_ONCE = 128  # channels in one batch
LEARNING_RATE = 0.08
JITTER = RandomAffine(rotation_degrees=4, translation_pixels=1.5, scale_fraction=0.04)
SMOOTHNESS, INK, LIKENESS = 3.0, 1.0, 0.3  # weights against an activation that is measured in the best digits'
RANGE, EXTREME = 0.1, 4.0  # weight and begin of the penalty on logits, beyond which a pixel would not learn any more
TARGET = 1.3  # times what the best digit reaches: below it the penalties of an image fade, above it they grow
LEAST_SCALE = 1e-3  # of activations, where no digit excites the layer
FADING, GROWING = 0.93, 1.03  # a step


@dataclass(frozen=True)
class FourierImages:
    """Images as the sum of waves, each of which learns at a rate that falls with its frequency: neighbouring pixels
    then go up together, and no single one runs ahead (Distill, section on preconditioning)."""

    spectrum: Float[Tensor, "n 28 15 2"]
    greys: Float[Tensor, " n"]
    """Logits of the greys on which the waves lie, and which do not learn."""

    @staticmethod
    def noise(count: int, generator: torch.Generator) -> "FourierImages":
        """Faint noise, from image to image on a darker ground: few strokes are not found from a bright one."""
        spectrum = 0.05 * torch.randn(count, SIDE, SIDE // 2 + 1, 2, generator=generator)
        return FourierImages(spectrum.requires_grad_(), torch.linspace(0, DARKEST, count))

    def logits(self) -> Float[Tensor, "n 1 28 28"]:
        """Of the pixels, which lie from 0 to 1."""
        frequencies = (torch.fft.fftfreq(SIDE)[:, None] ** 2 + torch.fft.rfftfreq(SIDE)[None] ** 2).sqrt()
        scale = SIDE / frequencies.clamp(min=1 / SIDE) / SIDE**0.5
        waves = torch.view_as_complex(self.spectrum) * scale
        return (torch.fft.irfft2(waves, s=(SIDE, SIDE), norm="ortho") + self.greys[:, None, None]).unsqueeze(1)


@dataclass(frozen=True)
class ExcitingImages:
    """An image for each channel, from 0 to 1, and the mean activation that it reaches."""

    images: Float[Tensor, "n 28 28"]
    reached: Float[Tensor, " n"]


def most_exciting_images(
    model: nn.Module, layer: nn.Module, channels: Int64[Tensor, " n"], digit_bests: Float[Tensor, " n"], seed: int = 0
) -> ExcitingImages:
    """One image for each of these channels: of several starts the one that reaches most."""
    parts = [
        _best_of_starts(model, layer, some, bests, seed)
        for some, bests in zip(channels.split(NUM_AT_ONCE), digit_bests.split(NUM_AT_ONCE), strict=True)
    ]
    return ExcitingImages(torch.cat([part.images for part in parts]), torch.cat([part.reached for part in parts]))


def _best_of_starts(
    model: nn.Module, layer: nn.Module, channels: Int64[Tensor, " n"], digit_bests: Float[Tensor, " n"], seed: int
) -> ExcitingImages:
    starts = climb(model, layer, channels.repeat(NUM_STARTS), digit_bests.repeat(NUM_STARTS), seed, diversity=0.0)
    best = starts.reached.view(NUM_STARTS, -1).argmax(0)
    places = best * len(channels) + torch.arange(len(channels))
    return ExcitingImages(starts.images[places], starts.reached[places])


def climb(
    model: nn.Module,
    layer: nn.Module,
    channels: Int64[Tensor, " n"],
    digit_bests: Float[Tensor, " n"],
    seed: int = 0,
    diversity: float = LIKENESS,
) -> ExcitingImages:
    """An image for each of these channels, all as one batch.

    A channel that is named several times gets as many images, which `diversity` keeps apart. `digit_bests` are the
    highest mean activations that any digit reaches: they set the scale. The penalties for roughness and ink give way,
    image by image, until it excites its channel more than that; of those that do the latest counts, else the best.
    """
    generator = torch.Generator().manual_seed(seed)
    images = FourierImages.noise(len(channels), generator)
    optimizer = torch.optim.Adam([images.spectrum], LEARNING_RATE)
    scale = digit_bests.abs().clamp(min=max(float(digit_bests.abs().median()), LEAST_SCALE))
    targets = digit_bests + (TARGET - 1) * scale
    rows = torch.arange(len(channels))
    weights = torch.ones(len(channels))
    best = torch.full((len(channels),), -torch.inf)
    found = torch.zeros(len(channels), SIDE, SIDE)
    for step in tqdm(range(NUM_STEPS + 1), desc="images", disable=None, leave=False):
        logits = images.logits()
        pixels = logits.sigmoid()
        with torch.no_grad():
            reached = channel_means(layer_output(model, layer, pixels))[rows, channels]
        weights = torch.where(reached < targets, weights * FADING, (weights * GROWING).clamp(max=1))
        is_better = (reached > best) | ((reached > targets) & (step > NUM_STEPS // 2))  # the later, the calmer
        best = torch.where(is_better, reached, best)
        found = torch.where(is_better[:, None, None], pixels[:, 0].detach(), found)
        if step == NUM_STEPS:
            break
        moved = transform(pixels, JITTER.draw(len(channels), generator))
        activations = channel_means(layer_output(model, layer, moved))[rows, channels] / scale
        penalties = weights * (SMOOTHNESS * total_variation(pixels) + INK * pixels.mean((1, 2, 3)))
        penalties = penalties + RANGE * ((logits.abs() - EXTREME).clamp(min=0) ** 2).mean((1, 2, 3))
        optimizer.zero_grad()
        (penalties.sum() + diversity * likeness(pixels, channels) - activations.sum()).backward()
        optimizer.step()
    return ExcitingImages(found, best)


def total_variation(pixels: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, " n"]:
    """The mean difference between neighbouring pixels."""
    return pixels.diff(dim=2).abs().mean((1, 2, 3)) + pixels.diff(dim=3).abs().mean((1, 2, 3))


def likeness(pixels: Float[Tensor, "n 1 28 28"], channels: Int64[Tensor, " n"]) -> Tensor:
    """The sum of the squared correlations between images of the same channel."""
    centred = pixels.flatten(1) - pixels.flatten(1).mean(1, keepdim=True)
    directions = torch.nn.functional.normalize(centred)
    is_pair = (channels[:, None] == channels[None]) & ~torch.eye(len(channels), dtype=torch.bool)
    return ((directions @ directions.T) ** 2 * is_pair).sum()
