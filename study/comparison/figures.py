"""Learning curves of groups with confidence bands."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.comparison.groups import RunGroup
from utils.figures import COLORS, plain_axes
from utils.run import EpochMetrics
from utils.statistics import mean_interval

MAX_CURVES = len(COLORS)


def learning_curves_figure(groups: Sequence[RunGroup]) -> Figure:
    """Validation loss and error per epoch: the mean over the seeds with a band for its 95 % confidence interval."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    curves: dict[str, tuple[Callable[[EpochMetrics], float], float]] = {  # with the largest possible value
        "validation loss": (lambda row: row.val_loss, np.inf),
        "validation error": (lambda row: 1 - row.val_accuracy, 1.0),
    }
    for place, (name, (value_of, largest)) in enumerate(curves.items(), start=1):
        axes = plain_axes(figure, 1, 2, place)
        for group, colour in zip(groups, COLORS, strict=False):
            mean, margin = _curve(group, value_of)
            epochs = np.arange(1, len(mean) + 1)
            axes.plot(epochs, mean, color=colour, marker="o" if len(epochs) == 1 else None, label=group.label)
            lowest = min(mean) / 2  # a logarithmic axis cannot show a band that reaches 0
            low, high = np.maximum(mean - margin, lowest), np.minimum(mean + margin, largest)
            axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set(title=f"{name} (band: 95 % confidence interval)", xlabel="epoch", yscale="log")
        axes.title.set_fontsize(10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _curve(
    group: RunGroup, value_of: Callable[[EpochMetrics], float]
) -> tuple[Float64[np.ndarray, " epochs"], Float64[np.ndarray, " epochs"]]:
    """Mean and margin per epoch, up to the last epoch that all seeds reached. The margin of a single seed is 0."""
    values = [[value_of(row) for row in run.metrics] for run in group.runs]
    mean, margin = np.array([mean_interval(seeds) for seeds in zip(*values, strict=False)]).T
    return mean, np.nan_to_num(margin)
