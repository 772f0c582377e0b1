"""A digit in any picture, photographed, scanned or drawn, brought to MNIST's form: the one path for all of them.

The steps follow how MNIST was made (LeCun et al. 1998, section III.A), after those that a photograph needs first.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold, threshold_otsu
from skimage.morphology import skeletonize

from utils.errors import UserError
from utils.mnist_form import BOX, SIDE, centred_by_border, centred_by_mass, scaled
from utils.mnist_form import cropped as cropped_to_ink
from utils.pictures import read_picture

Grey = Float[np.ndarray, "_ _"]  # height, width
FINE = 10  # pixels of the working picture a pixel of MNIST
USUAL_WIDTHS = (2.2, 3.6)  # of MNIST's strokes, pixels: nine tenths of them lie between 1.8 and 4.0
COARSE_SIDE = 40  # pixels in which light and dark paper are told apart
LEAST_CONTRAST = 0.06  # of the brightest ink with its surroundings; paper has less
SPECK = 0.04  # a stroke smaller than this share of the largest is dirt
BAND = 0.15  # of the picture's side: the frame in which the table shows beside the paper
SPAN = 0.6  # the share of a side that the table touches at least


@dataclass(frozen=True)
class PreparedDigit:
    """A digit in MNIST's form and, step by step, how it became so."""

    stages: dict[str, Grey]
    """What each step made of the picture: ink bright on dark from `polarity` on."""
    digit: UInt8[np.ndarray, "28 28"]


def read_digit(file: Path | bytes) -> UInt8[np.ndarray, "28 28"]:
    """The digit in a picture file, in MNIST's form. Raises UserError for no picture, and for one without a stroke."""
    return prepare(read_picture(file)).digit


def prepare(grey: Grey, without: Collection[str] = ()) -> PreparedDigit:
    """The digit in a grey picture, 0 black to 1 white; `without` names steps to leave out, to see what they are for.

    Raises UserError where the background is evened out and no stroke stands out from it.
    """
    stages = {"grey": grey}
    for name, step in STEPS.items():
        if name not in without:
            grey = step(grey)
        elif name == CROP:
            grey = whole(grey)
        stages[name] = grey
    image = (grey * 255).round().clip(0, 255).astype(np.uint8)
    small = scaled(image, SIDE) if CROP in without else scaled(cropped_to_ink(image), BOX)
    return PreparedDigit(stages, centred_by_border(small) if CENTRE in without else centred_by_mass(small))


def with_bright_ink(grey: Grey) -> Grey:
    """Bright on dark: ink is what differs most from the median of its surroundings, which is paper, dark or bright."""
    coarse = max(1, max(grey.shape) // COARSE_SIDE)
    small = ndimage.uniform_filter(grey, coarse)[coarse // 2 :: coarse, coarse // 2 :: coarse]
    above = small - ndimage.median_filter(small, size=max(3, max(small.shape) // 3 | 1), mode="nearest")
    rows, columns = (round(BAND * side) for side in small.shape)
    inner = above[rows : small.shape[0] - rows, columns : small.shape[1] - columns]
    return grey if (inner * np.abs(inner)).sum() > 0 else 1 - grey


def without_background(ink: Grey) -> Grey:
    """The ink's brightness above the paper's, which light and shadow may change from place to place.

    The paper is what a grey-scale opening leaves: all that is wider than a stroke. Raises UserError where nothing else
    is there.
    """
    calm = ndimage.median_filter(ink, 3) if min(ink.shape) > 100 else ink  # the noise of a camera; not thin strokes
    above = np.clip(calm - ndimage.grey_opening(calm, size=_wider_than_strokes(ink), mode="nearest"), 0, None)
    if above.max() < LEAST_CONTRAST:
        raise UserError("there is no stroke in this picture: nothing stands out from the paper")
    return above


def _wider_than_strokes(picture: Grey) -> int:
    """A width in pixels, odd: no stroke is as wide as a quarter of its picture."""
    return max(3, max(picture.shape) // 4 | 1)


def without_faint(ink: Grey) -> Grey:
    """Strokes from 0 to 1, their edges at 0.5, and nothing between them: Otsu's threshold tells ink from paper, and ink
    half as strong belongs to a stroke that it continues (Canny's hysteresis)."""
    strong = max(threshold_otsu(ink), LEAST_CONTRAST)
    is_ink = apply_hysteresis_threshold(ink, strong / 2, strong)
    near = ndimage.binary_dilation(is_ink)
    return np.where(near, np.clip(ink / strong, 0, 1), 0).astype(np.float32)


def main_strokes(ink: Grey) -> Grey:
    """Without specks, and without what runs along the border, such as the table beside the paper."""
    parts, count = ndimage.label(ink > 0.5, structure=np.ones((3, 3)))
    if not count:
        return ink
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(ink > 0.5, parts, numbers)
    is_edge = _runs_along_the_border(parts, areas)
    if not is_edge.all():
        areas[is_edge] = 0
    kept = np.isin(parts, numbers[areas >= SPECK * areas.max()])
    return np.where(ndimage.binary_dilation(kept), ink, 0).astype(np.float32)


def _runs_along_the_border(
    parts: Int[np.ndarray, "height width"], areas: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which of the parts 1 to n touch most of a side and lie mostly in the picture's frame."""
    rows, columns = (round(BAND * side) for side in parts.shape)
    count = len(areas) + 1
    inner_areas = np.bincount(parts[rows:-rows, columns:-columns].ravel(), minlength=count)[1:]
    sides = (parts[0], parts[-1], parts[:, 0], parts[:, -1])
    spans = np.max([np.bincount(side, minlength=count)[1:] / len(side) for side in sides], axis=0)
    return (spans > SPAN) & (inner_areas < areas / 2)


def cropped(ink: Grey) -> Grey:
    """The smallest rectangle around the strokes, scaled so that its longer side has ten pixels a pixel of MNIST."""
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return whole(ink)
    digit = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _resized(np.pad(digit, 1), FINE * BOX / max(digit.shape))


def whole(ink: Grey) -> Grey:
    """The picture as it is in place of its strokes alone: all of it becomes the 28 x 28."""
    return _resized(ink, FINE * SIDE / max(ink.shape))


def _resized(ink: Grey, scale: float) -> Grey:
    return np.clip(ndimage.zoom(ink, [max(scale, 1 / side) for side in ink.shape], order=1), 0, 1)


def with_usual_stroke(ink: Grey) -> Grey:
    """Strokes as wide as MNIST's usually are: thinner ones grow, thicker ones shrink, by the distance to their edge."""
    is_ink: Bool[np.ndarray, "height width"] = ink > 0.5
    width = is_ink.sum() / max(1, skeletonize(is_ink).sum()) / FINE  # pixels of MNIST
    change = (np.clip(width, *USUAL_WIDTHS) - width) / 2 * FINE
    padded = np.pad(is_ink, max(0, round(change)) + 1)
    outside = ndimage.distance_transform_edt(~padded) - ndimage.distance_transform_edt(padded)
    strokes = np.clip(change + 0.5 - outside, 0, 1).astype(np.float32)
    return strokes if strokes.max() == 1 else ink


CROP, CENTRE = "crop", "centre"
STEPS: dict[str, Callable[[Grey], Grey]] = {
    "polarity": with_bright_ink,
    "background": without_background,
    "threshold": without_faint,
    "main strokes": main_strokes,
    CROP: cropped,
    "stroke": with_usual_stroke,
}
STEP_NAMES = (*STEPS, CENTRE)  # the last, by mass, works on the 28 x 28
