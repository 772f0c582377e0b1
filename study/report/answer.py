"""The answer of the report: the accuracy on the test set, and the conditions in which networks fail."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model_interpretation.metrics import CONTESTED_TEST_DIGITS, NUM_RATED_TEST_DIGITS
from study.figures import MAX_CURVES, legend_below, panel
from study.report.evidence import DAGGER, Network
from study.scorecard import FULL, METRICS
from utils.document import Block, Command, Facts, Table, Text, picture_of
from utils.figures import COLORS, figure_style, percent_axis
from utils.statistics import MIN_SEEDS, difference_interval

# Accuracies under conditions that nobody chose to defeat a network.
CONDITIONS = (
    "usps_accuracy", "sklearn_digits_accuracy", "pictures_accuracy", "shift_4px", "rotation_20", "rotation_40",
    "scale_0.7", "scale_1.3", "corruptions_mean", *(metric for metric in FULL if metric.startswith("condition_")),
)  # fmt: skip
# Accuracies in the worst case of many tries for each digit: no average condition, so they stand apart.
ADVERSARIAL = ("spatial_worst_case", "robust_linf_0.1", "pgd_linf_0.1")
THRESHOLDS = (0.90, 0.95, 0.98, 0.99, 0.995)  # columns of the table
CURVE_THRESHOLDS = np.linspace(0.5, 1, 501)
# The columns of the README's table: metric -> heading.
HEADLINE = {
    "test_accuracy": "test digits",
    "corruptions_mean": "MNIST-C",
    "shift_4px": "shifted by up to 4 px",
    "spatial_worst_case": "worst of 775 moves",
    "robust_linf_0.1": "attacked, l-infinity 0.1",
}


@dataclass(frozen=True)
class NumFailed:
    """The number of conditions in which a network's accuracy is below a threshold."""

    estimate: int
    """By the mean over the seeds."""
    lowest: int
    """Conditions whose whole confidence interval is below the threshold."""
    highest: int
    """Conditions whose interval is not wholly at or above it."""

    def __str__(self) -> str:
        return f"{self.estimate}" + (f" ({self.lowest} to {self.highest})" if self.lowest < self.highest else "")


@dataclass(frozen=True)
class Accuracies:
    """A network's mean accuracy under each condition with the ends of its interval. Without enough seeds for an
    interval its ends are the mean."""

    means: Float64[np.ndarray, " conditions"]
    lows: Float64[np.ndarray, " conditions"]
    highs: Float64[np.ndarray, " conditions"]

    @staticmethod
    def of(network: Network, conditions: Sequence[str]) -> "Accuracies":
        rows = []
        for metric in conditions:
            interval = network.interval(metric)
            if interval is not None:
                has_interval = interval.has_enough_seeds and not np.isnan(interval.low)
                ends = (interval.low, interval.high) if has_interval else (interval.value, interval.value)
                rows.append((interval.value, *ends))
        return Accuracies(*np.array(rows, dtype=np.float64).reshape(-1, 3).T)

    def num_failed(self, threshold: float) -> NumFailed:
        """Counts the conditions whose accuracy is below the threshold."""
        return NumFailed(*(int((values < threshold).sum()) for values in (self.means, self.highs, self.lows)))


def tied_with_the_first(networks: Sequence[Network]) -> list[Network]:
    """The first network and those on which it is not significantly better on validation: no choice between them is
    justified."""
    best = networks[0].group.values("val_accuracy")
    others = (
        network
        for network in networks[1:]
        if not difference_interval(best, network.group.values("val_accuracy"))[0] > 0
    )
    return [networks[0], *others]


def measured_conditions(networks: Sequence[Network]) -> list[str]:
    """The conditions that every network has."""
    return [metric for metric in CONDITIONS if all(network.values(metric) for network in networks)]


