"""The section on what networks reach on the digits that MNIST itself holds."""

import math
from collections.abc import Sequence
from dataclasses import replace

from study.comparison.comparison_figures import MAX_CURVES, learning_curves_figure
from study.recipe_names import training_command
from study.reporting.blocks import Command, Picture, Section, Table, Text
from study.reporting.evidence import Network
from study.reporting.written import HALF, percent, together
from utils.figures import as_png
from utils.statistics import difference_interval, probability_first_beats_second

HEADER = ("network", "parameters", "seeds", "validation", "test", "first minus this", "first wins")


def fitting_section(networks: Sequence[Network]) -> Section:
    """What the networks reach on the digits that MNIST itself holds."""
    first = networks[0]
    text = Text(
        f"Accuracies are {HALF}, the networks in the order of their validation accuracy; the test set chose nothing."
        f"{_ties(networks)} The last two columns compare the first network with each on the test set: Welch's 95 % "
        "interval of the difference in percentage points, and how many of all pairs of seeds it wins."
    )
    table = Table(HEADER, [_row(network, first) for network in networks])
    groups = [replace(network.group, label=network.label) for network in networks[:MAX_CURVES]]
    curves = Picture("learning_curves", "Learning curves", as_png(learning_curves_figure(groups)))
    commands = Command([training_command(network.recipe, network.seeds) for network in networks])
    return Section("Model fitting", [text, table, curves, commands], [text, table, commands])


def _ties(networks: Sequence[Network]) -> str:
    """Which networks validation cannot tell from the first."""
    best, *others = ([record.summary["val_accuracy"] for record in network.group.records] for network in networks)
    equal = [
        network.label
        for network, values in zip(networks[1:], others, strict=True)
        if not difference_interval(best, values)[0] > 0
    ]
    return f" Validation does not tell the first from {'; nor from '.join(equal)}." if equal else ""


def _row(network: Network, first: Network) -> list[str]:
    group = network.group
    accuracies = [percent(group.mean_interval(name)) for name in ("val_accuracy", "test_accuracy")]
    row = [network.label, f"{group.num_parameters:,}", str(len(network.seeds)), *accuracies]
    if network is first:
        return [*row, "", ""]
    best, values = ([record.summary["test_accuracy"] for record in each.group.records] for each in (first, network))
    low, high = (round(100 * end, 2) + 0.0 for end in difference_interval(best, values))  # no -0.00
    share, _ = probability_first_beats_second(best, values)
    pairs = len(best) * len(values)
    difference = "-" if math.isnan(low) else together(f"{low:+.2f} to {high:+.2f}")
    return [*row, difference, f"{share * pairs:g} of {pairs}"]
