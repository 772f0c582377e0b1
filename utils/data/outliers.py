"""Synthetic outliers for training: images of no class, made of noise or of the images of a batch.

Outlier exposure (Hendrycks et al. 2019, arXiv 1812.04606) teaches a network what is not in its classes. Each kind says
which out-of-distribution images of the scorecard it resembles: on those, a network has seen the kind, and only the
others show what it has learned beyond. Three kinds were left out because many of them are digits: mirrored digits,
halves of two digits, and digits whose halves are exchanged.

To add a kind, add a function to OUTLIERS and its id to `OutlierKind` in utils/recipe.py.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from utils.recipe import OutlierKind

SIDE = 28
HALF = SIDE // 2
MAX_NOISE = 0.5  # highest standard deviation of noise, for pixels in [0, 1]
GRIDS = (3, 5, 8)  # points along each side of smooth noise
PATCHES = (4, 7)  # pixels
CLASS_OF_ONE = 1  # of digits: half of a 1 is a shorter 1

Images = Float[Tensor, "n 1 28 28"]
Labels = Int64[Tensor, " n"]
Outliers = Float[Tensor, "count 1 28 28"]


def synthetic_outliers(
    images: Images, labels: Labels, count: int, generator: torch.Generator, kinds: Sequence[OutlierKind]
) -> Outliers:
    """So many images of no class, in [0, 1], each of a random kind. The generator is on the images' device."""
    # All kinds are made for all places: a choice by the host would wait for the device.
    made = torch.stack([OUTLIERS[kind](images, labels, count, generator) for kind in kinds])
    kind_of_each = torch.randint(len(kinds), (count,), generator=generator, device=images.device)
    return made[kind_of_each, torch.arange(count, device=images.device)]


# Noise.


def noise(images: Images, labels: Labels, count: int, generator: torch.Generator) -> Outliers:  # noqa: ARG001
    """Gaussian noise of random strength around a random grey level. Resembles the test conditions noise and, at low
    strength, plain grey."""
    return _scaled(torch.randn(count, 1, SIDE, SIDE, generator=generator, device=images.device), generator)


def smooth_noise(images: Images, labels: Labels, count: int, generator: torch.Generator) -> Outliers:  # noqa: ARG001
    """Noise of low frequency: clouds of 3 to 8 blobs along each side. Resembles the coarse kinds of noise."""
    device = images.device
    clouds = [
        F.interpolate(
            torch.randn(count, 1, grid, grid, generator=generator, device=device), (SIDE, SIDE), mode="bilinear"
        )
        for grid in GRIDS
    ]
    choice = torch.randint(len(GRIDS), (count,), generator=generator, device=device)
    return _scaled(torch.stack(clouds)[choice, torch.arange(count, device=device)], generator)


def _scaled(values: Outliers, generator: torch.Generator) -> Outliers:
    """Standard normal values as pixels, with a random mean and standard deviation per image."""
    level, strength = torch.rand(2, len(values), 1, 1, 1, generator=generator, device=values.device)
    return (level + MAX_NOISE * strength * values).clamp(0, 1)


# Parts and mixtures of images of the batch.


def patches(images: Images, labels: Labels, count: int, generator: torch.Generator) -> Outliers:  # noqa: ARG001
    """An image with its square patches, of 4 or 7 pixels, in random order. Resembles shuffled pixels, with longer
    strokes."""
    sources = images[_random_places(images, count, generator)]
    small, large = (_shuffled_patches(sources, size, generator) for size in PATCHES)
    is_small = torch.rand(count, 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(is_small, small, large)


def _shuffled_patches(sources: Outliers, size: int, generator: torch.Generator) -> Outliers:
    count, per_side = len(sources), SIDE // size
    cut = sources.view(count, per_side, size, per_side, size).transpose(2, 3).reshape(count, per_side**2, size**2)
    order = torch.rand(count, per_side**2, generator=generator, device=sources.device).argsort(1)
    moved = cut.gather(1, order[:, :, None].expand_as(cut))
    return moved.view(count, per_side, per_side, size, size).transpose(2, 3).reshape(sources.shape)


def half(images: Images, labels: Labels, count: int, generator: torch.Generator) -> Outliers:
    """The left, right, upper or lower half of an image; the rest is black. Resembles half a digit.

    Not of a 1, whose half is a 1. Of 48 halves that were looked at, eight could still be a digit, most of them a 1.
    """
    is_allowed = (labels != CLASS_OF_ONE).expand(count, -1)
    return images[_allowed_places(is_allowed, generator)] * _half_mask(count, generator)


def overlaid(images: Images, labels: Labels, count: int, generator: torch.Generator) -> Outliers:
    """Two images of different classes, one upon the other. Resembles two digits overlaid.

    Not with a 1, which often disappears in the other digit. Of 48 that were looked at, about ten could be a digit.
    """
    is_usable = (labels != CLASS_OF_ONE).expand(count, -1)
    first = _allowed_places(is_usable, generator)
    second = _allowed_places(is_usable & (labels[first][:, None] != labels), generator)
    return torch.maximum(images[first], images[second])


def several(images: Images, labels: Labels, count: int, generator: torch.Generator) -> Outliers:  # noqa: ARG001
    """Two images side by side or one above the other, or four, each reduced. Resembles no test condition."""
    four = images[_random_places(images, 4 * count, generator)].view(4, count, 1, SIDE, SIDE)
    a, b, c, d = F.avg_pool2d(four.flatten(0, 1), 2).view(4, count, 1, HALF, HALF)
    layouts = [
        torch.cat([*F.avg_pool2d(four[:2].flatten(0, 1), (1, 2)).split(count)], dim=3),
        torch.cat([*F.avg_pool2d(four[:2].flatten(0, 1), (2, 1)).split(count)], dim=2),
        torch.cat([torch.cat([a, b], dim=3), torch.cat([c, d], dim=3)], dim=2),
    ]
    choice = torch.randint(len(layouts), (count,), generator=generator, device=images.device)
    return torch.stack(layouts)[choice, torch.arange(count, device=images.device)]


def _half_mask(count: int, generator: torch.Generator) -> Bool[Tensor, "count 1 28 28"]:
    """True on one half of each image: left, right, upper or lower."""
    across = (torch.arange(SIDE, device=generator.device) < HALF).expand(1, SIDE, SIDE)
    masks = torch.stack([across, ~across, across.mT, ~across.mT])
    return masks[torch.randint(4, (count,), generator=generator, device=generator.device)]


def _random_places(images: Images, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
    return torch.randint(len(images), (count,), generator=generator, device=images.device)


def _allowed_places(is_allowed: Bool[Tensor, "count n"], generator: torch.Generator) -> Int64[Tensor, " count"]:
    """A random allowed place in each row; any place if none is allowed."""
    draws = torch.rand(is_allowed.shape, generator=generator, device=is_allowed.device)
    return (draws + is_allowed).argmax(1)


OUTLIERS: dict[OutlierKind, Callable[[Images, Labels, int, torch.Generator], Outliers]] = {
    "noise": noise,
    "smooth_noise": smooth_noise,
    "patches": patches,
    "half": half,
    "overlaid": overlaid,
    "several": several,
}