def answer(networks: Sequence[Network]) -> list[Block]:
    """What the best networks by validation can and cannot do, and one figure."""
    first, tied = networks[0], tied_with_the_first(networks)
    conditions = measured_conditions(tied)
    blocks: list[Block] = [Facts(_facts(first, conditions)), Text(_test_set_sentences(first, tied))]
    if not conditions:
        return [*blocks, Text("Other conditions have not been measured:"), Command([first.scorecard_command])]
    blocks.append(Text(" ".join([*_condition_sentences(networks, tied, conditions), *_adversarial_sentences(first)])))
    shared = measured_conditions(networks)
    shown = networks if shared else tied
    caption = (
        f"Number of {len(shared or conditions)} conditions in which the accuracy is below the threshold, for every "
        "threshold; the band is what the confidence intervals leave open"
    )
    return [*blocks, picture_of(thresholds_figure(shown, shared or conditions), caption, "study_thresholds")]


def _facts(first: Network, conditions: Sequence[str]) -> list[tuple[str, str]]:
    """The answer in two or three numbers."""
    facts = [(f"test accuracy of {first.label}", f"{first.group.interval('test_accuracy').value:.2%}")]
    if conditions:
        num_failed = Accuracies.of(first, conditions).num_failed(0.95).estimate
        lowest = min(conditions, key=first.mean)
        facts += [
            ("other conditions below 95 %", f"{num_failed} of {len(conditions)}"),
            (f"lowest of these: {METRICS[lowest].label}", f"{first.mean(lowest):.1%}"),
        ]
    return facts


def _test_set_sentences(first: Network, tied: Sequence[Network]) -> str:
    text = (
        f"The test set: {first.label}, the recipe with the best validation accuracy, classifies "
        f"{first.text('test_accuracy')} of MNIST's test digits correctly"
    )
    if first.values("accuracy_without_contested"):
        text += (
            f", and {first.text('accuracy_without_contested')} without the {len(CONTESTED_TEST_DIGITS)} digits whose "
            "label human raters rejected"
        )
    text += f". Only about {NUM_RATED_TEST_DIGITS} labels were ever rated, so the highest possible accuracy is unknown."
    num_seeds = len(first.seeds)
    if num_seeds < MIN_SEEDS:
        seeds = "1 seed is" if num_seeds == 1 else f"{num_seeds} seeds are"
        text += f" {seeds} too few for an interval or a claim: at least {MIN_SEEDS} are needed."
    if len(tied) > 1:
        names = "; ".join(network.label for network in tied[1:])
        text += (
            f" On validation, this recipe is not significantly better than {names}: what follows holds for all "
            f"{len(tied)}, with the range over them."
        )
    return text


def _condition_sentences(networks: Sequence[Network], tied: Sequence[Network], conditions: Sequence[str]) -> list[str]:
    first = networks[0]
    parts, of_tied = [], [Accuracies.of(network, conditions) for network in tied]
    for threshold in (0.90, 0.95, 0.99):
        counts = [accuracies.num_failed(threshold).estimate for accuracies in of_tied]
        spread = f" ({min(counts)} to {max(counts)})" if min(counts) < max(counts) else ""
        parts.append(f"below {100 * threshold:g} % under {counts[0]}{spread}")
    lowest = min(conditions, key=first.mean)
    sentences = [
        f"Other conditions: of {len(conditions)}, the accuracy is {', '.join(parts[:-1])} and {parts[-1]}. It is "
        f"lowest for '{METRICS[lowest].label}' ({first.text(lowest)}). No threshold separates solved from "
        "unsolved, so the figure shows all."
    ]
    shared = measured_conditions(networks)
    if len(networks) > 1 and shared:
        at_95 = {network.label: Accuracies.of(network, shared).num_failed(0.95) for network in networks}
        fewest = min(at_95, key=lambda label: at_95[label].estimate)
        sentences.append(
            f"Of all {len(networks)} networks of this report, {fewest} is below 95 % under the fewest of the "
            f"{len(shared)} conditions that all have, {at_95[fewest]}."
        )
    return sentences


