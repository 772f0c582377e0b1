"""One way in for the fifteen corruptions: `corrupt(images, name, seed)`."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from utils.errors import UserError
from utils.mnist_c.blur import glass_blur, motion_blur
from utils.mnist_c.draws import BLOCK, Levels
from utils.mnist_c.edges import canny_edges
from utils.mnist_c.geometry import rotate, scale, shear, translate
from utils.mnist_c.light import brightness, stripe
from utils.mnist_c.lines import dotted_line, zigzag
from utils.mnist_c.noise import impulse_noise, shot_noise
from utils.mnist_c.weather import fog, spatter

# In the order of the paper's tables. Each takes at most a block of digits.
CORRUPTIONS: dict[str, Callable[[Levels, torch.Generator], Levels]] = {
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "shear": shear,
    "scale": scale,
    "rotate": rotate,
    "brightness": brightness,
    "translate": translate,
    "stripe": stripe,
    "fog": fog,
    "spatter": spatter,
    "dotted_line": dotted_line,
    "zigzag": zigzag,
    "canny_edges": canny_edges,
}


def corrupt(images: UInt8[Tensor, "n 28 28"], name: str, seed: int) -> UInt8[Tensor, "n 28 28"]:
    """The digits under this corruption, on their device.

    What happens to a digit is decided by the seed, the name and the digit's place alone, however many digits follow.
    All devices have the same draws, but may round otherwise here and there. Raises UserError for an unknown name.
    """
    check_name(name)
    if not len(images):
        return images.clone()
    blocks = [
        CORRUPTIONS[name](block.float(), _generator(seed, name, number)).round().clamp(0, 255).byte()
        for number, block in enumerate(images.split(BLOCK))
    ]
    return torch.cat(blocks)


def check_name(name: str) -> None:
    """Raises UserError where this is none of the corruptions."""
    if name not in CORRUPTIONS:
        raise UserError(f"unknown corruption '{name}': expected one of {', '.join(CORRUPTIONS)}")


def _generator(seed: int, name: str, block: int) -> torch.Generator:
    """Nearby arguments give unrelated numbers, as in utils/randomness.py."""
    sequence = np.random.SeedSequence([seed, block, *name.encode()])
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
