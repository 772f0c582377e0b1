"""The last section: is it solved?"""

from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.reporting.blocks import Block, Command, Section, Table, Text
from study.reporting.evidence import Evidence
from study.reporting.written import percent

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
    text = [f"On MNIST's own terms: {first.label}, which validation prefers, names {percent(test)} of the test digits."]
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
    blocks: list[Block] = [Text(" ".join(text)), table, Command(["mnist report"])]
    return Section("Conclusion: is it solved?", blocks, blocks)