def _adversarial_sentences(first: Network) -> list[str]:
    measured = [metric for metric in ADVERSARIAL if first.values(metric)]
    if "robust_linf_0.1" in measured:  # by a stronger attack than PGD
        measured.remove("pgd_linf_0.1")
    texts = [f"{METRICS[metric].label} {first.text(metric)}" for metric in measured]
    return [f"Worst cases, sought for each digit, stand apart: {'; '.join(texts)}."] if texts else []


@figure_style()
def thresholds_figure(networks: Sequence[Network], conditions: Sequence[str]) -> Figure:
    """The number of conditions below the threshold over the threshold: the first network with its band, the others."""
    shown = networks[:MAX_CURVES]
    accuracies = {network.label: Accuracies.of(network, conditions) for network in shown}
    counts = {label: list(map(each.num_failed, CURVE_THRESHOLDS)) for label, each in accuracies.items()}
    at_95 = {label: each.num_failed(0.95).estimate for label, each in accuracies.items()}
    first, fewest = shown[0].label, min(at_95, key=at_95.__getitem__)
    title = f"{first} is below 95 % in {at_95[first]} of {len(conditions)} conditions"
    if at_95[fewest] < at_95[first]:
        title += f", {fewest} in {at_95[fewest]}"
    figure, axes = panel(title, list(counts))
    for number, (label, by_threshold) in reversed(list(enumerate(counts.items()))):
        color = COLORS[number]
        if number == 0:
            low, high = [count.lowest for count in by_threshold], [count.highest for count in by_threshold]
            axes.fill_between(CURVE_THRESHOLDS, low, high, step="post", color=color, alpha=0.2, linewidth=0)
        axes.step(CURVE_THRESHOLDS, [count.estimate for count in by_threshold], where="post", color=color,
                  linewidth=2.4 if number == 0 else 1.2, label=label)  # fmt: skip
    percent_axis(axes, "x")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="threshold of the accuracy", ylabel="conditions below the threshold", xlim=(0.5, 1),
             ylim=(0, len(conditions) + 0.3))  # fmt: skip
    legend_below(figure, list(counts))
    return figure


# The table and the findings of the README.


