"""Who wrote MNIST's digits: QMNIST's labels (Yadav and Bottou, 2019), where this machine has them."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from utils.downloads import Source
from utils.errors import UserError
from utils.idx_files import DamagedFile, read_or_fetch

NUM_MNIST_DIGITS = {"train": 60_000, "test": 10_000}  # QMNIST's first rows are MNIST's digits, in order
CLASS_COLUMN, WRITER_COLUMN = 0, 2


def mnist_writers() -> dict[str, Int64[np.ndarray, " n"]] | None:
    """The writer of each MNIST digit, a split a key; None where neither data/ nor MNIST_STUDY_MIRROR has the labels.

    The public mirrors are not asked: nobody waits for an extra.
    """
    try:
        return {split: _read_writers(split, count) for split, count in NUM_MNIST_DIGITS.items()}
    except UserError:
        return None


def _read_writers(split: str, count: int) -> Int64[np.ndarray, " n"]:
    file_name = f"qmnist-{split}-labels-idx2-int.gz"

    def source() -> Source:
        from torchvision.datasets import QMNIST  # takes a second to import

        return Source(md5=QMNIST.resources[split][1][1], urls=())

    table: Tensor = read_or_fetch("qmnist_labels", file_name, _as_table, source)
    return table[:count, WRITER_COLUMN].long().numpy()


def _as_table(values: Tensor) -> Tensor:
    if values.dtype != torch.int32 or values.ndim != 2 or values.shape[1] != 8:
        raise DamagedFile(f"it holds values of shape {tuple(values.shape)}, expected (n, 8)")
    return values
