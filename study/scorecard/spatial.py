"""Spatial robustness: accuracy on shifted, scaled and rotated digits. The accuracy after the worst of many such moves
stands with the attacks: whoever chooses the move for each digit is an adversary."""

import itertools
import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result, mean_result
from utils.data import ImageSet
from utils.data.augmentation import HALF_SIDE, SIDE, transform
from utils.data.batches import to_pixels
from utils.statistics import cluster_bootstrap, percentile_interval
from utils.track import track

NUM_DIGITS = 2000
NUM_WORST_DIGITS = 1000  # for the worst case of 775 moves
NUM_AREA_DIGITS = 500  # for the 841 shifts of the area, whose interval is narrow with few digits
MAX_SHIFT = 14  # pixels: half the image, so that half of the digit is outside
NEAR_SHIFT = 4  # pixels: the margin around MNIST's digits, which are 20 px long; some lose a little ink
ENOUGH = 0.95  # accuracy at which a shift counts towards the area
SCALES = tuple(round(0.4 + 0.1 * step, 1) for step in range(13))
ANGLES = tuple(range(-180, 181, 10))  # degrees
SHOWN_SCALES = (0.4, 0.7, 1.3, 1.6)
SHOWN_ANGLES = (20, 40, 90)
# The grid of Engstrom et al. 2017, arXiv 1712.02779: 775 moves.
WORST_SHIFTS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # pixels
WORST_ANGLES = tuple(range(-30, 31, 2))


def shift_accuracy(evaluator: Evaluator, count: int = NUM_DIGITS) -> MetricResult:
    """Mean accuracy over all shifts by up to 4 whole pixels along both axes. Pixels outside the image are lost."""
    is_correct = correct_after_shifts(evaluator, NEAR_SHIFT, count)
    return mean_result(is_correct.mean((1, 2)), evaluator.sample(count).writers)


def shift_area(evaluator: Evaluator) -> MetricResult:
    """The number of shifts by up to MAX_SHIFT pixels with 95 % accuracy, with the bootstrap interval over writers."""
    is_correct = correct_after_shifts(evaluator, MAX_SHIFT, NUM_AREA_DIGITS)
    return area_result(is_correct, evaluator.sample(NUM_AREA_DIGITS).writers)


def shift_map(evaluator: Evaluator) -> list[list[float]]:
    """Accuracy after each shift: rows from up to down, columns from left to right."""
    return correct_after_shifts(evaluator, MAX_SHIFT, NUM_AREA_DIGITS).mean(0).tolist()


def correct_after_shifts(evaluator: Evaluator, max_shift: int, count: int) -> Bool[np.ndarray, "n down right"]:
    """Whether each digit of a sample is classified correctly after shifts down and right by -max_shift to max_shift
    pixels."""
    side = 2 * max_shift + 1
    shifts = list(itertools.product(range(-max_shift, max_shift + 1), repeat=2))
    bar = track(shifts, desc="shifts")
    shifted = [_correct_after_shift(evaluator, down, right, count) for down, right in bar]
    return np.stack(shifted, axis=1).reshape(-1, side, side)


def _correct_after_shift(evaluator: Evaluator, down: int, right: int, count: int) -> Bool[np.ndarray, " n"]:
    def compute() -> Bool[np.ndarray, " n"]:
        digits = evaluator.sample(count)
        top, left = MAX_SHIFT - down, MAX_SHIFT - right  # the window moves against the digit
        window = F.pad(digits.images, (MAX_SHIFT,) * 4)[:, top : top + SIDE, left : left + SIDE]
        return evaluator.is_correct(ImageSet("shifted", window, digits.labels))

    return evaluator.once(("shift", down, right, count), compute)


def area_result(
    is_correct: Bool[np.ndarray, "n down right"], writers: Int64[Tensor, " n"] | None = None
) -> MetricResult:
    total = len(is_correct)
    accuracies = cluster_bootstrap(is_correct.reshape(total, -1).T, None if writers is None else writers.numpy())
    low, high = percentile_interval((accuracies >= ENOUGH).sum(1).astype(np.float64))
    return MetricResult(float((is_correct.mean(0) >= ENOUGH).sum()), low, high, total, "number")


def scale_accuracy(evaluator: Evaluator, scale: float) -> MetricResult:
    """Accuracy on digits scaled about the image centre."""
    return fraction_result(_correct_in_sample(evaluator, scale=scale), evaluator.sample(NUM_DIGITS).writers)