def headline_table(networks: Sequence[Network]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the accuracies of each network in percent, with the number of images in the header. Conditions
    that were measured for no network are left out."""
    counts = {
        metric: next((network.results(metric)[0].n for network in networks if network.results(metric)), 0)
        for metric in HEADLINE
    }
    shown = [metric for metric in HEADLINE if counts[metric] or metric == "test_accuracy"]
    columns = [f"{HEADLINE[metric]}{f', n {counts[metric]:,}' if counts[metric] else ''}" for metric in shown]
    rows = [
        [network.label, f"{network.group.num_parameters:,}", str(len(network.seeds)),
         *(_headline_cell(network, metric) for metric in shown)]
        for network in networks
    ]  # fmt: skip
    return ["recipe", "parameters", "seeds", *columns], rows


def _headline_cell(network: Network, metric: str) -> str:
    """Such as `99.62 (99.55-99.69)`, without an interval for too few seeds; `-` if a seed has no value."""
    interval = network.interval(metric)
    if interval is None:
        return "-"
    digits = 2 if metric == "test_accuracy" else 1
    value, low, high = (f"{100 * part:.{digits}f}" for part in (interval.value, interval.low, interval.high))
    has_interval = interval.has_enough_seeds and not np.isnan(interval.low)
    return f"{value}{f' ({low}-{high})' if has_interval else ''}{DAGGER if network.is_trained_on(metric) else ''}"


def headline_findings(networks: Sequence[Network]) -> list[tuple[str, str]]:
    """The findings of the README, each with a heading: the first network on the test digits, on real handwriting, under
    other conditions and in the worst case, and the network with the best worst case. Findings that were not measured
    are missing."""
    first = networks[0]
    findings = [
        (
            "The test set.",
            f"`{first.label}` classifies {first.text('test_accuracy')} of MNIST's test digits correctly. Human raters "
            f"saw only about {NUM_RATED_TEST_DIGITS} of the labels and rejected {len(CONTESTED_TEST_DIGITS)}, so the "
            "highest possible accuracy is unknown.",
        )
    ]
    handwriting = {
        "usps_accuracy": "digits from envelopes (USPS)",
        "sklearn_digits_accuracy": "digits of scikit-learn's set",
        "pictures_accuracy": "photographs and scans of handwriting",
    }
    parts = [
        f"{first.text(metric)} of {first.results(metric)[0].n:,} {name}"
        for metric, name in handwriting.items()
        if first.values(metric)
    ]
    if parts:
        findings.append(("Real handwriting.", f"It reads {'; '.join(parts)}."))
    conditions = measured_conditions([first])
    if conditions:
        num_failed = Accuracies.of(first, conditions).num_failed(0.95).estimate
        examples = sorted(set(conditions) - {"corruptions_mean"}, key=first.mean)[:3]
        lowest = "; ".join(f"{METRICS[metric].label}, {first.text(metric)}" for metric in examples)
        text = f"Of {len(conditions)} other conditions, {num_failed} are below 95 %."
        findings.append(("Other conditions.", f"{text} The lowest three: {lowest}."))
    worst_case, attack, corruptions = "spatial_worst_case", "robust_linf_0.1", "corruptions_mean"
    if first.values(worst_case):
        text = f"{first.text(worst_case)} of the digits survive the worst of 775 moves by up to 3 px and 30 degrees"
        if first.values(attack):
            text += f", and {first.text(attack)} an attack that changes no pixel by more than a tenth"
        findings.append(("Worst cases.", f"{text}."))
    robust = max(networks, key=lambda network: np.nan_to_num(network.mean(worst_case), nan=-1))
    if robust is not first and robust.values(corruptions) and first.values(corruptions):
        text = (
            f"{robust.label} has the best worst case, {robust.text(worst_case)}, but reads "
            f"{robust.text('test_accuracy')} of the test digits and {robust.text(corruptions)} of MNIST-C's corrupted "
            f"ones, where {first.label} reads {first.text(corruptions)}."
        )
        findings.append(("A remedy and its price.", text))
    return findings


# The table of the conditions.

CONDITIONS_HEADER = ("condition", "n", "first by validation", "lowest", "highest", "highest network")


def conditions_blocks(networks: Sequence[Network]) -> list[Block]:
    """The number of failed conditions for some thresholds, and each condition with its extremes."""
    shared = measured_conditions(networks)
    blocks: list[Block] = []
    if shared:
        header = ("network", *(f"below {100 * threshold:g} %" for threshold in THRESHOLDS))
        rows = [[network.label, *map(str, map(Accuracies.of(network, shared).num_failed, THRESHOLDS))]
                for network in networks]  # fmt: skip
        note = (
            f"Number of the {len(shared)} conditions that all networks have in which the mean accuracy is below the "
            "threshold; in brackets the range that the 95 % confidence intervals leave open, for at least five seeds."
        )
        blocks += [Text(note), Table(header, rows)]
    rows = [_condition_row(networks, metric) for metric in CONDITIONS if networks[0].values(metric)]
    if rows:
        note = (
            "Each condition: the first network by validation, the lowest and the highest mean of all networks. The "
            f"highest is selected on the digits on which it is measured, so it is slightly optimistic. {DAGGER} marks "
            "networks whose training covers the condition: for them it is no new condition."
        )
        blocks += [Text(note), Table(CONDITIONS_HEADER, rows)]
    return blocks


def _condition_row(networks: Sequence[Network], metric: str) -> list[str]:
    measured = sorted((network for network in networks if network.values(metric)), key=lambda each: each.mean(metric))
    lowest, highest = measured[0], measured[-1]
    mark = f" {DAGGER}" if highest.is_trained_on(metric) else ""
    return [
        METRICS[metric].label,
        f"{networks[0].results(metric)[0].n:,}",
        networks[0].text(metric),
        f"{lowest.mean(metric):.1%}",
        f"{highest.mean(metric):.1%}",
        f"{highest.label}{mark}",
    ]
