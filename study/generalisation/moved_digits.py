"""Digits that lie elsewhere, are larger or smaller, or turned: maps, curves, and the worst of all small moves."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from study.generalisation.cells import Cell, Part, mean_cell, share_cell
from study.generalisation.subject import Subject
from utils.augmentation import HALF_SIDE, SIDE, transform
from utils.image_set import ImageSet
from utils.preloading import to_pixels
from utils.statistics import TAILS

NUM_DIGITS = 500
MAX_SHIFT = 14  # pixels: half the image, so that half the digit is gone
NEAR_SHIFT = 4  # pixels: as much room as MNIST's digits, 20 px long, have around them; some lose a little ink
ENOUGH = 0.95  # accuracy that counts towards the area
SCALES = tuple(round(0.4 + 0.1 * step, 1) for step in range(13))
ANGLES = tuple(range(-180, 181, 10))  # degrees
# The grid of Engstrom et al. 2017, arXiv 1712.02779: all together 775 moves.
WORST_SHIFTS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # pixels
WORST_ANGLES = tuple(range(-30, 31, 2))
NUM_RESAMPLES = 1000
NEARBY = f"moved by up to {NEAR_SHIFT} px"


def shifted(subject: Subject) -> Part:
    """Digits moved by whole pixels along both axes, what leaves the image cut off."""
    right = _right_at_shifts(subject, subject.sample(NUM_DIGITS), MAX_SHIFT)
    middle = slice(MAX_SHIFT - NEAR_SHIFT, MAX_SHIFT + NEAR_SHIFT + 1)
    near, area = mean_cell(right[:, middle, middle].mean((1, 2))), _area_cell(right)
    return Part({NEARBY: near, f"area over {ENOUGH:.0%}, px²": area}, {"accuracy": right.mean(0).tolist()})


def shifted_nearby(subject: Subject) -> Part:
    """As `shifted`, of small shifts alone."""
    right = _right_at_shifts(subject, subject.sample(NUM_DIGITS), NEAR_SHIFT)
    return Part({NEARBY: mean_cell(right.mean((1, 2)))})


def _right_at_shifts(subject: Subject, digits: ImageSet, max_shift: int) -> Bool[np.ndarray, "n down right"]:
    """Which digits are named right where they were moved down and to the right by -max_shift to max_shift."""
    side = 2 * max_shift + 1
    right = np.empty((len(digits), side, side), dtype=bool)
    wide = F.pad(digits.images, (max_shift,) * 4)
    for row, column in tqdm(list(np.ndindex(side, side)), desc="shifts", disable=None, leave=False):
        top, left = side - 1 - row, side - 1 - column  # the window moves against the digit
        window = wide[:, top : top + SIDE, left : left + SIDE]
        right[:, row, column] = subject.is_right(ImageSet("shifted", window, digits.labels))
    return right


def _area_cell(right: Bool[np.ndarray, "n down right"]) -> Cell:
    """How many of the places reach ENOUGH, with the bootstrap's interval over the digits."""
    total = len(right)
    draws = np.random.default_rng(0).multinomial(total, np.full(total, 1 / total), size=NUM_RESAMPLES)
    areas = (draws.astype(np.float32) @ right.reshape(total, -1).astype(np.float32) >= ENOUGH * total).sum(1)
    low, high = np.quantile(areas, TAILS)
    return Cell(float((right.mean(0) >= ENOUGH).sum()), float(low), float(high), total, "number")


def scaled(subject: Subject) -> Part:
    """Digits enlarged and shrunk about the image's middle."""
    digits = subject.sample(NUM_DIGITS)
    right = [_right_after(subject, digits, scale=scale) for scale in SCALES]
    cells = {f"scaled by {SCALES[place]}": share_cell(right[place]) for place in (0, 3, -4, -1)}
    return Part(cells, {"scale": list(SCALES), "accuracy": [float(hits.mean()) for hits in right]})


def turned(subject: Subject) -> Part:
    """Digits turned about the image's middle, counterclockwise for positive angles. A 6 turned by 180 degrees is a 9:
    no network can name all of them."""
    digits = subject.sample(NUM_DIGITS)
    right = {angle: _right_after(subject, digits, degrees=angle) for angle in ANGLES}
    cells = {
        f"turned by {angle} degrees either way": mean_cell(np.mean([right[-angle], right[angle]], axis=0))
        for angle in (20, 40, 90)
    }
    return Part(cells, {"degrees": list(ANGLES), "accuracy": [float(hits.mean()) for hits in right.values()]})


def worst_case(subject: Subject) -> Part:
    """Digits that are named right after every one of 775 moves by up to 3 px and turns by up to 30 degrees."""
    digits = subject.sample(NUM_DIGITS)
    holds = torch.ones(len(digits), dtype=torch.bool)
    moves = list(itertools.product(WORST_ANGLES, WORST_SHIFTS, WORST_SHIFTS))
    moves.sort(key=lambda move: -(abs(move[0]) / 10 + abs(move[1]) + abs(move[2])))  # the worst first: fewer go on
    for degrees, right, down in tqdm(moves, desc="worst case", disable=None, leave=False):
        still = holds.nonzero().flatten()
        if not len(still):
            break
        hits = _right_after(subject, digits.subset(still, digits.name), degrees, right=right, down=down)
        holds[still] = torch.from_numpy(hits)
    return Part({"worst of 3 px and 30 degrees": share_cell(holds.numpy())})


def _right_after(
    subject: Subject, digits: ImageSet, degrees: float = 0.0, scale: float = 1.0, right: float = 0.0, down: float = 0.0
) -> Bool[np.ndarray, " n"]:
    place = move_map(degrees, scale, right, down).repeat(len(digits), 1, 1)
    pixels = transform(to_pixels(digits.images), place)[:, 0]
    moved = (pixels * 255).round().to(torch.uint8)  # as a picture file would hold them
    return subject.is_right(ImageSet("moved", moved, digits.labels))


def move_map(degrees: float, scale: float, right: float, down: float) -> Float[Tensor, "1 2 3"]:
    """The map of `transform` that turns a digit counterclockwise about the middle, scales it, then moves it (px)."""
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    back = torch.tensor(
        [[cos, -sin], [sin, cos]], dtype=torch.float32
    )  # from a place in the result to that in the source, y downwards
    offset = -back @ torch.tensor([right, down], dtype=torch.float32) / HALF_SIDE
    return torch.cat([back, offset[:, None]], dim=1)[None]
