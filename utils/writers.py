"""Who wrote MNIST's digits: QMNIST's labels (Yadav and Bottou, 2019), where this machine has them."""

import numpy as np
from jaxtyping import Int64

from utils.errors import UserError
from utils.public_sets import PUBLIC_SETS, read_public_file

NUM_MNIST_DIGITS = {"train": 60_000, "test": 10_000}  # QMNIST's first rows are MNIST's digits, in order
WRITER_COLUMN = 2


def mnist_writers() -> dict[str, Int64[np.ndarray, " n"]] | None:
    """The writer of each MNIST digit, a split a key; None where neither data/ nor MNIST_STUDY_MIRROR has the labels.

    The public mirrors are not asked: nobody waits for an extra.
    """
    try:
        return {split: _read_writers(split, count) for split, count in NUM_MNIST_DIGITS.items()}
    except UserError:
        return None


def _read_writers(split: str, count: int) -> Int64[np.ndarray, " n"]:
    _, labels_file = PUBLIC_SETS["qmnist"].files[split]
    table = read_public_file(labels_file, mirrors=[])
    return table[:count, WRITER_COLUMN].long().numpy()
