"""Image corruptions: those of MNIST-C (Mu and Gilmer 2019, arXiv 1906.02337), reimplemented for batches of images.

`corrupt(images, name, seed)` corrupts any images. `load_corrupted(name)` returns MNIST's corrupted test digits: the
published ones if the files are in data/, else generated ones. To add a corruption, write a function and add it to
`CORRUPTIONS`. benchmarks/mnist_c_agreement.py compares MNIST-C's corruptions with the published generator.
"""

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from utils.data.augmentation import HALF_SIDE, transform
from utils.data.datasets import ImageSet, load_dataset
from utils.data.mnist_c_files import published_digits
from utils.errors import UserError, needs_extra
from utils.files import home_folder

BLOCK = 1000  # images that share a random generator

Images = Float[Tensor, "n 28 28"]  # grey levels from 0 to 255, at most BLOCK images
Coordinates = Float[Tensor, " n"]  # a row or a column for each image


# Random numbers are drawn for a whole block on the CPU, so they do not depend on the device or the number of images.


def uniform(images: Images, generator: torch.Generator, *sizes: int) -> Float[Tensor, "n ..."]:
    """Numbers in [0, 1) of this shape for each image, on the device of the images."""
    return torch.rand(BLOCK, *sizes, generator=generator)[: len(images)].to(images.device)


def normal(images: Images, generator: torch.Generator, *sizes: int) -> Float[Tensor, "n ..."]:
    """Standard normal numbers of this shape for each image."""
    return torch.randn(BLOCK, *sizes, generator=generator)[: len(images)].to(images.device)


def integer(images: Images, generator: torch.Generator, low: int, high: int) -> Int64[Tensor, " n"]:
    """An integer from `low` to `high - 1` for each image, all equally likely."""
    return torch.randint(low, high, (BLOCK,), generator=generator)[: len(images)].to(images.device)


def sign(images: Images, generator: torch.Generator) -> Int64[Tensor, " n"]:
    """-1 or 1 for each image."""
    return integer(images, generator, 0, 2) * 2 - 1


# Pixel noise.

PHOTONS = 3  # mean photon count of a white pixel in shot_noise
NOISY_FRACTION = 0.17  # of the pixels in impulse_noise


def shot_noise(images: Images, generator: torch.Generator) -> Images:
    """Poisson noise: a white pixel receives 3 photons on average, and 3 or more are white."""
    draw = uniform(images, generator, 28, 28)
    rate = images * (PHOTONS / 255)
    # Inverse of the Poisson distribution function. Its first three steps suffice because larger counts are clipped.
    step = torch.exp(-rate)
    cumulative, count = step.clone(), torch.zeros_like(images)
    for photon in range(1, PHOTONS + 1):
        count += draw >= cumulative
        step = step * rate / photon
        cumulative += step
    return count * (255 / PHOTONS)


def impulse_noise(images: Images, generator: torch.Generator) -> Images:
    """Salt-and-pepper noise, half of it white and half black."""
    draw = uniform(images, generator, 28, 28)
    salted = torch.where(draw < NOISY_FRACTION, 255.0, images)
    return torch.where(draw < NOISY_FRACTION / 2, 0.0, salted)


# Blurs.

GLASS_SIGMA = 0.7  # pixels
GLASS_ROUNDS = 2
# Offsets in the flattened image of the pixel to swap with: left, above, above left, or the pixel itself. Half of the
# pixels are skipped and the others choose one of the four, so a pixel is swapped with itself five times in eight.
SWAP_OFFSETS = (-1, -28, -29, 0, 0, 0, 0, 0)

MOTION_SIGMA = 3.0  # pixels
MOTION_WIDTH = 21  # pixels
MOTION_DEGREES = 45.0


@functools.cache
def gaussian_matrix(sigma: float, num_sigmas: float = 4, is_mirrored: bool = False) -> Float[Tensor, "28 28"]:
    """The matrix A for which A @ image blurs the columns with this sigma in pixels. The Gaussian is truncated at some
    sigmas. Beyond the edge, the edge pixel is repeated or the image is mirrored."""
    radius = int(num_sigmas * sigma + 0.5)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    matrix = torch.zeros(28, 28)
    for row in range(28):
        sources = torch.arange(row - radius, row + radius + 1)
        inside = torch.minimum(sources % 56, 55 - sources % 56) if is_mirrored else sources.clamp(0, 27)
        matrix[row].index_add_(0, inside, weights)
    return matrix


