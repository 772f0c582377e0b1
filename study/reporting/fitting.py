"""The first sections: what the digits are like, and what networks reach on those that MNIST itself holds."""

import math
from collections.abc import Sequence
from typing import Any

from study.comparison.comparison_figures import MAX_CURVES, learning_curves_figure
from study.reporting.blocks import Block, Command, Picture, Section, Table, Text, missing_section
from study.reporting.commands import training_command
from study.reporting.evidence import INSPECTION, Network
from study.reporting.written import HALF, percent
from utils.figures import as_png
from utils.statistics import difference_interval, probability_first_beats_second


def input_section(statistics: dict[str, Any] | None) -> Section:
    """What the digits are like."""
    title = "Input inspection: what the digits are like"
    if statistics is None:
        return missing_section(title, "mnist inspect")
    train, twice = statistics["splits"]["train"], statistics["duplicates"]
    right, below, off, side = (train[key] for key in ("centre_x", "centre_y", "off_centre", "longer_side"))
    counts = [part["num_digits"] for part in train["classes"].values()]
    text = [
        f"Of the {train['num_digits']:,} training digits the centre of mass lies {right['mean']:.2f} ± "
        f"{right['std']:.2f} px right of the image's middle and {below['mean']:.2f} ± {below['std']:.2f} px below it, "
        f"for 99 % of them within {off['quantile_99']:.2f} px of it: a network that learns from them never sees one "
        f"elsewhere. The longer side is {side['mean']:.2f} ± {side['std']:.2f} px, so that it never sees another size.",
        f"The largest class has {max(counts):,} digits, the smallest {min(counts):,}. {twice['within_train']} digits "
        f"occur twice in the training set, {twice['test_digits_also_in_train']} test digits stand in it.",
    ]
    people = statistics.get("writers")
    if people:
        text.append(
            f"{people['train']['num_writers']} people wrote the training digits, {people['test']['num_writers']} "
            "others the test digits."
        )
    blocks: list[Block] = [Text(" ".join(text)), Command(["mnist inspect"])]
    file = INSPECTION / "mnist_centring_size_slant.png"
    pictures = [Picture("input", "Where the training digits lie, how large they are, how they lean", file.read_bytes())]
    return Section(title, [*blocks, *(pictures if file.exists() else [])], blocks)


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
