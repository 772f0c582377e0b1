"""Brings a digit of any size to the form of MNIST, as LeCun et al. (1998, section III.A) describe it."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy import ndimage

BOX = 20  # the digit's longer side after scaling, pixels
SIDE = 28  # the side of an MNIST image, pixels
CENTRE = 14  # the pixel, counted from 0, that MNIST's centres of mass lie in: `mnist inspect` measures it


def to_mnist_form(image: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """The digit, bright on dark, scaled into a 20 x 20 box with its aspect kept and centred by its mass in 28 x 28.

    The centre of mass lies within half a pixel of the centre of pixel (14, 14), unless the digit would leave the image.
    An image without ink stays empty.
    """
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    rows, columns = np.nonzero(image)
    if len(rows) == 0:
        return canvas
    digit = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    scaled = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC))
    centre_row, centre_column = ndimage.center_of_mass(scaled)
    top = int(np.clip(round(CENTRE - centre_row), 0, SIDE - height))
    left = int(np.clip(round(CENTRE - centre_column), 0, SIDE - width))
    canvas[top : top + height, left : left + width] = scaled
    return canvas
