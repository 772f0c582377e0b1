"""The last section: is it solved?"""

from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.reporting.blocks import Block, Command, Section, Table, Text
from study.reporting.evidence import Evidence
from study.reporting.written import percent

WORST = "worst of 3 px and 30 degrees"
# What handwriting from elsewhere may be like.
ABROAD = (
    "USPS",
    "scikit-learn's digits",
    NEARBY,
    "turned by 20 degrees either way",
    "turned by 40 degrees either way",
    "scaled by 0.7",
    "scaled by 1.3",
    WORST,
    MEAN,
)
READS = 0.95  # what counts as reading it
AND_AS_A_TASK = " and as a task."
BUT = (
    ", and reading handwritten digits is not: a test accuracy tells how well digits are read that were centred and "
    "scaled for the reader."
)


def conclusion_section(evidence: Evidence) -> Section:
    """What the evidence says of the question."""
    first, rows, failed, unread = evidence.networks[0], [], [], []
    for name in ABROAD:
        values = [(found[0], network.label) for network in evidence.networks if (found := network.mean(name))]
        chosen = first.mean(name)
        if chosen is None:
            continue
        lowest, highest = min(values), max(values)
        rows.append([name, f"{chosen[0]:.1%}", f"{lowest[0]:.1%}", f"{highest[0]:.1%}", highest[1]])
        failed += [name] * (chosen[0] < READS)
        unread += [name] * (highest[0] < READS)
    texts = [
        f"On MNIST's own terms: {first.label}, which validation prefers, names "
        f"{percent(first.group.mean_interval('test_accuracy'))} of the test digits right.",
        *_ceiling(evidence),
        f"As a test of reading: of {len(rows)} conditions in which digits may come elsewhere, this network stays under "
        f"{READS:.0%} in {len(failed)}{_named(failed)}. In {len(unread)} of them no network of the table reaches "
        f"{READS:.0%}{_named(unread)}.",
        *_price(evidence),
        *_deceived(evidence),
        f"So, by these networks and measures, MNIST is solved as a test set{BUT if failed else AND_AS_A_TASK}",
    ]
    table = Table(["condition", "chosen by validation", "lowest", "highest", "reached by"], rows)
    note = Text("The highest was found by looking at the very digits that it is judged on, so it flatters a little.")
    blocks: list[Block] = [Text(" ".join(texts)), table, note, Command(["mnist report"])]
    return Section("Conclusion: is it solved?", blocks, blocks)


def _named(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _ceiling(evidence: Evidence) -> list[str]:
    if evidence.limits is None:
        return []
    ceiling, total = evidence.limits["ceiling_of_uncontested_labels"], evidence.limits["num_digits"]
    accuracy = evidence.networks[0].group.mean_interval("test_accuracy")[0]
    return [
        f"Contested labels put the ceiling at about {ceiling:.2%}, which leaves {(ceiling - accuracy) * total:.0f} of "
        f"{total:,} digits to gain; all but {evidence.limits['wrong_in_every_network']} of the {total:,} are named "
        "right by some network."
    ]


def _price(evidence: Evidence) -> list[str]:
    """What the most steadfast network of small moves pays for that."""
    first = evidence.networks[0]
    steadfast = max(evidence.networks, key=lambda network: (network.mean(WORST) or (0.0, 0.0))[0])
    figures = [(network.mean(WORST), network.mean(MEAN)) for network in (steadfast, first)]
    if steadfast is first or any(value is None for pair in figures for value in pair):
        return []
    (worst, corrupted), (_, others) = ([value[0] for value in pair if value] for pair in figures)
    return [
        f"What helps in one place need not in another: {steadfast.label}, highest in the worst case of small moves "
        f"({worst:.1%}), names {percent(steadfast.group.mean_interval('test_accuracy'))} of the test digits right "
        f"and {corrupted:.1%} of the corrupted ones; the network chosen by validation {others:.1%} of these."
    ]


def _deceived(evidence: Evidence) -> list[str]:
    """On attacks and noise."""
    first = evidence.networks[0]
    attacked, noise = first.mean("PGD of 0.1"), first.mean("noise: AUROC, energy")
    if attacked is None or noise is None:
        return []
    return [
        f"Where an adversary may change each pixel by a tenth of its range, {attacked[0]:.1%} are left; and the "
        f"network ranks a digit above uniform noise in {noise[0]:.1%} of the cases, by the energy of its logits."
    ]
