"""A digit drawn in the terminal."""

import sys

from jaxtyping import UInt8
from torch import Tensor

SHADES = " .:-=+*#%@"  # from dark to bright


def terminal_picture(image: UInt8[Tensor, "28 28"], has_colours: bool | None = None) -> str:
    """The digit as lines of text: grey half blocks where the terminal has colours, else characters, two a pixel.

    `has_colours` is whether the output is a terminal where it is not said.
    """
    if sys.stdout.isatty() if has_colours is None else has_colours:
        return _half_blocks(image.tolist())
    rows = [[SHADES[value * len(SHADES) // 256] * 2 for value in row] for row in image.tolist()]
    return "\n".join("".join(row).rstrip() for row in rows)


def _half_blocks(rows: list[list[int]]) -> str:
    """Two rows of pixels a line: the block's upper half has the colour of the upper, its ground that of the lower."""
    return "\n".join(
        "".join(f"\x1b[38;2;{a};{a};{a};48;2;{b};{b};{b}m▀" for a, b in zip(upper, lower, strict=True)) + "\x1b[0m"
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
