"""The further corruptions of MNIST-C's generator: the sixteen that its authors wrote but did not choose for MNIST-C (Mu
and Gilmer 2019, arXiv 1906.02337), with the parameters of the published generator.

`corrupt_further(images, name, seed)` corrupts any images. Recipes for robustness are searched on validation digits
under these corruptions, so that MNIST-C itself is looked at once, at the end. They are no part of the scorecard. The
published `frost` and `pessimal_noise` need files of their authors; here synthetic textures replace them.
"""

import functools
import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from utils.data.augmentation import HALF_SIDE
from utils.data.mnist_c import (
    Corruption,
    Images,
    affine,
    blur_along,
    corrupt_by,
    gaussian_matrix,
    integer,
    normal,
    straight_line,
    uniform,
)
from utils.errors import UserError, did_you_mean

# Noise.

GAUSSIAN_STD = 0.38  # where white is 1
SPECKLE_STD = 0.6  # relative to the grey level
PESSIMAL_NORM = 10.63 / 4  # Euclidean norm of a tile, where white is 1
PESSIMAL_TILE = 14  # pixels
PESSIMAL_FREQUENCY = 4  # waves per tile


def gaussian_noise(images: Images, generator: torch.Generator) -> Images:
    """Adds normal noise with a standard deviation of 0.38 of the grey range."""
    return images + 255 * GAUSSIAN_STD * normal(images, generator, 28, 28)


def speckle_noise(images: Images, generator: torch.Generator) -> Images:
    """Multiplies each pixel by a normal number of mean 1 and standard deviation 0.6, so that black stays black."""
    return images * (1 + SPECKLE_STD * normal(images, generator, 28, 28))


