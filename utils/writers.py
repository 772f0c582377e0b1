"""Who wrote MNIST's digits: QMNIST's labels (Yadav and Bottou, 2019), where this machine has them."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from utils.errors import UserError
from utils.idx_files import DamagedFile, read_or_fetch

NUM_MNIST_DIGITS = {"train": 60_000, "test": 10_000}  # QMNIST's first rows are MNIST's digits, in order
WRITER_COLUMN = 2
QMNIST_MD5 = {"train": "0058f8dd561b90ffdd0f734c6a30e5e4", "test": "5b5b05890a5e13444e108efe57b788aa"}  # torchvision's


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
    table = read_or_fetch("qmnist_labels", file_name, QMNIST_MD5[split], _as_table, mirrors=list)
    return table[:count, WRITER_COLUMN].long().numpy()


def _as_table(values: Tensor) -> Tensor:
    if values.dtype != torch.int32 or values.ndim != 2 or values.shape[1] != 8:
        raise DamagedFile(f"it holds values of shape {tuple(values.shape)}, expected (n, 8)")
    return values
