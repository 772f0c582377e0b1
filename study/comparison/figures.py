"""Learning curves of groups with confidence bands, and the comparison page."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.comparison.groups import GROUP_HEADER, RUN_HEADER, RunGroup, group_rows, run_rows
from utils.document import Block, Document, Section, Table, Text, picture_of
from utils.figures import COLOURS, plain_axes
from utils.run import EpochMetrics, Run
from utils.statistics import mean_interval

MAX_CURVES = len(COLOURS)


def learning_curves_figure(groups: Sequence[RunGroup]) -> Figure:
    """Validation loss and error per epoch: the mean over the seeds with a band for its 95 % confidence interval."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    curves: dict[str, Callable[[EpochMetrics], float]] = {
        "validation loss": lambda row: row.val_loss,
        "validation error": lambda row: 1 - row.val_accuracy,
    }
    for place, (name, value_of) in enumerate(curves.items(), start=1):
        axes = plain_axes(figure, 1, 2, place)
        for group, colour in zip(groups, COLOURS, strict=False):
            mean, margin = _curve(group, value_of)
            epochs = np.arange(1, len(mean) + 1)
            axes.plot(epochs, mean, color=colour, marker="o" if len(epochs) == 1 else None, label=group.label)
            lowest = min(mean) / 2  # a logarithmic axis cannot show a band that reaches 0
            axes.fill_between(
                epochs, np.maximum(mean - margin, lowest), mean + margin, color=colour, alpha=0.18, linewidth=0
            )
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
    """All groups with their learning curves, the comparison of two groups image by image (if any), and all runs."""
    shown = f", the {MAX_CURVES} groups with the best validation accuracy" if len(groups) > MAX_CURVES else ""
    blocks: list[Block] = [
        Text(
            f"{len(groups)} groups of {sum(len(group.runs) for group in groups)} finished runs. Runs that differ only "
            "in seed form one group. Accuracies are means with 95 % confidence intervals over the seeds. Click on a "
            "column header to sort."
        ),
        Table(GROUP_HEADER, group_rows(groups), sortable=True),
        Section(
            f"Learning curves{shown}",
            [picture_of(learning_curves_figure(groups[:MAX_CURVES]), "Learning curves of the groups")],
        ),
    ]
    if pair_blocks:
        blocks.append(Section("Comparison on the same test images", pair_blocks))
    blocks.append(Section("Runs", [Table(RUN_HEADER, run_rows(runs), sortable=True)]))
    return Document("Comparison of runs", blocks)