def pessimal_noise(images: Images, generator: torch.Generator) -> Images:
    """Adds a noise tile of 14 x 14 pixels four times, with a norm of 10.63 / 4 per tile.

    A replacement: the covariance of the published noise was trained against a network and exists as a file only. This
    noise has the same tiles and norm, and waves of the frequency, from 1 to 7 per tile, at which three networks of the
    recipe fast_conv failed most on validation digits.
    """
    spectrum = torch.fft.fft2(normal(images, generator, PESSIMAL_TILE, PESSIMAL_TILE))
    cycles = torch.fft.fftfreq(PESSIMAL_TILE, 1 / PESSIMAL_TILE, device=images.device)
    is_kept = (torch.hypot(cycles[:, None], cycles) - PESSIMAL_FREQUENCY).abs() < 0.5
    tiles = torch.fft.ifft2(spectrum * is_kept).real
    tiles = tiles * (PESSIMAL_NORM / tiles.flatten(1).norm(dim=1))[:, None, None]
    return images + 255 * tiles.repeat(1, 28 // PESSIMAL_TILE, 28 // PESSIMAL_TILE)


# Blurs.

BLUR_SIGMA = 2.0  # pixels
DEFOCUS_RADIUS = 3  # pixels
ZOOMS = np.arange(1, 1.31, 0.03)


def gaussian_blur(images: Images, _: torch.Generator) -> Images:
    """A Gaussian blur of the columns only: the published generator passes the columns as colour channels."""
    return gaussian_matrix(BLUR_SIGMA).to(images.device) @ images


def defocus_blur(images: Images, _: torch.Generator) -> Images:
    """The mean over a disk of radius 3 pixels. Beyond the edge the image is mirrored about the edge pixel."""
    offsets = torch.arange(-DEFOCUS_RADIUS, DEFOCUS_RADIUS + 1, device=images.device)
    disk = (offsets[:, None] ** 2 + offsets**2 <= DEFOCUS_RADIUS**2).float()
    padded = F.pad(images[:, None], (DEFOCUS_RADIUS,) * 4, mode="reflect")
    return F.conv2d(padded, (disk / disk.sum())[None, None])[:, 0]


def zoom_blur(images: Images, _: torch.Generator) -> Images:
    """The mean of the image and of its enlargements by 0 to 30 %, in eleven steps."""
    total = images.clone()
    for factor in ZOOMS.tolist():
        zoom = zoom_matrix(factor).to(images.device)
        corner = (28 - zoom.shape[1]) // 2
        middle = slice(corner, corner + zoom.shape[1])
        total += zoom @ images[:, middle, middle] @ zoom.T
    return total / (1 + len(ZOOMS))


@functools.cache
def zoom_matrix(factor: float) -> Float[Tensor, "28 coarse"]:
    """The matrix A for which A @ image @ A.T enlarges a square of `coarse` pixels to the middle 28 of round(coarse *
    factor) pixels. Linear; the first and the last pixels of the square and its enlargement coincide, as in SciPy."""
    coarse = math.ceil(28 / factor)
    fine = round(coarse * factor)
    places = (torch.arange(28) + (fine - 28) // 2) * ((coarse - 1) / (fine - 1))
    return (1 - (places[:, None] - torch.arange(coarse)).abs()).clamp(min=0)


# Weather.

FROST_DIGIT, FROST_ICE = 0.6, 0.75  # weights of the digit and of the texture
ICE_SIGMAS = (1.0, 2.0, 4.0)  # pixels: half the width of the crystals at each scale
ICE_LEVELS = (0.15, 0.55)  # range of the mean grey level of a picture of ice
ICE_CONTRAST = 0.5
SNOW_MEAN, SNOW_STD = 0.55, 0.3
SNOW_ZOOM = 2.5
SNOW_THRESHOLD = 0.85
SNOW_SIGMA, SNOW_WIDTH = 12.0, 25  # pixels, of the motion blur
SNOW_DIGIT = 0.55  # weight of the digit; the rest is the digit in the glare of the snow


def frost(images: Images, generator: torch.Generator) -> Images:
    """0.6 times the digit plus 0.75 times a picture of ice.

    A replacement: the published pictures are photographs. Ours are synthetic: bright ridges where smooth noise crosses
    zero, at three scales, on a grey that differs between pictures.
    """
    ridges = torch.zeros_like(images)
    for number, sigma in enumerate(ICE_SIGMAS):
        waves = _smooth_noise(normal(images, generator, 56, 56), sigma)
        ridges += (0.8 - waves.abs()) * 2**number  # 0.8 is the mean of the absolute value
    ridges /= sum(2**number for number in range(len(ICE_SIGMAS)))
    low, high = ICE_LEVELS
    levels = low + (high - low) * uniform(images, generator, 1, 1)
    ice = (levels + ICE_CONTRAST * ridges).clamp(0, 1)
    return FROST_DIGIT * images + 255 * FROST_ICE * ice


def _smooth_noise(noise: Float[Tensor, "n 56 56"], sigma: float) -> Images:
    """A corner of the noise after a Gaussian blur that wraps around, so that it is alike everywhere, with a standard
    deviation of about 1."""
    frequencies = torch.fft.fftfreq(noise.shape[1], device=noise.device)
    passed = torch.exp(-2 * (math.pi * sigma * frequencies) ** 2)
    smooth = torch.fft.ifft2(torch.fft.fft2(noise) * passed[:, None] * passed).real
    return smooth[:, :28, :28] / passed.square().mean()


def snow(images: Images, generator: torch.Generator) -> Images:
    """Adds two layers of flakes, which fall within 45 degrees of the vertical, and brightens the digit and its
    ground."""
    zoom = zoom_matrix(SNOW_ZOOM).to(images.device)
    coarse = SNOW_MEAN + SNOW_STD * normal(images, generator, zoom.shape[1], zoom.shape[1])
    flakes = zoom @ coarse @ zoom.T
    flakes = (255 * torch.where(flakes < SNOW_THRESHOLD, 0.0, flakes).clamp(0, 1)).floor()
    angles = (uniform(images, generator) * 2 - 1) * math.radians(45)
    falling = blur_along(flakes, angles, SNOW_SIGMA, SNOW_WIDTH).rot90(1, (1, 2))
    glare = torch.maximum(images, 1.5 * images + 0.5 * 255)
    return SNOW_DIGIT * images + (1 - SNOW_DIGIT) * glare + falling + falling.rot90(2, (1, 2))


# Grey levels.

CONTRAST = 0.1
SATURATION_FACTOR, SATURATION_OFFSET = 20.0, 0.2
# Hue and saturation, 0 for grey, become 0.2 as well, so that red, green and blue are 0.96, 1 and 0.8 of the value.
SATURATED_GREY = 0.96 * 0.2125 + 0.7154 + 0.8 * 0.0721


def contrast(images: Images, _: torch.Generator) -> Images:
    """A tenth of the contrast about the mean of the image."""
    means = images.mean(dim=(1, 2), keepdim=True)
    return means + CONTRAST * (images - means)


def saturate(images: Images, _: torch.Generator) -> Images:
    """Twenty times the grey level plus 0.2 of the range, clipped: thick white strokes on dark grey."""
    value = (SATURATION_FACTOR * images + 255 * SATURATION_OFFSET).clamp(max=255)
    return SATURATED_GREY * value


def quantize(images: Images, _: torch.Generator) -> Images:
    """Black and white only."""
    return (images / 255).round() * 255


def inverse(images: Images, _: torch.Generator) -> Images:
    """Black digits on white."""
    return 255 - images


# Resolution and compression.

JPEG_QUALITY = 7
PIXELATED_SIDE = 11  # pixels


def jpeg_compression(images: Images, _: torch.Generator) -> Images:
    """JPEG of quality 7, by Pillow, image by image on the CPU."""
    return torch.from_numpy(np.stack([_through_jpeg(image) for image in images.cpu().byte().numpy()])).to(images)


def _through_jpeg(image: UInt8[np.ndarray, "28 28"]) -> UInt8[np.ndarray, "28 28"]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    with Image.open(file) as picture:
        return np.array(picture)


def pixelate(images: Images, _: torch.Generator) -> Images:
    """11 x 11 pixels, the means of the pixels whose centres they cover, enlarged without interpolation."""
    smaller, larger = box_matrix(28, PIXELATED_SIDE).to(images), box_matrix(PIXELATED_SIDE, 28).to(images)
    coarse = (smaller @ images @ smaller.T).round()
    return larger @ coarse @ larger.T


@functools.cache
def box_matrix(side: int, new_side: int) -> Float[Tensor, "new_side side"]:
    """The matrix A for which A @ image @ A.T has another resolution: Pillow's box filter, applied to unit vectors."""
    units = Image.fromarray(np.eye(side, dtype=np.float32))
    return torch.from_numpy(np.array(units.resize((new_side, side), Image.Resampling.BOX))).T


# Distortion.

CORNERS = ((23.0, 23.0), (23.0, 5.0), (5.0, 5.0))  # x and y of three points that move, pixels
CORNER_SHIFT = 2.8  # pixels, along each axis at most
FIELD_AMPLITUDE, FIELD_SIGMA = 56.0, 19.6  # pixels


def elastic_transform(images: Images, generator: torch.Generator) -> Images:
    """An affine map that moves three corners of the digit by up to 2.8 pixels along each axis, then a random field of
    displacements. At MNIST's size the published field is so smooth that it nearly is a shift, by about 1 pixel."""
    corners = torch.tensor(CORNERS, device=images.device)
    moved = corners + CORNER_SHIFT * (2 * uniform(images, generator, 3, 2) - 1)
    ones = torch.ones(len(images), 3, 1, device=images.device)
    # From moved corners back to the corners: rows of the solution are the factors of x, of y, and the offset.
    factors = torch.linalg.solve(torch.cat([moved, ones], dim=2), corners.expand(len(images), 3, 2))
    centre = HALF_SIDE - 0.5
    offsets = (factors[:, 2] + centre * (factors[:, 0] + factors[:, 1] - 1)) / HALF_SIDE
    (xx, xy), (yx, yy) = factors[:, 0].T, factors[:, 1].T
    warped = affine(images, xx, yx, offsets[:, 0], xy, yy, offsets[:, 1])

    blur = gaussian_matrix(FIELD_SIGMA, num_sigmas=3, is_mirrored=True).to(images.device)
    field = FIELD_AMPLITUDE * (blur @ (2 * uniform(images, generator, 2, 28, 28) - 1) @ blur.T)
    places = torch.arange(28, device=images.device, dtype=torch.float32)
    grid = torch.stack([places + field[:, 0], places[:, None] + field[:, 1]], dim=3)
    return F.grid_sample(warped[:, None], (grid + 0.5) / HALF_SIDE - 1, align_corners=False)[:, 0]


def line(images: Images, generator: torch.Generator) -> Images:
    """A white line from a random row near the left edge to a random row near the right edge."""
    left, right = integer(images, generator, 0, 5), integer(images, generator, 22, 27)
    top, bottom = (integer(images, generator, 0, 27) for _ in range(2))
    ends = (place.double() for place in (left, top, right, bottom))
    return images + 255 * straight_line(*ends).float()


# In the order of the published generator.
FURTHER_CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        *(gaussian_noise, speckle_noise, pessimal_noise, gaussian_blur, defocus_blur, zoom_blur, frost, snow),
        *(contrast, saturate, jpeg_compression, pixelate, elastic_transform, quantize, line, inverse),
    )
}


def corrupt_further(images: UInt8[Tensor, "n 28 28"], name: str, seed: int) -> UInt8[Tensor, "n 28 28"]:
    """The images under a further corruption, on the same device. Random numbers as in `corrupt` of mnist_c.py.

    Raises UserError for an unknown corruption.
    """
    if name not in FURTHER_CORRUPTIONS:
        hint = did_you_mean(name, FURTHER_CORRUPTIONS)
        raise UserError(f"unknown further corruption '{name}'{hint}\nExpected one of {', '.join(FURTHER_CORRUPTIONS)}.")
    return corrupt_by(images, FURTHER_CORRUPTIONS[name], name, seed)
