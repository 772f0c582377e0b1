"""Stratified splits: the same share of every class on both sides, no digit on both."""

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.image_set import ImageSet

SPLIT_SEED = 0  # the same for every run, so that all runs are judged on the same validation digits


def stratified_split(
    image_set: ImageSet, held_out: float, names: tuple[str, str], seed: int = SPLIT_SEED, advice: str = ""
) -> tuple[ImageSet, ImageSet]:
    """The digits that are kept and those that are held out, each in the set's order: disjoint, together all of them.

    `held_out` below 1 is a share, from 1 on a count. `names` are those of the two parts.

    Raises UserError, with the advice, where a side would hold fewer digits than there are classes.
    """
    count = round(held_out * len(image_set)) if held_out < 1 else int(held_out)
    parts = _stratified_indices(image_set, len(image_set) - count, seed)
    if parts is None:
        raise UserError(
            f"cannot hold {count:,} digits out of the {len(image_set):,} of {image_set.name}: "
            f"expected at least one of each class on either side, and two of each class in all.\n{advice}".rstrip()
        )
    kept, held = parts
    return image_set.subset(kept, names[0]), image_set.subset(held, names[1])


def stratified_sample(image_set: ImageSet, size: float, seed: int = SPLIT_SEED) -> ImageSet:
    """So many of the digits, in the set's order: a count, or up to 1 a share.

    Raises UserError where there are not so many, or fewer than there are classes would be used or left.
    """
    count = round(size * len(image_set)) if size <= 1 else int(size)
    if count == len(image_set):
        return image_set
    parts = _stratified_indices(image_set, count, seed)
    if parts is None:
        raise UserError(
            f"cannot train on {count:,} of the {len(image_set):,} digits of {image_set.name}: "
            "expected at least one of each class, and one of each left over.\n"
            "Choose another --train-size (a count, or a share; 1 for all)."
        )
    return image_set.subset(parts[0], image_set.name)


def _stratified_indices(image_set: ImageSet, count: int, seed: int) -> tuple[Tensor, Tensor] | None:
    """Indices of `count` digits and of the others, both rising; None where the classes do not allow it."""
    from sklearn.model_selection import train_test_split  # takes most of a second to import

    labels = image_set.labels.numpy()
    sizes = {"train_size": count, "test_size": len(labels) - count}
    try:
        parts = train_test_split(np.arange(len(labels)), **sizes, stratify=labels, random_state=seed)
    except ValueError:
        return None
    first, second = (torch.from_numpy(np.sort(indices)) for indices in parts)
    return first, second
