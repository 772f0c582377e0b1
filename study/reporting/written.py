"""How figures are written in the report."""

import math

HALF = "means over the seeds ± half the width of Student's 95 % interval"


def percent(interval: tuple[float, float]) -> str:
    """A mean and the half-width of its interval, which may be NaN."""
    mean, half_width = interval
    return f"{mean:.2%}" if math.isnan(half_width) else f"{mean:.2%} ± {half_width:.2%}"
