"""Edges alone, by Canny's algorithm (1986, "A computational approach to edge detection")."""

import numpy as np
import torch

from utils.mnist_c.draws import Levels


def canny_edges(digits: Levels, _: torch.Generator) -> Levels:
    """White edges on black, by scikit-image with its own settings; digit by digit, on the CPU."""
    from skimage.feature import canny  # takes a second to import

    edges = np.stack([canny(digit) for digit in digits.cpu().double().numpy() / 255])
    return 255 * torch.from_numpy(edges.astype(np.float32)).to(digits.device)
