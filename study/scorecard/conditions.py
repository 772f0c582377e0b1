"""Accuracy under conditions that users meet: other papers and pens, occlusion, low resolution, and pictures of real
handwriting."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from study.scorecard.evaluator import Evaluator, Metric, MetricResult, fraction_result
from utils.data import ImageSet
from utils.data.batches import to_pixels
from utils.data.pictures import labelled_pictures, picture_files

PICTURES = "handwritten_images"  # a folder in data/ or in the mirror
PAPER = 0.4  # grey level of grey paper, where ink is 1
CONTRAST = 0.3  # grey level of ink at low contrast
PATCH = 8  # pixels: the side of the occluding square
MARGIN = 4  # pixels around the 20 x 20 box of MNIST's digits, in which the square lies
COARSE_SIDE = 7  # pixels per side at low resolution
SEED = 0

Images = UInt8[Tensor, "n 28 28"]


def inverted(images: Images) -> Images:
    """Dark ink on bright paper."""
    return 255 - images


def grey_paper(images: Images) -> Images:
    """Grey instead of black paper; white ink stays white."""
    return (255 * PAPER + (1 - PAPER) * images.float()).round().byte()


def low_contrast(images: Images) -> Images:
    """Dark grey ink on black paper."""
    return (images.float() * CONTRAST).round().byte()


def occluded(images: Images) -> Images:
    """A black square of 8 x 8 pixels at a random place in the box of the digit."""
    generator = torch.Generator().manual_seed(SEED)
    corners = torch.randint(MARGIN, 28 - MARGIN - PATCH + 1, (2, len(images), 1), generator=generator)
    places = torch.arange(28)
    rows, columns = ((places >= corner) & (places < corner + PATCH) for corner in corners)
    return images.masked_fill(rows[:, :, None] & columns[:, None, :], 0)


def thin_strokes(images: Images) -> Images:
    """Each pixel becomes the darkest of the 3 x 3 around it (grey-scale erosion): strokes lose two pixels of width."""
    return (255 - thick_strokes(255 - images)).byte()


def thick_strokes(images: Images) -> Images:
    """Each pixel becomes the brightest of the 3 x 3 around it (grey-scale dilation)."""
    return F.max_pool2d(images[:, None].float(), 3, stride=1, padding=1)[:, 0].byte()


def low_resolution(images: Images) -> Images:
    """7 x 7 pixels, the means of 4 x 4 pixels each, enlarged to 28 x 28 by bicubic interpolation."""
    coarse = F.adaptive_avg_pool2d(to_pixels(images), COARSE_SIDE)
    fine = F.interpolate(coarse, size=28, mode="bicubic").clamp(0, 1)
    return (fine * 255).round().byte()[:, 0]


def framed(images: Images) -> Images:
    """A white frame, one pixel wide, along the border of the image."""
    inner = torch.zeros(28, 28, dtype=torch.bool)
    inner[1:-1, 1:-1] = True
    return images.masked_fill(~inner, 255)


# Label and function of each condition. To add one, write a function and add it here.
CONDITIONS: dict[str, tuple[str, Callable[[Images], Images]]] = {
    "inverted": ("polarity inverted", inverted),
    "grey_paper": ("grey paper", grey_paper),
    "low_contrast": ("low contrast", low_contrast),
    "occluded": (f"a square of {PATCH} x {PATCH} px occluded", occluded),
    "thin_strokes": ("thinner strokes", thin_strokes),
    "thick_strokes": ("thicker strokes", thick_strokes),
    "low_resolution": (f"a resolution of {COARSE_SIDE} x {COARSE_SIDE} px", low_resolution),
    "framed": ("a frame of one pixel", framed),
}


def condition_accuracy(evaluator: Evaluator, name: str) -> MetricResult:
    """Accuracy on all test digits under one condition."""
    digits = evaluator.test_set
    changed = ImageSet(name, CONDITIONS[name][1](digits.images), digits.labels)
    return fraction_result(evaluator.is_correct(changed), digits.writers)


def pictures_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on pictures of handwritten digits, read as `mnist predict` reads them. A picture in which no digit is
    found counts as an error."""
    digits = labelled_pictures(PICTURES)
    has_digit = (digits.images > 0).flatten(1).any(1).numpy()
    return fraction_result(evaluator.is_correct(digits) & has_digit)


def picture_names() -> list[str]:
    """The picture files that decide `pictures_accuracy`."""
    return [path.name for path in picture_files(PICTURES)]


GROUP = "Conditions of use"
METRICS = [
    *(
        Metric(f"condition_{name}", label, 1, GROUP, partial(condition_accuracy, name=name))
        for name, (label, _) in CONDITIONS.items()
    ),
    Metric("pictures_accuracy", "pictures of real handwriting", 1, GROUP, pictures_accuracy, picture_names),
]
