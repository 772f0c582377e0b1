"""How figures are written in the report."""

import math

HALF = "means over the seeds ± half the width of Student's 95 % interval"


def percent(interval: tuple[float, float]) -> str:
    """A share's mean and the half-width of its interval, which may be NaN."""
    mean, half_width = (f"{value:.2%}" for value in interval)
    return mean if math.isnan(interval[1]) else together(f"{mean} ± {half_width}")


def plain(interval: tuple[float, float]) -> str:
    """The same of a number."""
    mean, half_width = (f"{value:.2f}" for value in interval)
    return mean if math.isnan(interval[1]) else together(f"{mean} ± {half_width}")


def together(text: str) -> str:
    """With spaces at which no line breaks."""
    return text.replace(" ", "\u00a0")
