"""The noun of all data: a named split of a data set."""

import random
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.errors import UserError

DIGIT_NAMES = tuple("0123456789")


@dataclass(frozen=True)
class ImageSet:
    """Digits bright on dark, as they lie in the files, with the class of each and the names of the classes.

    They lie on the CPU unless they were moved.
    """

    name: str
    images: UInt8[Tensor, "n 28 28"]
    labels: Int64[Tensor, " n"]
    class_names: tuple[str, ...] = DIGIT_NAMES

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "ImageSet":
        """The same digits on this device; those that lie there already are not copied."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def chosen_index(self, index: int | None) -> int:
        """The index, from 0, or a random one for None. Raises UserError where there is no such digit."""
        if index is None:
            return random.randrange(len(self))
        if not 0 <= index < len(self):
            raise UserError(f"ID {index}: {self.name} has {len(self):,} digits; expected 0 to {len(self) - 1}")
        return index

    def subset(self, indices: Int64[Tensor, " m"], name: str) -> "ImageSet":
        """The digits at these indices, in this order, under another name."""
        return ImageSet(name, self.images[indices], self.labels[indices], self.class_names)
