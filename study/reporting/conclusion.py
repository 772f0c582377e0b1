"""The last section: is it solved?"""

from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.reporting.blocks import Block, Command, Section, Table, Text
from study.reporting.evidence import Evidence, Network
from study.reporting.written import plain

UNCONTESTED = "MNIST test, uncontested labels"
SOLVED = 0.995  # accuracy on these from which the test set counts as solved
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
READS = 0.95  # what counts as reading digits: one in twenty may be wrong
HEADER = ("condition", "n", "chosen by validation", "reads it?", "lowest", "highest", "reached by")
VERDICTS = {1: "yes", 0: "not told", -1: "no"}


def conclusion_section(evidence: Evidence) -> Section:
    """What the evidence says of the question, by stated criteria."""
    networks = evidence.networks
    conditions = [name for name in ABROAD if all(network.values(name) for network in networks)]
    first = networks[0]
    failed = [name for name in conditions if first.is_told(name, READS) < 0]
    unread = [name for name in conditions if all(network.is_told(name, READS) < 0 for network in networks)]
    texts = [
        _answer(first, failed),
        _test_set(evidence),
        f"Elsewhere: of {len(conditions)} conditions in which digits may come, it reads fewer than {READS:.0%} in "
        f"{len(failed)}{_named(failed)}, by the interval of each seed; in {len(unread)} of them so does every "
        f"network of the table{_named(unread)}.",
        *_price(networks),
        *_deceived(first),
    ]
    table = Table(HEADER, [_row(networks, name) for name in conditions])
    note = Text("The highest was found by looking at the very digits that it is judged on, so it flatters a little.")
    blocks: list[Block] = [*(Text(text) for text in texts), table, note, Command(["mnist report"])]
    return Section("Conclusion: is it solved?", blocks, blocks)


def _answer(first: Network, failed: list[str]) -> str:
    """By the network that validation puts first."""
    as_test_set = {
        1: "MNIST is solved as a test set",
        0: "whether MNIST is solved as a test set cannot be told",
        -1: "MNIST is not even solved as a test set",
    }[first.is_told(UNCONTESTED, SOLVED)]
    as_task = (
        "reading handwritten digits as they come elsewhere is not solved"
        if failed
        else "nothing was found here that this network does not read"
    )
    return (
        f"By {first.label}, which validation puts first: {as_test_set} (taken as {SOLVED:.1%} of the digits with "
        f"uncontested labels), and {as_task} (taken as {READS:.0%} right)."
    )


def _test_set(evidence: Evidence) -> str:
    first = evidence.networks[0]
    test, uncontested = first.written("MNIST test"), first.written(UNCONTESTED)
    wrong = [(1 - cell.value) * cell.n for cell in first.cells(UNCONTESTED) if cell.value is not None]
    text = (
        f"The test set: {test} % right, {uncontested} % of those with uncontested labels, which leaves {plain(wrong)} "
        "of them to gain."
    )
    limits = evidence.limits
    if limits is None:
        return text
    missed, total = limits["wrong_in_every_network"], limits["num_digits"]
    return f"{text} All but {missed} of all {total:,} are named right by some network of {limits['num_networks']}."


def _row(networks: list[Network], name: str) -> list[str]:
    first = networks[0]
    means = [(mean, network.label) for network in networks if (mean := network.mean(name)) is not None]
    lowest, highest = min(means), max(means)
    verdict = VERDICTS[first.is_told(name, READS)]
    figures = [f"{first.num_images(name):,}", first.written(name), verdict, f"{100 * lowest[0]:.1f}"]
    return [name, *figures, f"{100 * highest[0]:.1f}", highest[1]]


def _named(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _price(networks: list[Network]) -> list[str]:
    """What the most steadfast network under small moves pays for that."""
    first = networks[0]
    steadfast = max(networks, key=lambda network: network.mean(WORST) or 0.0)
    if steadfast is first or not all(network.values(name) for network in (steadfast, first) for name in (WORST, MEAN)):
        return []
    return [
        f"What helps in one place need not in another: {steadfast.label}, highest in the worst case of small moves "
        f"({steadfast.written(WORST)} %), names {steadfast.written('MNIST test')} % of the test digits right and "
        f"{steadfast.written(MEAN)} % of the corrupted ones; the network that validation puts first "
        f"{first.written(MEAN)} % of these."
    ]


def _deceived(first: Network) -> list[str]:
    """On attacks and noise."""
    attack, noise = "PGD of 0.1", "noise: AUROC, energy"
    if not (first.values(attack) and first.values(noise)):
        return []
    return [
        f"Where an adversary may change each pixel by a tenth of its range, at most {first.written(attack)} % stay "
        f"right; and by the energy of its logits the network ranks a digit above uniform noise in "
        f"{first.written(noise)} % of the cases."
    ]
