"""Generic random transformations of pixels for training, in the manner of PRIME (Modas et al. 2022, arXiv 2112.13547).

Each function maps a batch of images with pixels in [0, 1] to another one of the same shape, with new random amounts for
every image. The caller clips the result to [0, 1]. Random numbers depend on the generator and the number of images
alone, never on pixels. To add a transformation, write a function and add its name to `Transformation` (utils/recipe.py)
and to `TRANSFORMATIONS`. docs/techniques.md says which test condition each resembles.
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from utils.recipe import Transformation

SIDE = 28
Images = Float[Tensor, "n 1 28 28"]
Amounts = Float[Tensor, "n 1 1 1"]  # one number per image

MAX_FILTER_NOISE = 2.0  # norm of a filter's noise, relative to the pixel itself
NUM_WAVES = 4  # sine waves of a tone curve
MIN_CONTRAST = 0.3  # between the levels of ink and paper
NUM_COSINES = 5  # per axis, of a smooth field
MAX_SHADE, MAX_LIGHT = 0.8, 0.8
MAX_NOISE = 0.4  # standard deviation
NUM_PATCHES = 3
PATCH_SIZES = (1.5, 5.0)  # pixels: half of the width and of the height
COARSE_SIDES = tuple(range(9, 21))  # pixels per side
NUM_STROKES = 2
STROKE_WIDTHS = (0.6, 2.6)  # pixels
WAVE_LENGTHS = (5.0, 50.0)  # pixels
MAX_WAVE = 0.25  # amplitude of a wave, relative to its length
SHARES = (-0.85, 1.0)  # of the way to the darkest and to the brightest neighbour
BLUR_SIGMAS = (0.3, 2.0)  # pixels
BLUR_SIDE = 9  # pixels


def random_filter(images: Images, generator: torch.Generator) -> Images:
    """Correlates each image with a 5 x 5 filter: the identity plus Gaussian noise of random strength with sum 0. Even
    areas keep their level."""
    strengths = uniform(images, generator, 0, MAX_FILTER_NOISE / 5)
    noise = torch.randn(len(images), 1, 5, 5, generator=generator, device=generator.device)
    filters = strengths * (noise - noise.mean(dim=(2, 3), keepdim=True))
    filters[:, :, 2, 2] += 1
    return correlate(images, filters)


def tone(images: Images, generator: torch.Generator) -> Images:
    """Changes grey levels by a random curve, x + sum of a_k sin(k pi x), and puts black and white at random levels. The
    curve need not be monotone. White stays brighter than black."""
    waves = torch.randn(NUM_WAVES, len(images), 1, 1, 1, generator=generator, device=generator.device)
    contrast, place = uniform(images, generator, MIN_CONTRAST, 1), uniform(images, generator, 0, 1)
    curve = images.clone()
    for k, wave in enumerate(waves, start=1):
        curve += wave * (0.3 / k) * torch.sin(k * math.pi * images)
    return curve.clamp_(0, 1) * contrast + place * (1 - contrast)


def light_field(images: Images, generator: torch.Generator) -> Images:
    """Uneven light: a smooth random field darkens the image and another one adds to it. The sum is partly scaled back
    to [0, 1] and partly clipped."""
    shade, light = smooth_fields(images, generator), smooth_fields(images, generator)
    max_shade, max_light = uniform(images, generator, 0, MAX_SHADE), uniform(images, generator, 0, MAX_LIGHT)
    scaled_back = 1 + max_light * uniform(images, generator, 0, 1)
    return (images * (1 - max_shade * shade) + max_light * light) / scaled_back


def noise(images: Images, generator: torch.Generator) -> Images:
    """Adds Gaussian noise of random strength, independent for each pixel."""
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return images + uniform(images, generator, 0, MAX_NOISE) * noise


def patches(images: Images, generator: torch.Generator) -> Images:
    """Paints up to three spots of random place, size, level and opacity, from ellipses to rounded rectangles."""
    x, y = _axes(images)
    for _ in range(NUM_PATCHES):
        left, top = uniform(images, generator, -14, 14), uniform(images, generator, -14, 14)
        width, height = (log_uniform(images, generator, *PATCH_SIZES) for _ in range(2))
        power = uniform(images, generator, 2, 8)
        distance = ((x - left) / width).abs().pow(power) + ((y - top) / height).abs().pow(power)
        opacity = uniform(images, generator, -0.5, 1.5).clamp_(0, 1)  # a quarter of the spots are absent
        level = uniform(images, generator, -0.5, 1.5).clamp_(0, 1)  # half of them are black or white
        images = torch.lerp(images, level, opacity * (2 - 2 * distance).clamp_(0, 1))
    return images


def low_resolution(images: Images, generator: torch.Generator) -> Images:
    """Shrinks to a random number of pixels per side by averaging and enlarges again, with visible or smooth pixels."""
    choices = torch.randint(2 * len(COARSE_SIDES), (len(images),), generator=generator, device=generator.device)
    matrices = _resampling(images.device).index_select(0, choices)
    return (matrices @ images.squeeze(1) @ matrices.mT).unsqueeze(1)


def strokes(images: Images, generator: torch.Generator) -> Images:
    """Draws one or two thin strokes across the image, or erases along them: straight lines, arcs and waves of random
    direction, place, width, level, amplitude, wavelength and phase."""
    x, y = _axes(images)
    for number in range(NUM_STROKES):
        angle, phase = (uniform(images, generator, 0, 2 * math.pi) for _ in range(2))
        offset = uniform(images, generator, -12, 12)
        length = log_uniform(images, generator, *WAVE_LENGTHS)
        amplitude = length * uniform(images, generator, -MAX_WAVE, MAX_WAVE).clamp_(min=0)  # half are straight
        width = uniform(images, generator, *STROKE_WIDTHS)
        level = uniform(images, generator, -0.5, 1.5).clamp_(0, 1)
        opacity = 1.0 if number == 0 else uniform(images, generator, -1, 1).sign_().clamp_(0)
        cos, sin = torch.cos(angle), torch.sin(angle)
        frequency = 2 * math.pi / length
        along = frequency * (x * cos + y * sin) + phase
        across = y * cos - x * sin - offset - amplitude * torch.sin(along)
        steepness = 1 + (amplitude * frequency * torch.cos(along)).square_()
        covered = (width / 2 + 0.5 - across.abs() * steepness.rsqrt_()).clamp_(0, 1)
        images = torch.lerp(images, level, covered * opacity)
    return images


def polarity(images: Images, generator: torch.Generator) -> Images:
    """Puts paper and ink at random grey levels that differ by at least 0.3. Paper is the brighter one in half of the
    images."""
    contrast, place = uniform(images, generator, MIN_CONTRAST, 1), uniform(images, generator, 0, 1)
    is_inverted = uniform(images, generator, -1, 1) < 0
    return torch.where(is_inverted, 1 - images, images) * contrast + place * (1 - contrast)


def thickness(images: Images, generator: torch.Generator) -> Images:
    """Moves each pixel by a random share towards the brightest or the darkest of the 3 x 3 around it: bright strokes
    become thicker or thinner."""
    share = uniform(images, generator, *SHARES)
    signed = torch.where(share < 0, -images, images)  # the minimum is that of the negative's maximum
    # Maxima of three rows and then of three columns take a tenth of the time of max_pool2d on one channel.
    padded = F.pad(signed, (1, 1, 1, 1), mode="replicate")
    rows = torch.maximum(torch.maximum(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    highest = torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
    return images + share * (highest - signed)


def blur(images: Images, generator: torch.Generator) -> Images:
    """Blurs by a Gaussian with two random widths along two perpendicular random directions: from round, as out of
    focus, to a line, as of motion."""
    angle = uniform(images, generator, 0, math.pi)
    along, across = (log_uniform(images, generator, *BLUR_SIGMAS) for _ in range(2))
    steps = torch.arange(BLUR_SIDE, device=images.device) - BLUR_SIDE // 2
    x, y = steps.view(1, 1, 1, -1), steps.view(1, 1, -1, 1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    weights = torch.exp(-0.5 * (((x * cos + y * sin) / along).square() + ((y * cos - x * sin) / across).square()))
    return correlate(images, weights / weights.sum(dim=(2, 3), keepdim=True))


TRANSFORMATIONS: dict[Transformation, Callable[[Images, torch.Generator], Images]] = {
    "filter": random_filter,
    "tone": tone,
    "field": light_field,
    "noise": noise,
    "patches": patches,
    "resolution": low_resolution,
    "strokes": strokes,
    "polarity": polarity,
    "thickness": thickness,
    "blur": blur,
}


def transform_some(
    images: Images, names: Sequence[Transformation], probability: float, generator: torch.Generator
) -> Images:
    """Applies each of these transformations to each image with this probability, independently, in an order that is
    random for the batch. Pixels stay in [0, 1]. The generator and the images are on the same device."""
    draws = torch.rand(len(names), 1 + len(images), generator=generator, device=generator.device).cpu()
    is_chosen = draws[:, 1:] < probability
    images = images.clone()
    for place in draws[:, 0].argsort().tolist():
        chosen = is_chosen[place].nonzero().squeeze(1).to(images.device, non_blocking=True)
        if len(chosen):
            changed = TRANSFORMATIONS[names[place]](images.index_select(0, chosen), generator)
            images.index_copy_(0, chosen, changed.clamp_(0, 1))
    return images


# Random numbers and operations that several transformations use.


def uniform(images: Images, generator: torch.Generator, low: float, high: float) -> Amounts:
    """A number between `low` and `high` for each image."""
    return torch.empty(len(images), 1, 1, 1, device=generator.device).uniform_(low, high, generator=generator)


def log_uniform(images: Images, generator: torch.Generator, low: float, high: float) -> Amounts:
    """A number between `low` and `high` for each image. Its logarithm is uniform."""
    return uniform(images, generator, math.log(low), math.log(high)).exp_()


def smooth_fields(images: Images, generator: torch.Generator) -> Images:
    """A smooth random field from 0 to 1 for each image: a sum of cosine waves of which the slower ones are larger, by a
    random degree."""
    waves = torch.randn(len(images), 1, NUM_COSINES, NUM_COSINES, generator=generator, device=generator.device)
    cosines, frequencies = _cosines(images.device)
    fields = cosines @ (waves * frequencies.pow(-uniform(images, generator, 0.5, 2.5))) @ cosines.T
    lowest, highest = torch.aminmax(fields.flatten(1), dim=1, keepdim=True)
    return ((fields.flatten(1) - lowest) / (highest - lowest)).view(images.shape)


def correlate(images: Images, filters: Float[Tensor, "n 1 side side"]) -> Images:
    """Each image correlated with its own filter of odd side. Edge pixels are repeated."""
    padded = F.pad(images, [filters.shape[-1] // 2] * 4, mode="replicate")
    return F.conv2d(padded.transpose(0, 1), filters, groups=len(images)).transpose(0, 1)


def _axes(images: Images) -> tuple[Float[Tensor, "1 1 1 28"], Float[Tensor, "1 1 28 1"]]:
    """x and y of the pixels' centres from the middle of the image, in pixels."""
    centres = torch.arange(SIDE, device=images.device) + (0.5 - SIDE / 2)
    return centres.view(1, 1, 1, SIDE), centres.view(1, 1, SIDE, 1)


@functools.cache
def _cosines(device: torch.device) -> tuple[Float[Tensor, "28 waves"], Float[Tensor, "waves waves"]]:
    """Half-waves of the cosine over the image's side, beginning with the constant, and for each pair of them the
    frequency, at least 1."""
    waves = torch.arange(NUM_COSINES, device=device)
    places = (torch.arange(SIDE, device=device) + 0.5) / SIDE
    return torch.cos(math.pi * places[:, None] * waves), torch.hypot(waves[:, None].float(), waves.float()).clamp(1)


@functools.cache
def _resampling(device: torch.device) -> Float[Tensor, "choices 28 28"]:
    """The matrices A for which A @ image shrinks and enlarges the columns: for each coarse side, enlarged by repeating
    pixels and by linear interpolation."""
    unit = torch.eye(SIDE, device=device).unsqueeze(0)
    matrices = []
    for side in COARSE_SIDES:
        coarse = F.adaptive_avg_pool1d(unit, side)
        matrices += [F.interpolate(coarse, SIDE), F.interpolate(coarse, SIDE, mode="linear")]
    return torch.cat(matrices).mT.contiguous()
