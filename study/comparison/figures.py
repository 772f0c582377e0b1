"""Learning curves of groups with confidence bands, and the comparison page."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.comparison.groups import GROUP_HEADER, RUN_HEADER, RunGroup, by_dataset, group_rows, run_rows
from utils.document import Block, Document, Section, Table, Text, picture_of
from utils.figures import COLOURS, plain_axes
from utils.run import EpochMetrics, Run
from utils.statistics import mean_interval

MAX_CURVES = len(COLOURS)


def learning_curves_figure(groups: Sequence[RunGroup]) -> Figure:
    """Validation loss and error per epoch: the mean over the seeds with a band for its 95 % confidence interval."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    curves: dict[str, tuple[Callable[[EpochMetrics], float], float]] = {  # with the largest possible value
        "validation loss": (lambda row: row.val_loss, np.inf),
        "validation error": (lambda row: 1 - row.val_accuracy, 1.0),
    }
    for place, (name, (value_of, largest)) in enumerate(curves.items(), start=1):
        axes = plain_axes(figure, 1, 2, place)
        for group, colour in zip(groups, COLOURS, strict=False):
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


def comparison_document(runs: Sequence[Run], groups: Sequence[RunGroup], pair_blocks: Sequence[Block]) -> Document:
    """The groups of each data set with their learning curves, the comparison image by image (if any), and all runs."""
    parts = by_dataset(groups)
    blocks: list[Block] = [
        Text(
            f"{len(groups)} groups of {sum(len(group.runs) for group in groups)} finished runs. Runs that differ only "
            "in seed form one group. Accuracies are means with Student's 95 % confidence intervals over the seeds; "
            "intervals that reach beyond 0 or 100 % are cut off there. Click on a column header to sort."
        )
    ]
    for dataset, members in parts.items():
        heading = "Groups" if len(parts) == 1 else f"Data set {dataset}"
        some = f", the {MAX_CURVES} groups with the best validation accuracy" if len(members) > MAX_CURVES else ""
        curves = picture_of(learning_curves_figure(members[:MAX_CURVES]), f"Learning curves{some}")
        blocks.append(Section(heading, [Table(GROUP_HEADER, group_rows(members), sortable=True), curves]))
    if pair_blocks:
        blocks.append(Section("Comparison on the same test images", pair_blocks))
    blocks.append(Section("Runs", [Table(RUN_HEADER, run_rows(runs), sortable=True)]))
    return Document("Comparison of runs", blocks)
