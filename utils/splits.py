"""Stratified splits: the same share of every class on both sides, no digit on both."""

import numpy as np
import torch

from utils.errors import UserError
from utils.image_set import ImageSet

SPLIT_SEED = 0  # the same for every run, so that all runs are judged on the same validation digits


def stratified_split(
    image_set: ImageSet, held_out: float, names: tuple[str, str], seed: int = SPLIT_SEED
) -> tuple[ImageSet, ImageSet]:
    """The digits that are kept and those that are held out, each in the set's order: disjoint, together all of them.

    `held_out` below 1 is a share, from 1 on a count. `names` are those of the two parts.

    Raises UserError where a side would hold fewer digits than there are classes.
    """
    from sklearn.model_selection import train_test_split  # takes most of a second to import

    labels = image_set.labels.numpy()
    count = round(held_out * len(labels)) if held_out < 1 else int(held_out)
    try:
        kept, held = train_test_split(np.arange(len(labels)), test_size=count, stratify=labels, random_state=seed)
    except ValueError:
        raise UserError(
            f"cannot hold {count:,} digits out of the {len(labels):,} of {image_set.name}: "
            "expected at least one of each class on either side, and two of each class in all.\n"
            "Choose another --validation-size (a count, or a share below 1)."
        ) from None
    kept, held = (torch.from_numpy(np.sort(indices)) for indices in (kept, held))
    return image_set.subset(kept, names[0]), image_set.subset(held, names[1])
