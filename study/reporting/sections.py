"""The report's sections: the evidence in sentences, tables and pictures. No figure stands here; all are read."""

import math
from collections.abc import Sequence
from typing import Any

from study.architecture_effects import EXPLANATION, HEADER, MEASURES, effect_cells, effect_of, effects_figure
from study.comparison.comparison_figures import MAX_CURVES, learning_curves_figure
from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.generalisation.scorecard_figures import scorecard_figures
from study.hardest_digits import FOLDER as LIMITS_FOLDER
from study.hardest_digits import describe
from study.reporting.blocks import Block, Command, Picture, Section, Table, Text
from study.reporting.commands import training_command
from study.reporting.evidence import INSPECTION, Evidence, Network
from utils.figures import as_png
from utils.statistics import difference_interval, probability_first_beats_second

TEST = "MNIST test"
# Column -> the scorecard's cell: what a network reads, and what it knows of itself.
READING = {
    "test": TEST,
    "uncontested labels": "MNIST test, uncontested labels",
    "moved by up to 4 px": NEARBY,
    "turned by 40°": "turned by 40 degrees either way",
    "scaled by 0.7": "scaled by 0.7",
    "worst of 3 px, 30°": "worst of 3 px and 30 degrees",
    "corrupted": MEAN,
    "USPS": "USPS",
    "8x8 digits": "scikit-learn's digits",
    "worst tenth of writers": "worst tenth of the writers",
}
KNOWING = {
    "calibration error": "calibration error",
    "temperature": "temperature",
    "calibration error then": "calibration error at this temperature",
    "error on the surest 95 %": "error on the surest 95%",
    "AUROC Fashion": "Fashion-MNIST: AUROC, energy",
    "AUROC KMNIST": "KMNIST: AUROC, energy",
    "AUROC noise": "noise: AUROC, energy",
    "FGSM 0.1": "FGSM of 0.1",
    "PGD 0.1": "PGD of 0.1",
    "PGD l2 1.5": "PGD, l2 of 1.5",
}
# What handwriting from elsewhere may be like, and what a network that reads it should reach.
ABROAD = (
    NEARBY,
    "turned by 20 degrees either way",
    "turned by 40 degrees either way",
    "scaled by 0.7",
    "scaled by 1.3",
    "worst of 3 px and 30 degrees",
    MEAN,
    "USPS",
    "scikit-learn's digits",
    "PGD of 0.1",
)
READS = 0.95
HALF = "means over the seeds ± half the width of Student's 95 % interval"
FIGURE_DESCRIPTIONS = {
    "shift maps": "Accuracy where all digits were moved by so many pixels",
    "size and rotation": "Accuracy over the size and over the angle of the digits",
    "corruptions": "Accuracy under MNIST-C's corruptions; the lines reach from the lowest seed to the highest",
    "no digit at all": "How well four measures tell what is no digit from test digits (1: always, 0.5: not at all)",
    "adversarial": "Accuracy on digits that were changed so that the network errs",
    "abstaining and calibration": "Error if only the surest answers are given; accuracy of answers by their confidence",
}
BRIEF_FIGURES = ("shift maps", "corruptions")


def report_sections(evidence: Evidence) -> list[Section]:
    """All sections, from the digits to the conclusion."""
    return [
        input_section(evidence.inspection),
        fitting_section(evidence.networks),
        generalisation_section(evidence.networks),
        architecture_section(evidence.architecture),
        limits_section(evidence.limits),
        conclusion_section(evidence),
    ]


def _missing(title: str, command: str) -> Section:
    blocks = [Text("This study was not made yet; it is made by:"), Command([command])]
    return Section(title, blocks, blocks)


