"""How figures are written in the report."""

import math
from collections.abc import Sequence

from utils.statistics import mean_interval

HALF = "means over the seeds ± half the width of Student's 95 % interval over them"


def percent(interval: tuple[float, float]) -> str:
    """A share's mean and the half-width of its interval, which may be NaN."""
    mean, half_width = (f"{value:.2%}" for value in interval)
    return mean if math.isnan(interval[1]) else together(f"{mean} ± {half_width}")


def plain(values: Sequence[float], largest: float = math.inf) -> str:
    """The same of numbers, one a seed, from 0 to the largest; their range where the interval would leave that."""
    mean, half_width = mean_interval(values)
    if math.isnan(half_width):
        return f"{mean:.2f}"
    if mean - half_width < 0 or mean + half_width > largest:
        return together(f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})")
    return together(f"{mean:.2f} ± {half_width:.2f}")


def together(text: str) -> str:
    """With spaces at which no line breaks."""
    return text.replace(" ", "\u00a0")
