"""Picture files as grey images, bounded before memory is taken."""

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from utils.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_BYTES = 2**26
MIN_SIDE = 8
MAX_PIXELS = 100_000_000
WORKING_SIDE = 400  # pixels; of a larger picture a smaller one is made, in which a pen's stroke still has several


def read_picture(file: Path | bytes) -> Float[np.ndarray, "height width"]:
    """The picture as grey values, 0 black to 1 white, turned as its camera was held, at most 400 pixels a side.

    What is transparent counts as paper: white, or black where what is drawn is bright. Raises UserError for a file that
    is missing, too large, or no picture.
    """
    name = "the picture" if isinstance(file, bytes) else str(file)
    try:
        content = file if isinstance(file, bytes) else _read(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, for which our own limit is below, and of odd metadata
            picture: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            if min(picture.size) < MIN_SIDE or picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"{name} has {picture.width:,} x {picture.height:,} pixels: "
                    f"expected at least {MIN_SIDE} a side and at most {MAX_PIXELS:,} in all"
                )
            picture.thumbnail((WORKING_SIDE, WORKING_SIDE), reducing_gap=2)  # a JPEG is decoded no finer than needed
            grey = _grey(ImageOps.exif_transpose(picture))
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{name} has far more pixels than the {MAX_PIXELS:,} that are read") from None
    except Exception as error:  # Pillow raises whatever damaged metadata lead it to
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged or no picture"
        raise UserError(f"cannot read {name}: {reason}. Expected one of {', '.join(FORMATS)}.") from None
    if not np.isfinite(grey).all():
        raise UserError(f"{name} holds values that are no numbers: expected a picture of one digit")
    return grey


def _read(file: Path) -> bytes:
    if file.stat().st_size > MAX_BYTES:
        raise UserError(f"{file} is larger than {MAX_BYTES // 2**20} MiB: expected a picture of one digit")
    return file.read_bytes()


def _grey(picture: Image.Image) -> Float[np.ndarray, "height width"]:
    if picture.mode.startswith(("I", "F")):  # 16 bits and more
        values = np.asarray(picture, dtype=np.float32)
        return (values - values.min()) / max(1.0, float(np.ptp(values)))
    grey = np.asarray(picture.convert("LA"), dtype=np.float32) / 255
    light, opacity = grey[..., 0], grey[..., 1]
    if opacity.min() == 1:
        return light
    is_bright = (light * opacity).sum() > 0.5 * opacity.sum() and opacity.mean() < 0.5
    return light * opacity + (0.0 if is_bright else 1.0) * (1 - opacity)
