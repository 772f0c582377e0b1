"""Random affine maps of whole batches on the device: one call a batch, nothing per digit in Python."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

HALF_SIDE = 14.0  # pixels; affine_grid's coordinates run from -1 to 1 over the image


@dataclass(frozen=True)
class RandomAffine:
    """Turns, slants, scales and moves each digit by its own draw, uniform up to these limits either way."""

    rotation_degrees: float = 0.0
    translation_pixels: float = 0.0
    scale_fraction: float = 0.0
    shear_degrees: float = 0.0

    @property
    def is_identity(self) -> bool:
        return not (self.rotation_degrees or self.translation_pixels or self.scale_fraction or self.shear_degrees)

    def __call__(
        self, images: Float[Tensor, "batch 1 28 28"], generator: torch.Generator
    ) -> Float[Tensor, "batch 1 28 28"]:
        """Digits after their maps, bilinear, 0 outside. The generator lives on the images' device."""
        if self.is_identity:
            return images
        draws = torch.rand(5, len(images), generator=generator, device=images.device) * 2 - 1  # uniform in [-1, 1)
        angle = draws[0] * math.radians(self.rotation_degrees)
        slant = torch.tan(draws[1] * math.radians(self.shear_degrees))
        shrink = 1 / (1 + draws[2] * self.scale_fraction)
        move = draws[3:5] * (self.translation_pixels / HALF_SIDE)
        # affine_grid maps places in the result to places in the source: the inverse of what the digit does.
        cos, sin = torch.cos(angle) * shrink, torch.sin(angle) * shrink
        row_x = torch.stack([cos, cos * slant - sin, move[0]], dim=1)
        row_y = torch.stack([sin, sin * slant + cos, move[1]], dim=1)
        grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
