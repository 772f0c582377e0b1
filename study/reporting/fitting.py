"""The section on what networks reach on the digits that MNIST itself holds."""

import math
from collections.abc import Sequence
from dataclasses import replace

from study.comparison.comparison_figures import MAX_CURVES, learning_curves_figure
from study.reporting.blocks import Command, Picture, Section, Table, Text
from study.reporting.commands import training_command
from study.reporting.evidence import Network
from study.reporting.written import HALF, percent, together
from utils.figures import as_png
from utils.statistics import difference_interval, probability_first_beats_second

HEADER = ("network", "parameters", "seeds", "validation", "test", "first minus this", "first wins")


def fitting_section(networks: Sequence[Network]) -> Section:
    """What the networks reach on the digits that MNIST itself holds."""
    first = networks[0]
    text = Text(
        f"Accuracies are {HALF}, the networks in the order of their validation accuracy; the test set chose nothing. "
        "The last two columns compare the first network with each on the test set: Welch's 95 % interval of the "
        "difference in percentage points, and the share of all pairs of seeds that it wins."
    )
    table = Table(HEADER, [_row(network, first) for network in networks])
    groups = [replace(network.group, label=network.label) for network in networks[:MAX_CURVES]]
    curves = Picture("learning_curves", "Learning curves", as_png(learning_curves_figure(groups)))
    commands = Command([training_command(network.recipe, network.seeds) for network in networks])
    return Section("Model fitting", [text, table, curves, commands], [text, table, commands])


def _row(network: Network, first: Network) -> list[str]:
    group = network.group
    accuracies = [percent(group.mean_interval(name)) for name in ("val_accuracy", "test_accuracy")]
    row = [network.label, f"{group.num_parameters:,}", str(len(network.seeds)), *accuracies]
    if network is first:
        return [*row, "", ""]
    best, values = ([record.summary["test_accuracy"] for record in each.group.records] for each in (first, network))
    low, high = (100 * end for end in difference_interval(best, values))
    beats, _ = probability_first_beats_second(best, values)
    return [*row, "-" if math.isnan(low) else together(f"{low:+.2f} to {high:+.2f}"), f"{beats:.0%}"]
