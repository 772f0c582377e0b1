"""White lines across the digit: a dotted one and a zigzag."""

import itertools

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from utils.mnist_c.draws import Levels, whole_number

LINE_WIDTH = 2.3  # pixels from the middle of a line to where it ends
DOT = 2  # pixels
ZIGZAG_START, ZIGZAG_END = 2, 25  # columns
ZIGZAG_SIZE = 2  # pixels: half of a peak's width, and its height
STEEPEST = 5  # pixels by which a zigzag may rise or fall in all

Places = Float[Tensor, " n"]


def dotted_line(digits: Levels, generator: torch.Generator) -> Levels:
    """From a row at the left to one at the right, every other two columns."""
    left, right = (whole_number(digits, generator, 0, 27) for _ in range(2))
    return digits + dotted(left, right)


def dotted(left: Int64[Tensor, " n"], right: Int64[Tensor, " n"]) -> Levels:
    """Dotted lines from these rows in column 0 to those in column 27, in levels."""
    left, right = left.double(), right.double()
    lines = _line(torch.zeros_like(left), left, torch.full_like(left, 27), right)
    columns = torch.arange(28, device=left.device)
    return 255 * lines.float() * (columns // DOT % 2)


def zigzag(digits: Levels, generator: torch.Generator) -> Levels:
    """Peaks and valleys along a line that is at most slightly inclined."""
    left = whole_number(digits, generator, 0, 27)
    rise = whole_number(digits, generator, -STEEPEST, STEEPEST)
    return digits + zigzags(left, rise)


def zigzags(left: Int64[Tensor, " n"], rise: Int64[Tensor, " n"]) -> Levels:
    """Zigzags that begin in these rows and end so many further down, in levels; above 255 where strokes meet."""
    angle = torch.atan(rise.double() / (ZIGZAG_END - ZIGZAG_START))
    cos, sin = torch.cos(angle), torch.sin(angle)
    corners = [
        (ZIGZAG_START + x * cos - y * sin, left + x * sin + y * cos)
        for x, y in _corners((ZIGZAG_END - ZIGZAG_START) / cos)
    ]
    strokes = [_line(*begin, *end) for begin, end in itertools.pairwise(corners)]
    return 255 * torch.stack(strokes).sum(dim=0).float()


def _corners(length: Places) -> list[tuple[Places, Places]]:
    """Along and across a zigzag: its start, a peak or valley every four pixels, its end.

    The length is between 23 and 23.6 pixels, so that all have six peaks and valleys.
    """
    period = 2 * ZIGZAG_SIZE
    num_peaks = (ZIGZAG_END - ZIGZAG_START - ZIGZAG_SIZE) // period + 1
    peaks = [(float(ZIGZAG_SIZE + period * i), float((-1) ** i * ZIGZAG_SIZE)) for i in range(num_peaks)]
    # This last height is the published generator's; on the way from the last peak it would be another.
    end = peaks[-1][1] / (2 * (length - period * (length // period)))
    inner = [(torch.full_like(length, x), torch.full_like(length, y)) for x, y in peaks]
    return [(torch.zeros_like(length), torch.zeros_like(length)), *inner, (length, end)]


def _line(c0: Places, r0: Places, c1: Places, r1: Places) -> Float[Tensor, "n 28 28"]:
    """Lines from column c0 and row r0 to column c1, to the right of c0, and row r1: 1 in the middle, fading to 0.

    In float64, for columns end at whole numbers, which must be met.
    """
    rows = torch.arange(28, device=c0.device, dtype=torch.float64)[:, None]
    columns = rows.T
    c0, r0, c1, r1 = (place[:, None, None] for place in (c0, r0, c1, r1))
    middle = r0 + (columns - c0) * ((r1 - r0) / (c1 - c0))
    distance = (rows - middle).abs().clamp(max=LINE_WIDTH * (1 - 1e-10))
    lines = (1 + torch.log1p(-distance / LINE_WIDTH)).clamp(0, 1)
    return lines * ((columns >= c0.floor()) & (columns < c1.ceil()))
