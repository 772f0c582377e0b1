"""Noise of each pixel by itself."""

import torch

from utils.mnist_c.draws import Levels, uniform

PHOTONS = 3  # of a white pixel in shot_noise
FLIPPED_SHARE = 0.17  # of the pixels in impulse_noise


def shot_noise(digits: Levels, generator: torch.Generator) -> Levels:
    """A count of photons: Poisson with mean 3 for white, three and more are white."""
    draw = uniform(digits, generator, 28, 28)
    rate = digits * (PHOTONS / 255)
    # The distribution inverted: no more than its first three steps are told apart, for the rest is clipped.
    step = torch.exp(-rate)
    reached, count = step.clone(), torch.zeros_like(digits)
    for photon in range(1, PHOTONS + 1):
        count += draw >= reached
        step = step * rate / photon
        reached += step
    return count * (255 / PHOTONS)


def impulse_noise(digits: Levels, generator: torch.Generator) -> Levels:
    """Salt and pepper in equal parts."""
    draw = uniform(digits, generator, 28, 28)
    salted = torch.where(draw < FLIPPED_SHARE, 255.0, digits)
    return torch.where(draw < FLIPPED_SHARE / 2, 0.0, salted)
