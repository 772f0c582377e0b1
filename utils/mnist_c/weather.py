"""Weather: fog, and drops on the lens."""

import torch
from jaxtyping import Float
from torch import Tensor

from utils.mnist_c.blur import gaussian_matrix
from utils.mnist_c.draws import Levels, normal

FOG = 3.0  # the thickest fog, where white is 1
PLASMA_SIDE = 256  # pixels
FIRST_WIBBLE = 100.0
WIBBLE_DECAY = 1.4  # from each scale to the next finer
PLASMAS_AT_ONCE = 20  # maps in the cache, not a block of 260 MB

LIQUID_MEAN, LIQUID_STD = 0.65, 0.3
LIQUID_SIGMA, DROP_SIGMA = 1.0, 1.5  # pixels
LEAST_DROP = 0.8
DROP_LEVEL = 63.0


def fog(digits: Levels, generator: torch.Generator) -> Levels:
    """A corner of a plasma fractal over the digit, darkened so that the brightest pixel stays below white's level."""
    corners = [plasma(PLASMAS_AT_ONCE, generator)[:, :28, :28].clone() for _ in digits.split(PLASMAS_AT_ONCE)]
    thickness = FOG * 255 * torch.cat(corners)[: len(digits)].to(digits.device)
    brightest = digits.amax(dim=(1, 2), keepdim=True)
    return (digits + thickness) * (brightest / (brightest + FOG * 255))


def plasma(count: int, generator: torch.Generator) -> Float[Tensor, "count 256 256"]:
    """Fractals from 0 to 1 that fit together at their borders, by the diamond-square algorithm.

    At each scale the middle of every square, then that of every edge, becomes the mean of its four neighbours and
    something random (Fournier, Fussell and Carpenter 1982, "Computer rendering of stochastic models").
    """
    heights = torch.zeros(count, PLASMA_SIDE, PLASMA_SIDE)
    step, wibble = PLASMA_SIDE, FIRST_WIBBLE
    while step > 1:
        half = step // 2
        amplitude = wibble**2  # squared, as the published generator has it
        corners = heights[:, ::step, ::step]
        above_and_below = corners + corners.roll(-1, 1)
        middles = _wibbled((above_and_below + above_and_below.roll(-1, 2)) / 4, amplitude, generator)
        across = (corners + corners.roll(-1, 2) + middles + middles.roll(1, 1)) / 4
        down = (above_and_below + middles + middles.roll(1, 2)) / 4
        heights[:, half::step, half::step] = middles
        heights[:, ::step, half::step] = _wibbled(across, amplitude, generator)
        heights[:, half::step, ::step] = _wibbled(down, amplitude, generator)
        step, wibble = half, wibble / WIBBLE_DECAY
    lowest, highest = heights.amin(dim=(1, 2), keepdim=True), heights.amax(dim=(1, 2), keepdim=True)
    return (heights - lowest) / (highest - lowest)


def _wibbled(
    means: Float[Tensor, "count rows columns"], amplitude: float, generator: torch.Generator
) -> Float[Tensor, "count rows columns"]:
    return torch.empty_like(means).uniform_(-amplitude, amplitude, generator=generator).add_(means)


def spatter(digits: Levels, generator: torch.Generator) -> Levels:
    """Dark grey drops: where smoothed noise is high and enough of its surroundings too."""
    liquid = LIQUID_MEAN + LIQUID_STD * normal(digits, generator, 28, 28)
    wet = (_blurred(liquid, LIQUID_SIGMA) > LIQUID_MEAN).float()
    drops = _blurred(wet, DROP_SIGMA)
    drops = torch.where(drops < LEAST_DROP, 0.0, drops)
    return digits * (1 - drops) + DROP_LEVEL * drops


def _blurred(images: Float[Tensor, "n 28 28"], sigma: float) -> Float[Tensor, "n 28 28"]:
    matrix = gaussian_matrix(sigma).to(images.device)
    return matrix @ images @ matrix.T