def input_section(statistics: dict[str, Any] | None) -> Section:
    """What the digits are like."""
    title = "Input inspection: what the digits are like"
    if statistics is None:
        return _missing(title, "mnist inspect")
    train, twice = statistics["splits"]["train"], statistics["duplicates"]
    right, below, off, side = (train[key] for key in ("centre_x", "centre_y", "off_centre", "longer_side"))
    counts = [part["num_digits"] for part in train["classes"].values()]
    text = [
        f"Of the {train['num_digits']:,} training digits the centre of mass lies {right['mean']:.2f} ± "
        f"{right['std']:.2f} px right of the image's middle and {below['mean']:.2f} ± {below['std']:.2f} px below it, "
        f"for 99 % of them within {off['quantile_99']:.2f} px of it: a network that learns from them never sees a digit "
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
                _percent(network.group.mean_interval("val_accuracy")),
                _percent(network.group.mean_interval("test_accuracy")),
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


def generalisation_section(networks: Sequence[Network]) -> Section:
    """What becomes of them beyond the test set."""
    series = {network.label: network.cards for network in networks[:MAX_CURVES]}
    pictures = {
        name: Picture(name.replace(" ", "_"), FIGURE_DESCRIPTIONS[name], as_png(figure))
        for name, figure in scorecard_figures(series).items()
    }
    reading = Text(f"The same networks on digits as MNIST does not have them, accuracy in percent, {HALF}.")
    knowing = Text(
        "What they know of themselves: the calibration error before and after one temperature that was fitted on "
        "validation digits, the error when the least sure twentieth is not answered, how well the energy of the logits "
        "tells images that are no digits, and the accuracy under attack. In percent, but for the temperature."
    )
    source = networks[0].cards[0].parts["corruptions"].curves.get("source", "")
    missing = sorted(
        {
            f"{name}: {cell.missing}"
            for network in networks
            for card in network.cards
            for name, cell in card.cells.items()
            if cell.missing
        }
    )
    notes = [Text(f"The corrupted digits: {source}."), *(Text(f"Not measured: {line}") for line in missing)]
    commands = Command([f"mnist scorecard {' '.join(card.run_name for card in network.cards)}" for network in networks])
    tables = (
        Table(["network", *READING], _cells(networks, READING)),
        Table(["network", *KNOWING], _cells(networks, KNOWING)),
    )
    everything: list[Block] = [reading, tables[0]]
    everything += [pictures[name] for name in ("shift maps", "size and rotation", "corruptions")]
    everything += [knowing, tables[1]]
    everything += [pictures[name] for name in ("abstaining and calibration", "no digit at all", "adversarial")]
    brief: list[Block] = [reading, tables[0], *(pictures[name] for name in BRIEF_FIGURES), knowing, tables[1]]
    brief.append(Command(["mnist scorecard RUN ..."]))
    return Section("Generalisation", [*everything, *notes, commands], brief)


def _cells(networks: Sequence[Network], columns: dict[str, str]) -> list[list[str]]:
    return [[network.label, *(_cell(network, name) for name in columns.values())] for network in networks]


def _cell(network: Network, name: str) -> str:
    found = network.mean(name)
    if found is None:
        return "-"
    scale = 1 if network.cells(name)[0].kind == "number" else 100
    mean, half_width = (scale * value for value in found)
    return f"{mean:.2f}" if math.isnan(half_width) else f"{mean:.2f} ± {half_width:.2f}"


def _percent(interval: tuple[float, float]) -> str:
    mean, half_width = interval
    return f"{mean:.2%}" if math.isnan(half_width) else f"{mean:.2%} ± {half_width:.2%}"


def architecture_section(results: dict[str, Any] | None) -> Section:
    """Which property buys what."""
    title = "Which property buys what"
    if results is None:
        return _missing(title, "mnist architecture")
    sentences = []
    for measure in MEASURES:
        effects = {
            f"{network['property']}, {network['label']}": effect
            for network in results["networks"][1:]
            if (effect := effect_of(results, network, measure))
        }
        told = {name: effect for name, effect in effects.items() if effect[1] > 0 or effect[2] < 0}
        if not told:
            sentences.append(f"{measure}: no difference that {len(results['seeds'])} seeds can tell from chance.")
            continue
        best, worst = max(told, key=lambda name: told[name][0]), min(told, key=lambda name: told[name][0])
        parts = [f"{name} {100 * told[name][0]:+.2f}" for name in dict.fromkeys((best, worst))]
        sentences.append(f"{measure}: {'; '.join(parts)} ({len(told)} of {len(effects)} told from chance).")
    network = results["networks"][0]
    text = Text(
        f"{len(results['networks']) - 1} networks differ from {network['model']} in one property each, seeds "
        f"{', '.join(map(str, results['seeds']))}. The largest gain and the largest loss, in percentage points, "
        f"of those whose interval leaves out zero: {' '.join(sentences)}"
    )
    picture = Picture("architecture", "What each property buys, a panel a question", as_png(effects_figure(results)))
    explanation, table = Text(EXPLANATION), Table(HEADER, effect_cells(results))
    command = Command([results["command"]])
    return Section(title, [text, picture, explanation, table, command], [text, picture, command])


def limits_section(values: dict[str, Any] | None) -> Section:
    """What no network gets."""
    title = "What no network gets"
    if values is None:
        return _missing(title, "mnist limits")
    text = [Text(line) for line in describe(values)]
    files = {name: LIMITS_FOLDER / f"{name}.png" for name in ("hardest_digits", "missed_by_all")}
    descriptions = {
        "hardest_digits": "The hardest test digits: label, most frequent wrong answer, share of networks that err",
        "missed_by_all": "How many digits all of so many networks get wrong",
    }
    pictures = [Picture(name, descriptions[name], file.read_bytes()) for name, file in files.items() if file.exists()]
    command = Command(["mnist limits"])
    return Section(title, [*text, *pictures, command], [*text, *pictures[:1], command])


def conclusion_section(evidence: Evidence) -> Section:
    """Is it solved?"""
    first, known = evidence.networks[0], []
    for name in ABROAD:
        values = [(found[0], network.label) for network in evidence.networks if (found := network.mean(name))]
        chosen = first.mean(name)
        if chosen and values:
            lowest, highest = min(values), max(values)
            known.append((name, chosen[0], lowest, highest))
    rows = [
        [name, f"{chosen:.1%}", f"{lowest[0]:.1%}, {lowest[1]}", f"{highest[0]:.1%}, {highest[1]}"]
        for name, chosen, lowest, highest in known
    ]
    test = first.group.mean_interval("test_accuracy")
    failed = [name for name, chosen, _, _ in known if chosen < READS]
    unread = [name for name, _, _, highest in known if highest[0] < READS]
    text = [
        f"On MNIST's own terms: {first.label}, which validation prefers, names {_percent(test)} of the test digits."
    ]
    if evidence.limits:
        text.append(
            f"Contested labels put the ceiling at about {evidence.limits['ceiling_of_uncontested_labels']:.2%}; what "
            "is left between is a few dozen digits, most of which some network gets."
        )
    text.append(
        f"As a test of reading handwriting: of the {len(known)} conditions below, in which MNIST's digits or those of "
        f"others come as they may elsewhere, this network stays under {READS:.0%} in {len(failed)}"
        + (f" ({', '.join(failed)})." if failed else ".")
    )
    text.append(
        f"In {len(unread)} of them no network of the table reaches {READS:.0%}"
        + (f" ({', '.join(unread)})." if unread else ".")
        + " A test accuracy says how well a network reads digits that were centred and scaled for it, and little of any"
        " others."
    )
    solved = "solved" if not failed else "solved as a test set, not as a task"
    text.append(f"So MNIST is {solved}, by these networks and these measures.")
    table = Table(["condition", f"chosen by validation: {first.label}", "lowest", "highest"], rows)
    blocks = [Text(" ".join(text)), table, Command(["mnist report"])]
    return Section("Conclusion: is it solved?", blocks, blocks)
