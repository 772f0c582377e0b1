"""The 1,797 digits that scikit-learn carries (Alpaydin and Kaynak, UCI, 1998), for machines without MNIST."""

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.mnist_form import to_mnist_form


def bundled_digits() -> tuple[UInt8[Tensor, "1797 28 28"], Int64[Tensor, " 1797"]]:
    """Images in MNIST's form and their labels. The originals are 8 x 8 with values from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    originals = (digits.images * (255 / 16)).round().astype(np.uint8)
    images = np.stack([to_mnist_form(original) for original in originals])
    return torch.from_numpy(images), torch.from_numpy(digits.target.astype(np.int64))
