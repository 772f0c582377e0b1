"""The section on what becomes of networks beyond the test set."""

import math
from collections.abc import Sequence

from study.comparison.comparison_figures import MAX_CURVES
from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.generalisation.scorecard_figures import scorecard_figures
from study.reporting.blocks import Block, Command, Picture, Section, Table, Text
from study.reporting.evidence import Network
from study.reporting.written import HALF
from utils.figures import as_png

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
FIGURE_DESCRIPTIONS = {
    "shift maps": "Accuracy where all digits were moved by so many pixels",
    "size and rotation": "Accuracy over the size and over the angle of the digits",
    "corruptions": "Accuracy under MNIST-C's corruptions; the lines reach from the lowest seed to the highest",
    "no digit at all": "How well four measures tell what is no digit from test digits (1: always, 0.5: not at all)",
    "adversarial": "Accuracy on digits that were changed so that the network errs",
    "abstaining and calibration": "Error if only the surest answers are given; accuracy of answers by their confidence",
}
BRIEF_FIGURES = ("shift maps", "corruptions")


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