def gaussian_blur(images: Float[Tensor, "n 28 28"], sigma: float) -> Float[Tensor, "n 28 28"]:
    matrix = gaussian_matrix(sigma).to(images.device)
    return matrix @ images @ matrix.T


def glass_blur(images: Images, generator: torch.Generator) -> Images:
    """Blurs, swaps pixels with random neighbours in two passes over the image, and blurs again.

    Both blurs apply to the columns only: the published generator passes the columns as colour channels.
    """
    vertical_blur = gaussian_matrix(GLASS_SIGMA).to(images.device)
    choices = (uniform(images, generator, GLASS_ROUNDS * 26 * 26) * len(SWAP_OFFSETS)).long()
    offsets = torch.tensor(SWAP_OFFSETS, device=images.device)[choices.T.contiguous()]
    # A swap depends on earlier ones, so the loop runs over pixels and handles all images at once: one row per pixel.
    pixels = (vertical_blur @ images).floor().view(-1, 784).T.contiguous()
    order = [row * 28 + column for row in range(27, 1, -1) for column in range(27, 1, -1)] * GLASS_ROUNDS
    for pixel, offset in zip(order, offsets, strict=True):
        partner = (offset + pixel).unsqueeze(0)
        own, other = pixels[pixel].clone(), pixels.gather(0, partner)
        pixels.scatter_(0, partner, own.unsqueeze(0))
        pixels[pixel] = other[0]
    return vertical_blur @ pixels.T.reshape(-1, 28, 28)


def motion_blur(images: Images, generator: torch.Generator) -> Images:
    """A one-sided Gaussian blur along a line within 45 degrees of the horizontal. Edge pixels are repeated."""
    angles = (uniform(images, generator) * 2 - 1) * math.radians(MOTION_DEGREES)
    return blur_along(images, angles)


def blur_along(
    images: Images, angles: Float[Tensor, " n"], sigma: float = MOTION_SIGMA, width: int = MOTION_WIDTH
) -> Images:
    """Motion blur along these angles in radians, within 45 degrees: at 0 the source lies to the right, at positive
    angles below.

    Offsets are rounded to whole pixels and results are truncated to whole levels, as in ImageMagick.
    """
    steps = torch.arange(width, device=images.device)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    weights /= weights.sum()
    across = torch.ceil(steps * torch.cos(angles)[:, None] - 0.5).long()
    down = torch.ceil(steps * torch.sin(angles)[:, None] - 0.5).long()
    margin = math.ceil((width - 1) * math.sin(math.radians(MOTION_DEGREES)))  # pixels: the largest vertical offset
    padded = F.pad(images, (0, width - 1, margin, margin), mode="replicate")
    num_rows, num_columns = padded.shape[1:]
    corners = torch.arange(len(images), device=images.device)[:, None] * (num_rows * num_columns)
    starts = corners + (margin + down) * num_columns + across
    grid = torch.arange(28, device=images.device)
    positions = (grid[:, None] * num_columns + grid).flatten()
    blurred = torch.zeros_like(images).view(-1, 784)
    for step in range(width):
        blurred += weights[step] * padded.take(starts[:, step, None] + positions)
    return (blurred + 1e-3).floor().view(-1, 28, 28)  # rounding errors must not lose a whole level


# Affine maps about the image centre, bilinear, black outside. Only the signs are random.

SHEAR = 0.4  # radians
ROTATION = 0.4  # radians
SCALE = 0.7
TRANSLATION = 3  # pixels


def shear(images: Images, generator: torch.Generator) -> Images:
    """Shears by s = 0.4 radians in either direction: x from x - sin(s) y, y from cos(s) y, as scikit-image did up to
    version 0.18."""
    signs = sign(images, generator).float()
    return affine(images, 1.0, -math.sin(SHEAR) * signs, 0.0, 0.0, math.cos(SHEAR), 0.0)


