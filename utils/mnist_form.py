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
    return centred_by_mass(scaled(cropped(image), BOX))


def cropped(image: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "_ _"]:
    """The smallest part of the image that holds all its ink; all of an image without."""
    rows, columns = np.nonzero(image)
    if len(rows) == 0:
        return image
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def scaled(image: UInt8[np.ndarray, "height width"], side: int) -> UInt8[np.ndarray, "_ _"]:
    """The image with a longer side of so many pixels, anti-aliased."""
    height, width = (max(1, round(length * side / max(image.shape))) for length in image.shape)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def centred_by_mass(digit: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """A digit of at most 28 x 28 with its centre of mass in the middle, as far as it stays inside."""
    digit = cropped(digit)
    centre = ndimage.center_of_mass(digit) if digit.any() else (CENTRE, CENTRE)
    return _placed(digit, [round(CENTRE - place) for place in centre])


def centred_by_border(digit: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """A digit of at most 28 x 28 with as much room above as below it, and left as right of it."""
    return _placed(digit, [(SIDE - side) // 2 for side in digit.shape])


def _placed(digit: UInt8[np.ndarray, "height width"], corner: list[int]) -> UInt8[np.ndarray, "28 28"]:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (int(np.clip(place, 0, SIDE - side)) for place, side in zip(corner, digit.shape, strict=True))
    canvas[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return canvas
