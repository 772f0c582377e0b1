"""Where each digit lies in its image, how large it is and how it leans."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

SIDE = 28
MIDDLE = (SIDE - 1) / 2  # of the image, counted in pixels from the centre of the first


@dataclass(frozen=True)
class DigitShapes:
    """A value per digit; a digit without ink has height and width 0 and NaN for the rest."""

    height: Int64[np.ndarray, " n"]
    """Rows of the bounding box of all ink (pixels above 0)."""
    width: Int64[np.ndarray, " n"]
    """Columns of the bounding box."""
    centre_x: Float64[np.ndarray, " n"]
    """Centre of mass right of the image's middle, pixels."""
    centre_y: Float64[np.ndarray, " n"]
    """Centre of mass below the image's middle, pixels."""
    lean_degrees: Float64[np.ndarray, " n"]
    """How far the digit leans to the right: arctan of minus the covariance of x and y over the variance of y."""

    @property
    def longer_side(self) -> Int64[np.ndarray, " n"]:
        return np.maximum(self.height, self.width)

    @property
    def off_centre(self) -> Float64[np.ndarray, " n"]:
        """Distance of the centre of mass from the image's middle, pixels."""
        return np.hypot(self.centre_x, self.centre_y)


def measure_shapes(images: UInt8[np.ndarray, "n 28 28"]) -> DigitShapes:
    """The shapes of all digits by matrix products over the whole set, weighted by the pixels' values."""
    y, x = (axis.ravel() for axis in np.mgrid[:SIDE, :SIDE] - MIDDLE)
    coordinates = np.stack([np.ones_like(x), x, y, x * y, y * y], axis=1).astype(np.float32)
    moments = (images.reshape(-1, SIDE**2).astype(np.float32) @ coordinates).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):  # digits without ink
        centre_x, centre_y, mean_xy, mean_yy = (moments[:, 1:] / moments[:, :1]).T
        slope = -(mean_xy - centre_x * centre_y) / (mean_yy - centre_y**2)
    return DigitShapes(
        height=_extent(np.any(images, axis=2)),
        width=_extent(np.any(images, axis=1)),
        centre_x=centre_x,
        centre_y=centre_y,
        lean_degrees=np.degrees(np.arctan(slope)),
    )


def _extent(has_ink: np.ndarray) -> Int64[np.ndarray, " n"]:
    """From the first to the last place with ink in each row of (n, 28), both counted; 0 where there is none."""
    first = has_ink.argmax(axis=1)
    last = SIDE - 1 - has_ink[:, ::-1].argmax(axis=1)
    return np.where(has_ink.any(axis=1), last - first + 1, 0)
