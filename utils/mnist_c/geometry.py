"""Affine maps about the middle of the digit, bilinear, black outside. What is random is the sign alone."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from utils.augmentation import HALF_SIDE, transform
from utils.mnist_c.draws import Levels, sign

SHEAR = 0.4  # radians
ROTATION = 0.4  # radians
SIZE = 0.7  # of the original
TRANSLATION = 3  # pixels


def shear(digits: Levels, generator: torch.Generator) -> Levels:
    """Slanted by 0.4 radians either way: x from x - sin(s) y, y from cos(s) y, as scikit-image sheared until 0.18."""
    signs = sign(digits, generator).float()
    return _mapped(digits, _maps(digits, 1.0, -math.sin(SHEAR) * signs, 0.0, math.cos(SHEAR)))


def scale(digits: Levels, _: torch.Generator) -> Levels:
    """Shrunk to 70 %."""
    return _mapped(digits, _maps(digits, 1 / SIZE, 0.0, 0.0, 1 / SIZE))


def rotate(digits: Levels, generator: torch.Generator) -> Levels:
    """Turned by 0.4 radians either way."""
    signs = sign(digits, generator).float()
    sin = math.sin(ROTATION) * signs
    return _mapped(digits, _maps(digits, math.cos(ROTATION), -sin, sin, math.cos(ROTATION)))


def translate(digits: Levels, generator: torch.Generator) -> Levels:
    """Moved by 3 pixels left or right, and 3 up or down."""
    maps = _maps(digits, 1.0, 0.0, 0.0, 1.0)
    maps[:, 0, 2] = sign(digits, generator) * (TRANSLATION / HALF_SIDE)
    maps[:, 1, 2] = sign(digits, generator) * (TRANSLATION / HALF_SIDE)
    return _mapped(digits, maps)


def _maps(digits: Levels, *entries: float | Float[Tensor, " n"]) -> Float[Tensor, "n 2 3"]:
    """For each digit the matrix of these four entries, row by row, from places in the result to those in the source."""
    maps = torch.zeros(len(digits), 2, 3, device=digits.device)
    for place, entry in enumerate(entries):
        maps[:, place // 2, place % 2] = entry
    return maps


def _mapped(digits: Levels, maps: Float[Tensor, "n 2 3"]) -> Levels:
    return transform(digits.unsqueeze(1), maps).squeeze(1)
