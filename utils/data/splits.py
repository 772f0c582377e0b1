"""`ImageSet`, one split of a data set, and stratified splits: the same fraction of every class in both parts."""

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from sklearn.model_selection import train_test_split
from torch import Tensor

from utils.errors import UserError

DIGIT_NAMES = tuple("0123456789")
SPLIT_SEED = 0  # the same for all runs, so that all are validated on the same images


@dataclass(frozen=True)
class ImageSet:
    """Images, bright on dark with pixel values as stored in the files, with labels and class names. On the CPU unless
    moved."""

    name: str
    images: UInt8[Tensor, "n 28 28"]
    labels: Int64[Tensor, " n"]
    class_names: tuple[str, ...] = DIGIT_NAMES

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "ImageSet":
        """The same images on this device. Nothing is copied if they are there already."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def chosen_index(self, index: int | None) -> int:
        """The index, or a random one for None. Raises UserError if it is out of range."""
        if index is None:
            return random.randrange(len(self))
        if not 0 <= index < len(self):
            raise UserError(f"ID {index}: {self.name} has {len(self):,} digits; expected 0 to {len(self) - 1}")
        return index

    def subset(self, indices: Int64[Tensor, " m"], name: str) -> "ImageSet":
        """The images at these indices, in this order."""
        return ImageSet(name, self.images[indices], self.labels[indices], self.class_names)


def stratified_split(
    image_set: ImageSet, held_out: float, names: tuple[str, str], seed: int = SPLIT_SEED, advice: str = ""
) -> tuple[ImageSet, ImageSet]:
    """The remaining and the held-out images: disjoint, complete, and each in the order of the set.

    `held_out` is a fraction if below 1, else a count. `names` are the names of the two parts. Raises UserError, with
    the advice, if a part would hold fewer images than there are classes.
    """
    count = round(held_out * len(image_set)) if held_out < 1 else int(held_out)
    parts = _stratified_indices(image_set, len(image_set) - count, seed)
    if parts is None:
        raise UserError(
            f"cannot hold {count:,} digits out of the {len(image_set):,} of {image_set.name}: "
            f"expected at least one of each class in both parts.\n{advice}".rstrip()
        )
    remaining, held = parts
    return image_set.subset(remaining, names[0]), image_set.subset(held, names[1])


def stratified_sample(image_set: ImageSet, size: float, seed: int = SPLIT_SEED) -> ImageSet:
    """A fixed sample of the images, in the order of the set. `size` is a fraction if at most 1, else a count.

    Raises UserError if the set is too small, or if the sample or the rest would miss a class.
    """
    count = round(size * len(image_set)) if size <= 1 else int(size)
    if count == len(image_set):
        return image_set
    parts = _stratified_indices(image_set, count, seed)
    if parts is None:
        raise UserError(
            f"cannot train on {count:,} of the {len(image_set):,} digits of {image_set.name}: "
            "expected at least one of each class, in the sample and in the rest.\n"
            "Choose another --train-size (a count, or a fraction; 1 for all)."
        )
    return image_set.subset(parts[0], image_set.name)


def _stratified_indices(image_set: ImageSet, count: int, seed: int) -> tuple[Tensor, Tensor] | None:
    """Ascending indices of `count` images and of the others. None if a part would miss a class."""
    labels = image_set.labels.numpy()
    sizes = {"train_size": count, "test_size": len(labels) - count}
    try:
        parts = train_test_split(np.arange(len(labels)), **sizes, stratify=labels, random_state=seed)
    except ValueError:
        return None
    first, second = (torch.from_numpy(np.sort(indices)) for indices in parts)
    return first, second
