"""Learning curves of groups, with bands."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.comparison.groups import Group
from utils.figures import COLOURS, plain_axes
from utils.run_folder import EpochMetrics
from utils.statistics import mean_interval

MAX_CURVES = len(COLOURS)


def learning_curves_figure(groups: list[Group]) -> Figure:
    """Validation loss and error, epoch by epoch: the mean over the seeds with a band of its 95 % interval."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    measures: dict[str, Callable[[EpochMetrics], float]] = {
        "validation loss": lambda row: row.val_loss,
        "validation error": lambda row: 1 - row.val_accuracy,
    }
    for place, (name, value_of) in enumerate(measures.items(), start=1):
        axes = plain_axes(figure, 1, 2, place)
        for group, colour in zip(groups, COLOURS, strict=False):
            epochs, mean, half_width = _curve(group, value_of)
            axes.plot(epochs, mean, color=colour, marker="o" if len(epochs) == 1 else None, label=group.label)
            lowest = min(mean) / 2  # the band stays on a logarithmic axis
            axes.fill_between(
                epochs, np.maximum(mean - half_width, lowest), mean + half_width, color=colour, alpha=0.18, linewidth=0
            )
        axes.set(title=f"{name} (band: 95 % interval over seeds)", xlabel="epoch", yscale="log")
        axes.title.set_fontsize(10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _curve(group: Group, value_of: Callable[[EpochMetrics], float]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Epochs, means and half-widths, as far as all seeds went; half-widths are 0 for a single seed."""
    num_epochs = min(len(record.rows) for record in group.records)
    intervals = [
        mean_interval([value_of(record.rows[epoch]) for record in group.records]) for epoch in range(num_epochs)
    ]
    mean, half_width = np.array(intervals).T
    return list(range(1, num_epochs + 1)), mean, np.nan_to_num(half_width)
