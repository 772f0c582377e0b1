"""The writers of MNIST's digits, and splits in which no writer is on both sides.

Errors cluster by writer: a network reads the other digits of a known writer better than those of a new one. A
validation set by writers of the training digits is therefore too easy, while MNIST's test set has other writers. The
ids are those of QMNIST (Yadav and Bottou 2019, https://arxiv.org/abs/1905.10498; see LICENSE-QMNIST.txt).
"""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

FILE = Path(__file__).with_name("mnist_writers.npz")
NUM_DRAWS = 1_000
FIRST_STUDENT = 2100  # NIST's writers below are Census Bureau staff, from here on high-school students


@cache
def mnist_writers(split: str) -> Int64[np.ndarray, " n"]:
    """The writer of each MNIST digit of the split `train` (n = 60,000, 539 writers) or `test` (10,000, 297)."""
    with np.load(FILE) as arrays:
        writers: Int64[np.ndarray, " n"] = arrays[split].astype(np.int64)
    writers.flags.writeable = False
    return writers


def is_student(writers: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which digits were written by high-school students; the others were written by Census Bureau staff."""
    return writers >= FIRST_STUDENT


def held_out_writers(
    writers: Int64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], count: int, seed: int
) -> Bool[np.ndarray, " n"]:
    """A mask of all digits of some writers: about `count` digits, and as near to it as possible.

    Of NUM_DRAWS random sets of writers, the one with the nearest number of digits is taken; among equals, the one whose
    classes, counted separately for students and staff, are nearest to those of the whole (smallest chi-squared). For
    5,000 of MNIST's 60,000 digits this gives exactly 5,000 digits by 44 writers.
    """
    names, index = np.unique(writers, return_inverse=True)
    cells = labels + (labels.max() + 1) * is_student(writers)
    digits: NDArray[np.int64] = np.zeros((len(names), cells.max() + 1), np.int64)
    np.add.at(digits, (index, cells), 1)
    expected = np.maximum(digits.sum(0) * count / len(labels), 1e-9)
    random = np.random.default_rng(seed)
    candidates = []
    for _ in range(NUM_DRAWS):
        order = random.permutation(len(names))
        sizes = digits[order].sum(1).cumsum()
        chosen = order[: int(np.abs(sizes - count).argmin()) + 1]
        counts = digits[chosen].sum(0)
        candidates.append((abs(int(counts.sum()) - count), float(((counts - expected) ** 2 / expected).sum()), chosen))
    best = min(candidates, key=lambda candidate: candidate[:2])[2]
    held_out: Bool[np.ndarray, " n"] = np.isin(index, best)
    return held_out
