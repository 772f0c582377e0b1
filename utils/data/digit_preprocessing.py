"""Brings a digit to the form of MNIST (LeCun et al. 1998, section III.A): `to_mnist_form` for clean images of any size,
`read_digit` for photographs, scans and drawings.
"""

import io
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageOps
from scipy import ndimage

from utils.errors import UserError, needs_extra
from utils.files import shown
from utils.outside import read_bounded

BOX = 20  # longer side of the scaled digit, pixels
SIDE = 28  # side of an MNIST image, pixels
MASS_CENTRE = 14  # row and column of the centre of mass of MNIST's digits, from 0, as measured by `mnist inspect`


def to_mnist_form(image: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """The digit, bright on dark, scaled to fit a 20 x 20 box and centred by its mass in 28 x 28 pixels.

    The centre of mass is within half a pixel of the centre of pixel (14, 14), unless the digit would leave the image.
    An empty image stays empty.
    """
    return centred_by_mass(scaled(cropped_to_ink(image), BOX))


def cropped_to_ink(image: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "_ _"]:
    """The bounding box of the ink; an empty image as it is."""
    rows, columns = np.nonzero(image)
    if len(rows) == 0:
        return image
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def scaled(image: UInt8[np.ndarray, "height width"], side: int) -> UInt8[np.ndarray, "_ _"]:
    """The image with a longer side of `side` pixels, anti-aliased."""
    height, width = (max(1, round(length * side / max(image.shape))) for length in image.shape)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def centred_by_mass(digit: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """A digit of at most 28 x 28 pixels with its centre of mass in the middle, as far as it fits."""
    digit = cropped_to_ink(digit)
    centre = ndimage.center_of_mass(digit) if digit.any() else (MASS_CENTRE, MASS_CENTRE)
    return _placed(digit, [round(MASS_CENTRE - coordinate) for coordinate in centre])


def centred_by_border(digit: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "28 28"]:
    """A digit of at most 28 x 28 pixels with equal margins on opposite sides."""
    return _placed(digit, [(SIDE - side) // 2 for side in digit.shape])


def _placed(digit: UInt8[np.ndarray, "height width"], corner: list[int]) -> UInt8[np.ndarray, "28 28"]:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (int(np.clip(start, 0, SIDE - side)) for start, side in zip(corner, digit.shape, strict=True))
    canvas[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return canvas


# Reading picture files. Sizes are checked before memory is allocated.

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_BYTES = 2**26
MIN_SIDE = 8
MAX_PIXELS = 100_000_000
MAX_SCANS = 50  # of a progressive JPEG, which has about ten; each costs time for the whole picture
WORKING_SIDE = 400  # pixels; larger pictures are reduced to this, where a pen's stroke still has several pixels

Grey = Float[np.ndarray, "_ _"]  # height, width


def read_picture(file: Path | bytes, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> Grey:
    """The picture as grey values from 0 (black) to 1 (white), rotated by its EXIF orientation, at most 400 x 400.

    Transparent pixels become paper: white, or black if the drawing is bright. Raises UserError for a file that is
    missing, too large or not a picture in one of the formats.
    """
    name = "the picture" if isinstance(file, bytes) else shown(file)
    try:
        content = file if isinstance(file, bytes) else read_bounded(file, MAX_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large sizes, which are checked below, and about odd metadata
            picture: Image.Image = Image.open(io.BytesIO(content), formats=formats)
            if min(picture.size) < MIN_SIDE or picture.width * picture.height > max_pixels:
                raise UserError(
                    f"{name} has {picture.width:,} x {picture.height:,} pixels: "
                    f"expected at least {MIN_SIDE} per side and at most {max_pixels:,} in all"
                )
            if picture.format == "JPEG" and content.count(b"\xff\xda") > MAX_SCANS:
                raise UserError(f"{name} has more than {MAX_SCANS} scans: expected a photo as a camera saves it")
            picture.thumbnail((WORKING_SIDE, WORKING_SIDE), reducing_gap=2)  # decodes a JPEG only as finely as needed
            grey = _grey(ImageOps.exif_transpose(picture))
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{name} has far more than {max_pixels:,} pixels: expected a picture of one digit") from None
    except Exception as error:  # Pillow raises many kinds of exceptions for damaged files
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged or not a picture"
        raise UserError(f"cannot read {name}: {reason}. Expected one of {', '.join(formats)}.") from None
    if not np.isfinite(grey).all():
        raise UserError(f"{name} holds NaN or infinite values: expected a picture of one digit")
    return grey


def _grey(picture: Image.Image) -> Grey:
    if picture.mode.startswith(("I", "F")):  # 16 bits or more
        values = np.asarray(picture, dtype=np.float32)
        return (values - values.min()) / max(1.0, float(np.ptp(values)))
    grey = np.asarray(picture.convert("LA"), dtype=np.float32) / 255
    light, opacity = grey[..., 0], grey[..., 1]
    if opacity.min() == 1:
        return light
    is_bright = (light * opacity).sum() > 0.5 * opacity.sum() and opacity.mean() < 0.5
    return light * opacity + (0.0 if is_bright else 1.0) * (1 - opacity)


# From any picture of a digit to MNIST's form, in named steps.

FINE = 10  # pixels of the working picture per MNIST pixel
USUAL_WIDTHS = (2.2, 3.6)  # of MNIST's strokes, pixels; 90 % of MNIST's strokes are between 1.8 and 4.0
COARSE_SIDE = 40  # pixels of the picture in which light and dark paper are distinguished
MIN_CONTRAST = 0.06  # between the brightest ink and its surroundings; paper has less
SPECK = 0.04  # strokes smaller than this fraction of the largest are dirt
BAND = 0.15  # fraction of the side that counts as the frame, where the table beside the paper is visible
SPAN = 0.6  # minimum fraction of a side that the table touches


@dataclass(frozen=True)
class PreparedDigit:
    """A digit in MNIST's form with all intermediate results."""

    stages: dict[str, Grey]
    """The picture after each step. From `polarity` on, the ink is bright on dark."""
    digit: UInt8[np.ndarray, "28 28"]


def read_digit(file: Path | bytes) -> UInt8[np.ndarray, "28 28"]:
    """The digit in a picture file, in MNIST's form. Raises UserError if there is no picture or no stroke in it."""
    return prepare(read_picture(file)).digit


def prepare(grey: Grey, without: Collection[str] = ()) -> PreparedDigit:
    """The digit in a grey picture (0 black to 1 white). `without` names steps of `STEP_NAMES` to skip.

    Raises UserError if the background is removed and no stroke stands out from it.
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
    """Bright on dark. Ink is what differs most from the local median; the median is the paper, dark or bright."""
    coarse = max(1, max(grey.shape) // COARSE_SIDE)
    small = ndimage.uniform_filter(grey, coarse)[coarse // 2 :: coarse, coarse // 2 :: coarse]
    above = small - ndimage.median_filter(small, size=max(3, max(small.shape) // 3 | 1), mode="nearest")
    rows, columns = (round(BAND * side) for side in small.shape)
    inner = above[rows : small.shape[0] - rows, columns : small.shape[1] - columns]
    return grey if (inner * np.abs(inner)).sum() > 0 else 1 - grey


def without_background(ink: Grey) -> Grey:
    """The brightness of the ink above the paper's, which may vary with light and shadow.

    The paper is estimated by a grey-scale opening, which removes everything narrower than a quarter of the picture.
    Raises UserError if nothing stands out.
    """
    smooth = ndimage.median_filter(ink, 3) if min(ink.shape) > 100 else ink  # removes camera noise, keeps thin strokes
    width = max(3, max(ink.shape) // 4 | 1)  # odd
    above = np.clip(smooth - ndimage.grey_opening(smooth, size=width, mode="nearest"), 0, None)
    if above.max() < MIN_CONTRAST:
        raise UserError("there is no stroke in this picture: nothing stands out from the paper")
    return above


def without_faint(ink: Grey) -> Grey:
    """Strokes from 0 to 1 with edges at 0.5, and 0 between them. Otsu's threshold separates ink from paper; ink of half
    that strength counts if it continues a stroke (hysteresis, as in Canny's edge detector)."""
    with needs_extra("draw"):
        from skimage.filters import apply_hysteresis_threshold, threshold_otsu

    strong = max(threshold_otsu(ink), MIN_CONTRAST)
    is_ink = apply_hysteresis_threshold(ink, strong / 2, strong)
    near = ndimage.binary_dilation(is_ink)
    return np.where(near, np.clip(ink / strong, 0, 1), 0).astype(np.float32)


def main_strokes(ink: Grey) -> Grey:
    """Removes specks, and whatever runs along the border, such as the table beside the paper."""
    parts, count = ndimage.label(ink > 0.5, structure=np.ones((3, 3)))
    if not count:
        return ink
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(ink > 0.5, parts, numbers)
    is_edge = _runs_along_border(parts, areas)
    if not is_edge.all():
        areas[is_edge] = 0
    is_main = np.isin(parts, numbers[areas >= SPECK * areas.max()])
    return np.where(ndimage.binary_dilation(is_main), ink, 0).astype(np.float32)


def _runs_along_border(
    parts: Int[np.ndarray, "height width"], areas: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Whether each of the parts 1 to n touches most of a side and lies mostly in the frame of the picture."""
    rows, columns = (round(BAND * side) for side in parts.shape)
    count = len(areas) + 1
    inner_areas = np.bincount(parts[rows:-rows, columns:-columns].ravel(), minlength=count)[1:]
    sides = (parts[0], parts[-1], parts[:, 0], parts[:, -1])
    spans = np.max([np.bincount(side, minlength=count)[1:] / len(side) for side in sides], axis=0)
    return (spans > SPAN) & (inner_areas < areas / 2)


def cropped(ink: Grey) -> Grey:
    """The bounding box of the strokes, scaled so that its longer side has ten pixels per MNIST pixel."""
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return whole(ink)
    digit = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _resized(np.pad(digit, 1), FINE * BOX / max(digit.shape))


def whole(ink: Grey) -> Grey:
    """The whole picture, scaled to become 28 x 28: used if the crop is skipped."""
    return _resized(ink, FINE * SIDE / max(ink.shape))


def _resized(ink: Grey, scale: float) -> Grey:
    return np.clip(ndimage.zoom(ink, [max(scale, 1 / side) for side in ink.shape], order=1), 0, 1)


def with_usual_stroke(ink: Grey) -> Grey:
    """Strokes of the usual width in MNIST: thin ones grow and thick ones shrink, by the distance to their edge."""
    with needs_extra("draw"):
        from skimage.morphology import skeletonize

    is_ink: Bool[np.ndarray, "height width"] = ink > 0.5
    width = is_ink.sum() / max(1, skeletonize(is_ink).sum()) / FINE  # MNIST pixels
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
STEP_NAMES = (*STEPS, CENTRE)  # the last step, centring by mass, works on the 28 x 28 image