def scale(images: Images, _: torch.Generator) -> Images:
    """Shrinks to 70 %."""
    return affine(images, 1 / SCALE, 0.0, 0.0, 0.0, 1 / SCALE, 0.0)


def rotate(images: Images, generator: torch.Generator) -> Images:
    """Rotates by 0.4 radians in either direction."""
    cos, sin = math.cos(ROTATION), math.sin(ROTATION) * sign(images, generator).float()
    return affine(images, cos, -sin, 0.0, sin, cos, 0.0)


def translate(images: Images, generator: torch.Generator) -> Images:
    """Shifts by 3 pixels to the left or right and by 3 up or down."""
    across, down = (sign(images, generator) * (TRANSLATION / HALF_SIDE) for _ in range(2))
    return affine(images, 1.0, 0.0, across, 0.0, 1.0, down)


def affine(images: Images, *entries: float | Float[Tensor, " n"]) -> Images:
    """The images under maps from output to input coordinates. `entries` are the 2 x 3 matrix, row by row."""
    maps = torch.zeros(len(images), 2, 3, device=images.device)
    for index, entry in enumerate(entries):
        maps[:, index // 3, index % 3] = entry
    return transform(images.unsqueeze(1), maps).squeeze(1)


# Grey levels.


def brightness(images: Images, _: torch.Generator) -> Images:
    """Adds half of the grey range."""
    return images + 0.5 * 255


def stripe(images: Images, _: torch.Generator) -> Images:
    """Inverts columns 0 to 6 and 21 to 27."""
    striped = images.clone()
    for sides in (slice(0, 7), slice(21, 28)):
        striped[:, :, sides] = 255 - images[:, :, sides]
    return striped


# Weather.

FOG = 3.0  # level of the thickest fog, where white is 1
PLASMA_SIDE = 256  # pixels
FIRST_AMPLITUDE = 100.0
AMPLITUDE_DECAY = 1.4  # from one scale to the next finer one
PLASMAS_AT_ONCE = 20  # 5 MB, which fit the cache; a whole block would take 260 MB

LIQUID_MEAN, LIQUID_STD = 0.65, 0.3
LIQUID_SIGMA, DROP_SIGMA = 1.0, 1.5  # pixels
MIN_DROP = 0.8
DROP_LEVEL = 63.0


def fog(images: Images, generator: torch.Generator) -> Images:
    """Adds a corner of a plasma fractal, then darkens the image so that its brightest pixel stays below white."""
    corners = [plasma(PLASMAS_AT_ONCE, generator)[:, :28, :28].clone() for _ in images.split(PLASMAS_AT_ONCE)]
    thickness = FOG * 255 * torch.cat(corners)[: len(images)].to(images.device)
    brightest = images.amax(dim=(1, 2), keepdim=True)
    return (images + thickness) * (brightest / (brightest + FOG * 255))


def plasma(count: int, generator: torch.Generator) -> Float[Tensor, "count 256 256"]:
    """Tileable plasma fractals from 0 to 1, by the diamond-square algorithm.

    At each scale the centre of every square, then the middle of every edge, becomes the mean of its four neighbours
    plus noise (Fournier, Fussell and Carpenter 1982, "Computer rendering of stochastic models").
    """
    heights = torch.zeros(count, PLASMA_SIDE, PLASMA_SIDE)
    step, amplitude = PLASMA_SIDE, FIRST_AMPLITUDE
    while step > 1:
        half = step // 2
        limit = amplitude**2  # the published generator squares the amplitude
        corners = heights[:, ::step, ::step]
        above_and_below = corners + corners.roll(-1, 1)
        centres = _with_noise((above_and_below + above_and_below.roll(-1, 2)) / 4, limit, generator)
        across = (corners + corners.roll(-1, 2) + centres + centres.roll(1, 1)) / 4
        down = (above_and_below + centres + centres.roll(1, 2)) / 4
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = _with_noise(across, limit, generator)
        heights[:, half::step, ::step] = _with_noise(down, limit, generator)
        step, amplitude = half, amplitude / AMPLITUDE_DECAY
    lowest, highest = heights.amin(dim=(1, 2), keepdim=True), heights.amax(dim=(1, 2), keepdim=True)
    return (heights - lowest) / (highest - lowest)


def _with_noise(
    means: Float[Tensor, "count rows columns"], limit: float, generator: torch.Generator
) -> Float[Tensor, "count rows columns"]:
    """Plus uniform noise between minus and plus the limit."""
    return torch.empty_like(means).uniform_(-limit, limit, generator=generator).add_(means)


def spatter(images: Images, generator: torch.Generator) -> Images:
    """Dark grey drops: pixels where smoothed noise is high, and high in most of the neighbourhood too."""
    liquid = LIQUID_MEAN + LIQUID_STD * normal(images, generator, 28, 28)
    wet = (gaussian_blur(liquid, LIQUID_SIGMA) > LIQUID_MEAN).float()
    drops = gaussian_blur(wet, DROP_SIGMA)
    drops = torch.where(drops < MIN_DROP, 0.0, drops)
    return images * (1 - drops) + DROP_LEVEL * drops


# White lines across the image.

LINE_WIDTH = 2.3  # pixels from the middle of a line to its edge
DOT = 2  # pixels
ZIGZAG_START, ZIGZAG_END = 2, 25  # columns
ZIGZAG_SIZE = 2  # pixels: the height of a peak, and half of its width
MAX_RISE = 5  # pixels between the two ends of a zigzag


def dotted_line(images: Images, generator: torch.Generator) -> Images:
    """A dotted line from a random row on the left to a random row on the right."""
    left, right = (integer(images, generator, 0, 27) for _ in range(2))
    return images + dotted_lines(left, right)


def dotted_lines(left: Int64[Tensor, " n"], right: Int64[Tensor, " n"]) -> Images:
    """Dotted lines from these rows of column 0 to these rows of column 27."""
    left, right = left.double(), right.double()
    lines = straight_line(torch.zeros_like(left), left, torch.full_like(left, 27), right)
    columns = torch.arange(28, device=left.device)
    return 255 * lines.float() * (columns // DOT % 2)


def zigzag(images: Images, generator: torch.Generator) -> Images:
    """A zigzag along a line with a small random slope."""
    left = integer(images, generator, 0, 27)
    rise = integer(images, generator, -MAX_RISE, MAX_RISE)
    return images + zigzags(left, rise)


def zigzags(left: Int64[Tensor, " n"], rise: Int64[Tensor, " n"]) -> Images:
    """Zigzags that start in rows `left` and end `rise` rows further down. Levels exceed 255 where strokes meet."""
    angle = torch.atan(rise.double() / (ZIGZAG_END - ZIGZAG_START))
    cos, sin = torch.cos(angle), torch.sin(angle)
    corners = [
        (ZIGZAG_START + x * cos - y * sin, left + x * sin + y * cos)
        for x, y in _zigzag_corners((ZIGZAG_END - ZIGZAG_START) / cos)
    ]
    strokes = [straight_line(*begin, *end) for begin, end in itertools.pairwise(corners)]
    return 255 * torch.stack(strokes).sum(dim=0).float()


def _zigzag_corners(length: Coordinates) -> list[tuple[Coordinates, Coordinates]]:
    """Positions along and across the line of a zigzag: its start, a peak or valley every four pixels, its end.

    Lengths are between 23 and 23.6 pixels, so every zigzag has six peaks and valleys.
    """
    period = 2 * ZIGZAG_SIZE
    num_peaks = (ZIGZAG_END - ZIGZAG_START - ZIGZAG_SIZE) // period + 1
    peaks = [(float(ZIGZAG_SIZE + period * i), float((-1) ** i * ZIGZAG_SIZE)) for i in range(num_peaks)]
    # The height of the end is the published generator's. It does not lie on the straight line after the last peak.
    end = peaks[-1][1] / (2 * (length - period * (length // period)))
    inner = [(torch.full_like(length, x), torch.full_like(length, y)) for x, y in peaks]
    return [(torch.zeros_like(length), torch.zeros_like(length)), *inner, (length, end)]


def straight_line(c0: Coordinates, r0: Coordinates, c1: Coordinates, r1: Coordinates) -> Float[Tensor, "n 28 28"]:
    """Lines from column c0, row r0 to column c1 > c0, row r1: 1 in the middle, fading to 0 at the edge.

    In float64, because the ends of columns are whole numbers that must be exact.
    """
    rows = torch.arange(28, device=c0.device, dtype=torch.float64)[:, None]
    columns = rows.T
    c0, r0, c1, r1 = (coordinate[:, None, None] for coordinate in (c0, r0, c1, r1))
    middle = r0 + (columns - c0) * ((r1 - r0) / (c1 - c0))
    distance = (rows - middle).abs().clamp(max=LINE_WIDTH * (1 - 1e-10))
    lines = (1 + torch.log1p(-distance / LINE_WIDTH)).clamp(0, 1)
    return lines * ((columns >= c0.floor()) & (columns < c1.ceil()))


# Edges.


def canny_edges(images: Images, _: torch.Generator) -> Images:
    """White edges on black (Canny 1986, "A computational approach to edge detection"), by scikit-image with default
    settings, image by image on the CPU."""
    with needs_extra("study"):
        from skimage.feature import canny  # takes a second to import

    edges = np.stack([canny(image) for image in images.cpu().double().numpy() / 255])
    return 255 * torch.from_numpy(edges.astype(np.float32)).to(images.device)


Corruption = Callable[[Images, torch.Generator], Images]

# MNIST-C, in the order of the paper's tables. Only these have published files and count in `corruptions_mean`.
MNIST_C: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        *(shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness, translate, stripe),
        *(fog, spatter, dotted_line, zigzag, canny_edges),
    )
}
# All corruptions. Add your own after MNIST-C's: `CORRUPTIONS = {**MNIST_C, "pixelate": pixelate}`.
CORRUPTIONS: dict[str, Corruption] = {**MNIST_C}


def corrupt(images: UInt8[Tensor, "n 28 28"], name: str, seed: int) -> UInt8[Tensor, "n 28 28"]:
    """The corrupted images, on the same device.

    The result for an image depends only on the seed, the corruption and the image's position, not on the number of
    images. All devices use the same random numbers; rounding may differ. Raises UserError for an unknown corruption.
    """
    _check_corruption(name)
    return corrupt_by(images, CORRUPTIONS[name], name, seed)


def corrupt_by(
    images: UInt8[Tensor, "n 28 28"], corruption: Corruption, name: str, seed: int
) -> UInt8[Tensor, "n 28 28"]:
    """As `corrupt`, by a function that need not be in `CORRUPTIONS`."""
    if not len(images):
        return images.clone()
    blocks = [
        corruption(block.float(), _generator(seed, name, number)).round().clamp(0, 255).byte()
        for number, block in enumerate(images.split(BLOCK))
    ]
    return torch.cat(blocks)


def load_corrupted(name: str, seed: int = 0) -> tuple[ImageSet, str]:
    """MNIST's 10,000 test digits under a corruption, and a description of their source.

    The published digits of MNIST-C are used if they are in data/; `seed` applies to generated digits only. Raises
    UserError for an unknown corruption, for damaged published files, and if MNIST is missing.
    """
    _check_corruption(name)
    published = published_digits(name) if name in MNIST_C else None
    if published:
        images, labels, path = published
        source = path.relative_to(home_folder()).as_posix()
        return ImageSet(f"mnist_c/{name}", images, labels), f"the published digits in {source}"
    clean = load_dataset("mnist", "test")
    corrupted = ImageSet(f"corrupted/{name}", corrupt(clean.images, name, seed), clean.labels)
    return corrupted, f"generated from MNIST's test digits with seed {seed}"


def _check_corruption(name: str) -> None:
    if name not in CORRUPTIONS:
        raise UserError(f"unknown corruption '{name}': expected one of {', '.join(CORRUPTIONS)}")


def _generator(seed: int, name: str, block: int) -> torch.Generator:
    """Independent random numbers for each combination of arguments, as in utils/runtime.py."""
    sequence = np.random.SeedSequence([seed, block, *name.encode()])
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
