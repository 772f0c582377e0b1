"""Random augmentation of whole batches on the device: affine maps, elastic deformation, the generic transformations,
random erasing, and mixtures of images."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from utils.data.generic_transformations import SIDE, log_uniform, transform_some, uniform
from utils.recipe import Recipe, Transformation

HALF_SIDE = SIDE / 2  # pixels
ELASTIC_SIGMA = 4.0  # pixels: width of the Gaussian that smooths an elastic deformation
ERASED_AREAS = (0.02, 0.2)  # of the image
ERASED_RATIO = 0.3  # smallest ratio of the sides of an erased rectangle

Images = Float[Tensor, "batch 1 28 28"]
Maps = Float[Tensor, "batch 2 3"]


@dataclass(frozen=True)
class RandomAffine:
    """Rotates, shears, scales and shifts each image by its own random amounts, uniform between minus and plus these
    limits."""

    rotation_degrees: float = 0.0
    translation_pixels: float = 0.0
    scale_fraction: float = 0.0
    shear_degrees: float = 0.0

    @property
    def is_identity(self) -> bool:
        return not (self.rotation_degrees or self.translation_pixels or self.scale_fraction or self.shear_degrees)

    def draw(self, count: int, generator: torch.Generator) -> Float[Tensor, "count 2 3"]:
        """One random map per image, on the generator's device.

        A map takes output coordinates to input coordinates, so it is the inverse of what the image undergoes. Both
        coordinates run from -1 to 1 over the image.
        """
        draws = torch.rand(5, count, generator=generator, device=generator.device) * 2 - 1  # uniform in [-1, 1)
        angle = draws[0] * math.radians(self.rotation_degrees)
        slant = torch.tan(draws[1] * math.radians(self.shear_degrees))
        shrink = 1 / (1 + draws[2] * self.scale_fraction)
        move_x, move_y = draws[3:5] * (self.translation_pixels / HALF_SIDE)
        cos, sin = torch.cos(angle) * shrink, torch.sin(angle) * shrink
        return torch.stack([cos, cos * slant - sin, move_x, sin, sin * slant + cos, move_y], dim=1).view(-1, 2, 3)


@dataclass(frozen=True)
class Augmentation:
    """All that a recipe does to the training images. An image's result depends on no other image of its batch."""

    affine: RandomAffine
    elastic_pixels: float
    transformations: tuple[Transformation, ...]
    probability: float
    """Of each transformation, for each image."""
    erasing_probability: float

    @staticmethod
    def of(recipe: Recipe) -> "Augmentation":
        return Augmentation(
            RandomAffine(
                recipe.rotation_degrees, recipe.translation_pixels, recipe.scale_fraction, recipe.shear_degrees
            ),
            recipe.elastic_pixels,
            recipe.transformations,
            recipe.generic_probability,
            recipe.erasing_probability,
        )

    @property
    def is_identity(self) -> bool:
        return self.affine.is_identity and not self.draws_per_batch

    @property
    def draws_per_batch(self) -> bool:
        """Whether `apply` draws random numbers. Otherwise all are in the maps."""
        return bool(self.elastic_pixels or self.transformations or self.erasing_probability)

    def draw_maps(self, count: int, generator: torch.Generator) -> Float[Tensor, "count 2 3"]:
        """The affine map of each image, see `RandomAffine.draw`."""
        return self.affine.draw(count, generator)

    def apply(self, images: Images, maps: Maps, generator: torch.Generator) -> Images:
        """The images after `move` and `change`. Pixels stay in [0, 1]. The generator and the images are on the same
        device."""
        return self.change(self.move(images, maps, generator), generator)

    def move(self, images: Images, maps: Maps, generator: torch.Generator) -> Images:
        """The images after their maps together with an elastic deformation, by one interpolation."""
        if self.elastic_pixels:
            return transform(images, maps, elastic_shifts(len(images), self.elastic_pixels, generator))
        return images if self.affine.is_identity else transform(images, maps)

    def change(self, images: Images, generator: torch.Generator) -> Images:
        """The images after the generic transformations and random erasing."""
        if self.transformations:
            images = transform_some(images, self.transformations, self.probability, generator)
        if self.erasing_probability:
            images = erase_some(images, self.erasing_probability, generator)
        return images

    @property
    def parts(self) -> dict[str, "Augmentation"]:
        """Each kind of change by itself and of every image, by name, for pictures."""
        nothing = Augmentation(RandomAffine(), 0.0, (), 0.0, 0.0)
        parts = {} if self.affine.is_identity else {"affine": replace(nothing, affine=self.affine)}
        if self.elastic_pixels:
            parts["elastic"] = replace(nothing, elastic_pixels=self.elastic_pixels)
        parts |= {name: replace(nothing, transformations=(name,), probability=1.0) for name in self.transformations}
        return parts | ({"erasing": replace(nothing, erasing_probability=1.0)} if self.erasing_probability else {})

    def example(self, images: UInt8[Tensor, "n 28 28"], seed: int) -> UInt8[Tensor, "n 28 28"]:
        """The images after the augmentation with random numbers of this seed, for pictures."""
        generator = torch.Generator(images.device).manual_seed(seed)
        maps = self.draw_maps(len(images), generator)
        return (self.apply(images.unsqueeze(1) / 255, maps, generator) * 255).round().byte().squeeze(1)


