"""`ImageSet`, one split of a data set, and stratified splits: the same fraction of every class in both parts, at random
or so that no writer is in both."""

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from utils.data.writers import held_out_writers
from utils.errors import UserError

DIGIT_NAMES = tuple("0123456789")
SPLIT_SEED = 0  # the same for all runs, so that all are validated on the same images


@dataclass(frozen=True)
class ImageSet:
    """Images, bright on dark, with labels and class names. On the CPU unless moved.

    Raises UserError for images and labels of another type or shape, and for labels that have no class name.
    """

    name: str
    images: Tensor
    """uint8 (n, 28, 28)."""
    labels: Tensor
    """int64 (n,)."""
    class_names: tuple[str, ...] = DIGIT_NAMES
    writers: Int64[Tensor, " n"] | None = None
    """The id of the writer of each image, if known; always on the CPU."""

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
            raise UserError(
                f"{self.name}: {images.dtype} images of shape {tuple(images.shape)}, expected uint8 (n, 28, 28).\n"
                "Convert pixels in [0, 1] with (images * 255).round().byte()."
            )
        if labels.dtype != torch.int64 or labels.shape != (len(images),):
            raise UserError(
                f"{self.name}: {labels.dtype} labels of shape {tuple(labels.shape)}, expected int64 "
                f"({len(images)},): one label per image"
            )
        if len(labels) and not (labels.min() >= 0 and labels.max() < self.num_classes):
            raise UserError(
                f"{self.name}: labels from {labels.min()} to {labels.max()}, expected 0 to {self.num_classes - 1}: "
                f"it has {self.num_classes} class names"
            )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

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
        writers = None if self.writers is None else self.writers[indices.cpu()]
        return ImageSet(name, self.images[indices], self.labels[indices], self.class_names, writers)


def stratified_split(
    image_set: ImageSet, held_out: float, names: tuple[str, str], seed: int = SPLIT_SEED, advice: str = ""
) -> tuple[ImageSet, ImageSet]:
    """The remaining and the held-out images: disjoint, complete, and each in the order of the set.

    `held_out` is a fraction if below 1, else a count. `names` are the names of the two parts. Raises UserError, with
    the advice, if a part would hold fewer images than there are classes.
    """
    count = _held_out_count(image_set, held_out)
    parts = _stratified_indices(image_set, len(image_set) - count, seed)
    if parts is None:
        raise _cannot_hold_out(image_set, count, advice)
    remaining, held = parts
    return image_set.subset(remaining, names[0]), image_set.subset(held, names[1])


def writer_split(
    image_set: ImageSet, held_out: float, names: tuple[str, str], seed: int = SPLIT_SEED, advice: str = ""
) -> tuple[ImageSet, ImageSet]:
    """The images of some writers are held out, so that no writer is in both parts; otherwise as `stratified_split`.

    As many images are held out as whole writers allow, and the classes are as balanced as they allow: of MNIST's 60,000
    digits exactly 5,000. Raises UserError if the writers are unknown, or as `stratified_split`.
    """
    if image_set.writers is None:
        raise UserError(f"the writers of {image_set.name} are unknown: expected validation=random")
    count = _held_out_count(image_set, held_out)
    if 0 < count < len(image_set):
        held = torch.from_numpy(held_out_writers(image_set.writers.numpy(), image_set.labels.numpy(), count, seed))
        classes = set(image_set.labels.tolist())
        if all(set(image_set.labels[part].tolist()) == classes for part in (held, ~held)):
            parts = (mask.nonzero().flatten() for mask in (~held, held))
            remaining, validation = (image_set.subset(part, name) for part, name in zip(parts, names, strict=True))
            return remaining, validation
    raise _cannot_hold_out(image_set, count, f"{advice}\nOr choose --validation random.")


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


def _held_out_count(image_set: ImageSet, held_out: float) -> int:
    return round(held_out * len(image_set)) if held_out < 1 else int(held_out)


def _cannot_hold_out(image_set: ImageSet, count: int, advice: str) -> UserError:
    return UserError(
        f"cannot hold out {count:,} of the {len(image_set):,} images of {image_set.name}: "
        f"expected at least one of each class in both parts.\n{advice}".rstrip()
    )


def _stratified_indices(image_set: ImageSet, count: int, seed: int) -> tuple[Tensor, Tensor] | None:
    """Ascending indices of `count` images and of the others. None if a part would miss a class."""
    from sklearn.model_selection import train_test_split  # takes half a second to import

    labels = image_set.labels.numpy()
    sizes = {"train_size": count, "test_size": len(labels) - count}
    try:
        parts = train_test_split(np.arange(len(labels)), **sizes, stratify=labels, random_state=seed)
    except ValueError:
        return None
    first, second = (torch.from_numpy(np.sort(indices)) for indices in parts)
    return first, second
