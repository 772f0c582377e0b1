"""Digits from envelopes of the US Postal Service, by other hands and another scanner than MNIST's.

Source: LeCun et al. 1990, in the form in which Hastie, Tibshirani and Friedman publish them with The Elements of
Statistical Learning: 16 x 16 values from -1 to 1, one row a digit behind its label.
"""

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.downloads import held_file
from utils.mnist_form import to_mnist_form

FILES = {  # name and checksum
    "train": ("zip.train.gz", "206835541ea704bcfb4b6eea872678bf"),
    "test": ("zip.test.gz", "6562929fa4aa7a165f7229d5f7598658"),
}
MIRRORS = ["https://hastie.su.domains/ElemStatLearn/datasets/"]


def usps_digits(split: str) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """Images in MNIST's form and labels. Raises UserError where the file cannot be had whole."""
    import pandas as pd

    file_name, md5 = FILES[split]
    path = held_file("usps", file_name, md5, MIRRORS)
    rows = pd.read_csv(path, sep=r"\s+", header=None, dtype=np.float32).to_numpy()
    originals = ((rows[:, 1:].reshape(-1, 16, 16) + 1) * 127.5).round().astype(np.uint8)
    images = np.stack([to_mnist_form(original) for original in originals])
    return torch.from_numpy(images), torch.from_numpy(rows[:, 0].astype(np.int64))
