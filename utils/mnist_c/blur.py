"""Blurs: frosted glass and a moving camera."""

import functools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from utils.mnist_c.draws import Levels, uniform

GLASS_SIGMA = 0.7  # pixels
GLASS_ROUNDS = 2
# Where a pixel's partner lies in the flat digit: itself, left, above, above and left. Half of the pixels are not asked,
# the others choose among these four, so it is itself five times in eight.
PARTNERS = (-1, -28, -29, 0, 0, 0, 0, 0)

MOTION_SIGMA = 3.0  # pixels
MOTION_WIDTH = 21  # pixels
MOTION_DEGREES = 45.0
REACH = 15  # pixels: furthest up or down, 20 * sin(45 degrees), rounded up


@functools.cache
def gaussian_matrix(sigma: float) -> Float[Tensor, "28 28"]:
    """A as in A @ image: the columns blurred with this sigma in pixels, cut at four of it, the edge pixels repeated."""
    radius = int(4 * sigma + 0.5)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    matrix = torch.zeros(28, 28)
    for row in range(28):
        sources = torch.arange(row - radius, row + radius + 1).clamp(0, 27)
        matrix[row].index_add_(0, sources, weights)
    return matrix


def glass_blur(digits: Levels, generator: torch.Generator) -> Levels:
    """Blurred, each pixel perhaps exchanged with a neighbour, twice over the digit, and blurred again.

    Both blurs run down the columns only: the published generator calls its blur with the columns as colours.
    """
    vertical_blur = gaussian_matrix(GLASS_SIGMA).to(digits.device)
    chosen = (uniform(digits, generator, GLASS_ROUNDS * 26 * 26) * len(PARTNERS)).long()
    offsets = torch.tensor(PARTNERS, device=digits.device)[chosen.T.contiguous()]
    # Pixel by pixel, for an exchange sees what those before it did, and all digits at once: one row a pixel.
    pixels = (vertical_blur @ digits).floor().view(-1, 784).T.contiguous()
    order = [row * 28 + column for row in range(27, 1, -1) for column in range(27, 1, -1)] * GLASS_ROUNDS
    for pixel, offset in zip(order, offsets, strict=True):
        partner = (offset + pixel).unsqueeze(0)
        own, other = pixels[pixel].clone(), pixels.gather(0, partner)
        pixels.scatter_(0, partner, own.unsqueeze(0))
        pixels[pixel] = other[0]
    return vertical_blur @ pixels.T.reshape(-1, 28, 28)


def motion_blur(digits: Levels, generator: torch.Generator) -> Levels:
    """A one-sided Gaussian along a line within 45 degrees of the horizontal, the edge pixels repeated.

    Places are rounded to pixels and levels cut to whole ones, as ImageMagick's motion blur does.
    """
    angles = (uniform(digits, generator) * 2 - 1) * math.radians(MOTION_DEGREES)
    return blurred_along(digits, angles)


def blurred_along(digits: Levels, angles: Float[Tensor, " n"]) -> Levels:
    """What `motion_blur` does, with these angles in radians; from 0 the source lies to the right, and with a positive
    angle below."""
    steps = torch.arange(MOTION_WIDTH, device=digits.device)
    weights = torch.exp(-0.5 * (steps / MOTION_SIGMA) ** 2)
    weights /= weights.sum()
    across = torch.ceil(steps * torch.cos(angles)[:, None] - 0.5).long()
    down = torch.ceil(steps * torch.sin(angles)[:, None] - 0.5).long()
    padded = F.pad(digits, (0, MOTION_WIDTH - 1, REACH, REACH), mode="replicate")
    height, width = padded.shape[1:]
    corners = torch.arange(len(digits), device=digits.device)[:, None] * (height * width) + REACH * width
    starts = corners + down * width + across
    grid = torch.arange(28, device=digits.device)
    places = (grid[:, None] * width + grid).flatten()
    blurred = torch.zeros_like(digits).view(-1, 784)
    for step in range(MOTION_WIDTH):
        blurred += weights[step] * padded.take(starts[:, step, None] + places)
    return (blurred + 1e-3).floor().view(-1, 28, 28)  # a sum of rounded products must not fall below a whole level
