"""The section on what networks reach on the digits that MNIST itself holds."""

import math
from collections.abc import Sequence

from study.comparison.comparison_figures import MAX_CURVES, learning_curves_figure
from study.reporting.blocks import Command, Picture, Section, Table, Text
from study.reporting.commands import training_command
from study.reporting.evidence import Network
from study.reporting.written import HALF, percent
from utils.figures import as_png
from utils.statistics import difference_interval, probability_first_beats_second


def fitting_section(networks: Sequence[Network]) -> Section:
    """What the networks reach on the digits that MNIST itself holds."""
    first = networks[0]
    rows = []
    for network in networks:
        values = [record.summary["test_accuracy"] for record in network.group.records]
        best = [record.summary["test_accuracy"] for record in first.group.records]
        low, high = (100 * end for end in difference_interval(best, values))
        beats, _ = probability_first_beats_second(best, values)
        is_first = network is first
        rows.append(
            [
                network.label,
                f"{network.group.num_parameters:,}",
                str(len(network.seeds)),
                percent(network.group.mean_interval("val_accuracy")),
                percent(network.group.mean_interval("test_accuracy")),
                "" if is_first or math.isnan(low) else f"{low:+.2f} to {high:+.2f}",
                "" if is_first else f"{beats:.0%}",
            ]
        )
    header = ["network", "parameters", "seeds", "validation", "test", "first minus this, points", "first beats this"]
    text = Text(
        f"Accuracies are {HALF}, the networks in the order of their validation accuracy, which alone chose epochs and "
        "settings. The last two columns compare the first network with each on the test set: Welch's 95 % interval of "
        "the difference, and the share of all pairs of seeds that it wins."
    )
    commands = Command([training_command(network.recipe, network.seeds) for network in networks])
    table = Table(header, rows)
    groups = [network.group for network in networks][:MAX_CURVES]
    curves = Picture("learning_curves", "Learning curves", as_png(learning_curves_figure(groups)))
    return Section("Model fitting", [text, table, curves, commands], [text, table, commands])
