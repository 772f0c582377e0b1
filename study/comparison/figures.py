"""Learning curves of groups with bands over the seeds, and their test errors with intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.comparison.groups import RunGroup
from study.figures import (
    LABEL_CHARACTER_INCHES,
    LINE_INCHES,
    MAX_CURVES,
    MAX_ROWS,
    PANEL_INCHES,
    ROW_INCHES,
    legend_below,
    panel,
    seed_curves,
    wrapped,
)
from utils.document import Columns, Picture, picture_of
from utils.figures import (
    COLORS,
    GREY,
    figure_style,
    interval_points,
    percent_axis,
    percent_tick,
    plain_log_ticks,
)
from utils.run import EpochMetrics

BANDS = "lines: means over the seeds; bands: Student's 95 % intervals, for at least three seeds; thin lines: two seeds"
MAX_EPOCH_RATIO = 5  # of the longest and the shortest training on an axis that is not logarithmic
MIN_LOG_RATIO = 5  # of the largest and the smallest error
SEEDS_BELOW, LABEL_ABOVE = 0.2, 0.2  # rows from the mean of a group to its seeds, and to its label
LABEL_LENGTH = int(PANEL_INCHES / LABEL_CHARACTER_INCHES) - 4  # characters of a line of a group's label


def curve_pictures(groups: Sequence[RunGroup], prefix: str = "") -> Columns:
    """The learning curves of the first MAX_CURVES groups. The names of the pictures begin with the prefix."""
    some = f"; the first {MAX_CURVES} of {len(groups)} groups" if len(groups) > MAX_CURVES else ""
    return Columns(
        [
            picture_of(figure, f"{name.capitalize()} per epoch ({BANDS}{some})", f"{prefix}{name.replace(' ', '_')}")
            for name, figure in learning_curve_figures(groups[:MAX_CURVES]).items()
        ]
    )


def accuracy_picture(groups: Sequence[RunGroup], prefix: str = "") -> Picture:
    some = f"; the first {MAX_ROWS} of {len(groups)} groups" if len(groups) > MAX_ROWS else ""
    text = (
        "Test error of each group, the best validation accuracy on top: the mean over the seeds, and its 95 % "
        f"confidence interval if there are enough seeds; grey, below: the seeds{some}"
    )
    return picture_of(accuracy_figure(groups), text, f"{prefix}test_error")


def learning_curve_figures(groups: Sequence[RunGroup]) -> dict[str, Figure]:
    """Validation loss and validation error per epoch: the mean over the seeds of each group with its band."""
    return {
        "validation loss": _learning_curve_figure(groups, "validation loss", lambda row: row.val_loss, np.inf),
        "validation error": _learning_curve_figure(groups, "validation error", lambda row: 1 - row.val_accuracy, 1.0),
    }


@figure_style()
def _learning_curve_figure(
    groups: Sequence[RunGroup], name: str, value_of: Callable[[EpochMetrics], float], largest: float
) -> Figure:
    curves = [_values(group, value_of) for group in groups]
    lowest = [float(values.mean(0).min()) for values in curves]
    best = int(np.argmin(lowest))
    text = f"{lowest[best]:.3g}" if largest == np.inf else f"{lowest[best]:.2%}"
    epoch = int(curves[best].mean(0).argmin()) + 1
    title = f"Lowest {name}: {text} after epoch {epoch}" + (f", {groups[best].label}" if len(groups) > 1 else "")
    labels = [group.label for group in groups]
    figure, axes = panel(title, labels)
    is_log = min(lowest) > 0
    for label, values, low, color in zip(labels, curves, lowest, COLORS, strict=False):
        epochs = np.arange(1, values.shape[1] + 1)
        # A logarithmic axis cannot show a band that reaches 0.
        seed_curves(axes, epochs, values, label, color, (low / 2 if is_log else 0.0, largest))
    axes.set(xlabel="epoch", ylabel=name, yscale="log" if is_log else "linear")
    num_epochs = [values.shape[1] for values in curves]
    if max(num_epochs) > MAX_EPOCH_RATIO * min(num_epochs):
        axes.set_xscale("log")
        plain_log_ticks(axes, "x")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if is_log:
        plain_log_ticks(axes)
    if largest == 1.0:
        percent_axis(axes)
    legend_below(figure, labels)
    return figure


def _values(group: RunGroup, value_of: Callable[[EpochMetrics], float]) -> Float64[np.ndarray, "seeds epochs"]:
    """Up to the last epoch that all seeds reached."""
    values = [[value_of(row) for row in run.metrics] for run in group.runs]
    return np.array(list(zip(*values, strict=False)), np.float64).T


@figure_style()
def accuracy_figure(groups: Sequence[RunGroup]) -> Figure:
    """A row per group below its label: the mean test error, the interval of groups with enough seeds, and each seed in
    grey."""
    shown = groups[:MAX_ROWS]
    first = shown[0]
    intervals = [group.interval("test_accuracy") for group in shown]
    title = f"{first.label}: {1 - intervals[0].value:.2%} of the test images wrong"
    if len(groups) > 1:
        title += ", the group with the best validation accuracy"
    names = [wrapped(group.label, LABEL_LENGTH) for group in shown]
    num_lines = 1 + max(name.count("\n") for name in names)
    height = (ROW_INCHES + LINE_INCHES * (num_lines - 0.5)) * len(shown) + 3 * LINE_INCHES
    figure, axes = panel(title, height=height)
    errors = [1 - np.array(group.values("test_accuracy")) for group in shown]
    for row, values in enumerate(errors):
        if len(values) > 1:
            axes.plot(values, [row + SEEDS_BELOW] * len(values), "o", color=GREY, markersize=4, alpha=0.7)
    lows, highs = (
        [1 - getattr(it, end) if it.has_enough_seeds else np.nan for it in intervals] for end in ("high", "low")
    )
    interval_points(axes, names, [1 - it.value for it in intervals], lows, highs)
    axes.set_yticks(np.arange(len(names)) - LABEL_ABOVE, names, ha="left", va="bottom")  # so that it fits a phone
    axes.tick_params(axis="y", length=0, pad=-4)
    axes.set_ylim(len(names) - 0.5, -0.8)
    every = np.concatenate(errors)
    if every.min() > 0 and every.max() / every.min() > MIN_LOG_RATIO:
        axes.set_xscale("log")
        plain_log_ticks(axes, "x")
    axes.xaxis.set_major_formatter(percent_tick)
    axes.margins(x=0.06)
    axes.set_xlabel("test error")
    return figure
