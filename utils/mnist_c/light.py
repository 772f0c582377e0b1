"""Another light: all brighter, or the sides inverted."""

import torch

from utils.mnist_c.draws import Levels


def brightness(digits: Levels, _: torch.Generator) -> Levels:
    """Brighter by half of the range."""
    return digits + 0.5 * 255


def stripe(digits: Levels, _: torch.Generator) -> Levels:
    """Columns 0 to 6 and 21 to 27 inverted."""
    striped = digits.clone()
    for sides in (slice(0, 7), slice(21, 28)):
        striped[:, :, sides] = 255 - digits[:, :, sides]
    return striped