def scale_curve(evaluator: Evaluator) -> dict[str, list[float]]:
    accuracies = [float(_correct_in_sample(evaluator, scale=scale).mean()) for scale in SCALES]
    return {"scale": list(SCALES), "accuracy": accuracies}


def rotation_accuracy(evaluator: Evaluator, degrees: int) -> MetricResult:
    """Mean accuracy over both directions of a rotation about the image centre. A 6 rotated by 180 degrees is a 9, so
    no model reaches 100 % at large angles."""
    is_correct = np.mean([_correct_in_sample(evaluator, angle) for angle in (-degrees, degrees)], axis=0)
    return mean_result(is_correct, evaluator.sample(NUM_DIGITS).writers)


def rotation_curve(evaluator: Evaluator) -> dict[str, list[float]]:
    """Accuracy for each angle; positive angles are counterclockwise."""
    accuracies = [float(_correct_in_sample(evaluator, degrees).mean()) for degrees in ANGLES]
    return {"degrees": list(ANGLES), "accuracy": accuracies}


def _correct_in_sample(evaluator: Evaluator, degrees: int = 0, scale: float = 1.0) -> Bool[np.ndarray, " n"]:
    return evaluator.once(
        ("rotation and scale", degrees, scale),
        lambda: _correct_after_move(evaluator, evaluator.sample(NUM_DIGITS), affine_map(degrees, scale, 0, 0)),
    )


def spatial_worst_case(evaluator: Evaluator, count: int = NUM_WORST_DIGITS) -> MetricResult:
    """The fraction of digits that are classified correctly after every one of 775 shifts by up to 3 px with rotations
    by up to 30 degrees."""
    digits = evaluator.sample(count)
    is_robust = torch.ones(len(digits), dtype=torch.bool)
    moves = list(itertools.product(WORST_ANGLES, WORST_SHIFTS, WORST_SHIFTS))
    # The hardest moves first: a digit that fails one is not tested with the others.
    moves.sort(key=lambda move: -(abs(move[0]) / 10 + abs(move[1]) + abs(move[2])))
    for degrees, right, down in track(moves, desc="worst case"):
        remaining = is_robust.nonzero().flatten()
        if not len(remaining):
            break
        moved = digits.subset(remaining, digits.name), affine_map(degrees, 1.0, right, down)
        is_robust[remaining] = torch.from_numpy(_correct_after_move(evaluator, *moved))
    return fraction_result(is_robust.numpy(), digits.writers)


def _correct_after_move(evaluator: Evaluator, digits: ImageSet, move: Float[Tensor, "1 2 3"]) -> Bool[np.ndarray, " n"]:
    """Whether each digit is classified correctly after the move. Pixels are rounded as in an image file."""
    pixels = transform(to_pixels(digits.images), move.repeat(len(digits), 1, 1))[:, 0]
    moved = (pixels * 255).round().to(torch.uint8)
    return evaluator.is_correct(ImageSet("moved", moved, digits.labels))


def affine_map(degrees: float, scale: float, right: float, down: float) -> Float[Tensor, "1 2 3"]:
    """The map for `transform` that rotates a digit counterclockwise about the image centre, scales it, then shifts it
    (pixels)."""
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    # From a place in the result to the place in the source; y points down.
    inverse = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float32)
    offset = -inverse @ torch.tensor([right, down], dtype=torch.float32) / HALF_SIDE
    return torch.cat([inverse, offset[:, None]], dim=1)[None]


GROUP = "Spatial robustness"
METRICS = [
    Metric(f"shift_{NEAR_SHIFT}px", f"shifted by up to {NEAR_SHIFT} px", 2, GROUP, shift_accuracy),
    Metric("shift_area_95", f"area of shifts with {ENOUGH * 100:.0f} % accuracy, px²", 2, GROUP, shift_area),
    *(
        Metric(f"scale_{scale}", f"scaled by {scale}", 2, GROUP, partial(scale_accuracy, scale=scale))
        for scale in SHOWN_SCALES
    ),
    *(
        Metric(f"rotation_{angle}", f"rotated by ±{angle} degrees", 2, GROUP, partial(rotation_accuracy, degrees=angle))
        for angle in SHOWN_ANGLES
    ),
    Metric(
        "spatial_worst_case",
        "worst of 775 moves by up to 3 px and 30 degrees",
        2,
        "Adversarial robustness",
        spatial_worst_case,
    ),
]
CURVES = [Curve("shift_map", 1, shift_map), Curve("scale_curve", 2, scale_curve),
          Curve("rotation_curve", 2, rotation_curve)]  # fmt: skip