def transform(images: Images, maps: Maps, shifts: Float[Tensor, "batch 28 28 2"] | None = None) -> Images:
    """The images after their maps: bilinear interpolation, 0 outside the image. `shifts` move the position from which
    each pixel is taken, along x and y, where the image spans -1 to 1."""
    # One matrix product for the batch: torch's affine_grid takes seven times as long for the same grid.
    grid = (maps.view(-1, 3) @ _pixel_coordinates(images.device)).view(-1, 2, SIDE, SIDE).permute(0, 2, 3, 1)
    if shifts is not None:
        grid = grid + shifts
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def elastic_shifts(count: int, max_pixels: float, generator: torch.Generator) -> Float[Tensor, "count 28 28 2"]:
    """Shifts for `transform`: Gaussian noise, smoothed by a Gaussian of 4 pixels (Simard et al. 2003).

    The root mean square of the shifts along each axis is uniform between 0 and `max_pixels` for each image. Simard's
    values, 4 and 34 pixels, give 1.4.
    """
    smoothing = _smoothing(generator.device)
    num_knots = smoothing.shape[1]
    noise = torch.randn(2, count, num_knots, num_knots, generator=generator, device=generator.device)
    size = torch.rand(count, 1, 1, generator=generator, device=generator.device) * (max_pixels / HALF_SIDE)
    return (smoothing @ (noise * size) @ smoothing.T).permute(1, 2, 3, 0)


def erase_some(images: Images, probability: float, generator: torch.Generator) -> Images:
    """Erases a rectangle of each image with this probability (Zhong et al. 2020, arXiv 1708.04896): 2 to 20 % of the
    area, filled with black in half of the images and with a random grey in the others."""
    area = uniform(images, generator, *ERASED_AREAS) * SIDE**2
    ratio = log_uniform(images, generator, ERASED_RATIO, 1 / ERASED_RATIO)
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    places = torch.arange(SIDE, device=images.device) + 0.5
    top, left = ((SIDE - side) * uniform(images, generator, 0, 1) for side in (height, width))
    rows, columns = places.view(1, 1, SIDE, 1), places.view(1, 1, 1, SIDE)
    level = uniform(images, generator, -1, 1).clamp_(min=0)
    is_erased = uniform(images, generator, 0, 1) < probability
    is_row = (rows > top) & (rows < top + height) & is_erased
    return torch.where(is_row & (columns > left) & (columns < left + width), level, images)


# Mixtures of two images, for losses that weight the labels of both.

Mixture = tuple[Images, Int64[Tensor, " batch"], Float[Tensor, ""]]


def mixup(images: Images, generator: torch.Generator, alpha: float) -> Mixture:
    """Mean of each image and another one with weights k and 1 - k, where k ~ Beta(alpha, alpha) for the whole batch
    (Zhang et al. 2018, arXiv 1710.09412).

    Returns the mixtures, the index of each image's partner, and k, the weight of the image's own label.
    """
    partners, kept = _partners(images, generator, alpha)
    return torch.lerp(images.index_select(0, partners), images, kept), partners, kept


def cutmix(images: Images, generator: torch.Generator, alpha: float) -> Mixture:
    """Each image with a rectangle of another one, at one random place for the whole batch (Yun et al. 2019,
    arXiv 1905.04899). The rectangle has the image's proportions and, unless the border cuts it, the share 1 - k of the
    area, where k ~ Beta(alpha, alpha).

    Returns the mixtures, the index of each image's partner, and the share of the image that is its own.
    """
    partners, kept = _partners(images, generator, alpha)
    half_length = (1 - kept).sqrt() * HALF_SIDE
    centres = torch.rand(2, 1, generator=generator, device=generator.device) * SIDE
    places = torch.arange(SIDE, device=images.device) + 0.5
    rows, columns = (places - centres).abs() < half_length
    is_other = rows[:, None] & columns
    return torch.where(is_other, images.index_select(0, partners), images), partners, 1 - is_other.float().mean()


def _partners(
    images: Images, generator: torch.Generator, alpha: float
) -> tuple[Int64[Tensor, " batch"], Float[Tensor, ""]]:
    """A random permutation of the batch, and a draw of Beta(alpha, alpha)."""
    partners = torch.randperm(len(images), generator=generator, device=generator.device)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    kept = np.random.default_rng(seed).beta(alpha, alpha)  # torch's Beta takes no generator
    return partners, torch.tensor(kept, dtype=torch.float32, device=images.device)


@functools.cache
def _pixel_coordinates(device: torch.device) -> Float[Tensor, "3 784"]:
    """x, y and 1 for the centre of each pixel, row by row; the image spans -1 to 1."""
    centres = (torch.arange(SIDE, device=device) + 0.5) / HALF_SIDE - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x.flatten(), y.flatten(), torch.ones(SIDE**2, device=device)])


@functools.cache
def _smoothing(device: torch.device) -> Float[Tensor, "28 knots"]:
    """Weights with which noise on a lattice of knots becomes a smooth function along an axis with variance 1 at every
    pixel. Knots are a sigma apart, which is as smooth as noise in every pixel, and reach two sigma beyond the image."""
    pixels = torch.arange(SIDE, device=device) + 0.5
    knots = torch.arange(-2 * ELASTIC_SIGMA, SIDE + 2 * ELASTIC_SIGMA + 1, ELASTIC_SIGMA, device=device)
    return F.normalize(torch.exp(-0.5 * ((pixels[:, None] - knots) / ELASTIC_SIGMA) ** 2), dim=1)
