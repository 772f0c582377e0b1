"""The section on what becomes of networks beyond the test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.comparison.comparison_figures import MAX_CURVES
from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.generalisation.scorecard_figures import scorecard_figures
from study.reporting.blocks import Block, Command, Picture, Section, Table, Text
from study.reporting.evidence import Network
from study.reporting.written import HALF
from utils.figures import as_png

TITLE = "Generalisation: what becomes of it elsewhere"


@dataclass(frozen=True)
class Question:
    """A table: columns by their heads, each a cell of the scorecard, and what is to be said of them."""

    text: str
    columns: Mapping[str, str]

    def blocks(self, networks: Sequence[Network]) -> list[Block]:
        rows = [[network.label, *(network.written(name) for name in self.columns.values())] for network in networks]
        header = [f"{column}, n {networks[0].num_images(name):,}" for column, name in self.columns.items()]
        return [Text(self.text), Table(["network", *header], rows)]


HANDS = Question(
    f"Digits by other hands, accuracy in percent: {HALF}, all on the same digits; where that interval would leave "
    "0 to 100, the lowest and the highest seed instead. n is the number of images. Uncontested are the test "
    "digits whose label human raters do not dispute. Worst writers: the mean accuracy of the tenth of the test "
    "digits' writers with the lowest accuracy; some would be low by chance, and the last column says how low if "
    "all writers were alike.",
    {
        "test": "MNIST test",
        "uncontested labels": "MNIST test, uncontested labels",
        "USPS": "USPS",
        "scikit-learn's digits": "scikit-learn's digits",
        "worst writers": "worst tenth of the writers",
        "if all were alike": "the same if all writers were alike",
    },
)
PLACES = Question(
    "Digits that lie elsewhere, are turned, smaller or dirty. The worst case counts digits that are right after every "
    "one of 775 moves by up to 3 px and 30 degrees; corrupted is the mean over the 15 corruptions of MNIST-C.",
    {
        "moved by up to 4 px": NEARBY,
        "turned by 40°": "turned by 40 degrees either way",
        "scaled by 0.7": "scaled by 0.7",
        "worst of 3 px, 30°": "worst of 3 px and 30 degrees",
        "corrupted": MEAN,
    },
)
SURENESS = Question(
    "What the networks know of themselves: the calibration error in percent before and after one temperature that was "
    "fitted on validation digits, and the error when the least sure twentieth is not answered.",
    {
        "calibration error": "calibration error",
        "temperature": "temperature",
        "calibration error with it": "calibration error at this temperature",
        "error on the surest 95 %": "error on the surest 95%",
    },
)
STRANGERS = Question(
    "What is no digit, and what was made to deceive. First how often a test digit is more familiar to the network "
    "than such an image (AUROC, in percent; 50 is chance), by the energy of the logits, one of four measures in "
    "the picture. Then the accuracy when each pixel may be changed by 0.1 of its range, in one step (FGSM) or "
    "twenty (PGD), or all of them together by a length of 1.5 (l2): upper bounds, for stronger attacks exist.",
    {
        "Fashion-MNIST": "Fashion-MNIST: AUROC, energy",
        "KMNIST": "KMNIST: AUROC, energy",
        "noise": "noise: AUROC, energy",
        "FGSM 0.1": "FGSM of 0.1",
        "PGD 0.1": "PGD of 0.1",
        "PGD l2 1.5": "PGD, l2 of 1.5",
    },
)
DESCRIPTIONS = {
    "shift maps": "Accuracy where all digits were moved by so many pixels",
    "size and rotation": "Accuracy over the size and over the angle of the digits",
    "corruptions": "Accuracy under MNIST-C's corruptions; the lines reach from the lowest seed to the highest",
    "no digit at all": "How well four measures tell what is no digit from test digits (1: always, 0.5: not at all)",
    "adversarial": "Accuracy on digits that were changed so that the network errs",
    "abstaining and calibration": "Error if only the surest answers are given; accuracy of answers by their confidence",
}


def generalisation_section(networks: Sequence[Network]) -> Section:
    """What becomes of them beyond the test set."""
    figures = scorecard_figures({network.label: network.cards for network in networks[:MAX_CURVES]})
    left_out = f"; of the first {MAX_CURVES} networks" if len(networks) > MAX_CURVES else ""
    shift_maps, sizes, corruptions, strangers, attacks, sureness = (
        Picture(name.replace(" ", "_"), f"{description}{left_out}", as_png(figures[name]))
        for name, description in DESCRIPTIONS.items()
    )
    reading = [*HANDS.blocks(networks), *PLACES.blocks(networks)]
    knowing = [*SURENESS.blocks(networks), sureness, *STRANGERS.blocks(networks), strangers, attacks]
    brief = [*reading, shift_maps, corruptions, *STRANGERS.blocks(networks), Command(["mnist scorecard RUN ..."])]
    return Section(TITLE, [*reading, shift_maps, sizes, corruptions, *knowing, *_notes(networks)], brief)


def _notes(networks: Sequence[Network]) -> list[Block]:
    """Where digits come from, what is missing, and the commands."""
    cards = [card for network in networks for card in network.cards]
    sources = sorted({source for card in cards for source in card.parts["corruptions"].curves.get("sources", [])})
    missing = sorted({f"{name}: {cell.missing}" for card in cards for name, cell in card.cells.items() if cell.missing})
    commands = [f"mnist scorecard {' '.join(card.run_name for card in network.cards)}" for network in networks]
    return [
        Text(f"The corrupted digits: {'; '.join(sources)}."),
        *(Text(f"Not measured: {reason}") for reason in missing),
        Command(commands),
    ]
