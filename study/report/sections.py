"""The answer and the sections of the report. The texts contain no results: every number comes from the evidence."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from study.ablation import EXPLANATION, HEADER, MEASURES, AblationResults, effect_rows, effects_figure
from study.comparison.figures import MAX_CURVES, learning_curves_figure
from study.comparison.groups import percent
from study.label_errors import DESCRIPTIONS, label_errors_folder, sentences
from study.report.evidence import Network, interval_text, unbroken
from study.scorecard import METRICS
from study.scorecard.figures import CAPTIONS, scorecard_figures
from trainers.recipes import training_command
from utils.document import Block, Command, Picture, Section, Table, Text, picture_of
from utils.figures import COLOURS, INK, plain_axes
from utils.files import output_folder
from utils.statistics import difference_interval, probability_first_beats_second

INTERVALS = "means over the seeds ± the margin of Student's 95 % confidence interval"
MIN_TEST_ACCURACY = 0.995  # on digits with uncontested labels: criterion for the test set
MIN_CONDITION_ACCURACY = 0.95  # criterion for every other condition
CRITERION = f"{100 * MIN_CONDITION_ACCURACY:g} %"
CONDITIONS = (
    "usps_accuracy", "sklearn_digits_accuracy", "shift_4px", "rotation_20", "rotation_40", "scale_0.7", "scale_1.3",
    "spatial_worst_case", "corruptions_mean",
)  # fmt: skip


def _missing_study(title: str, command: str) -> Section:
    return Section(title, [Text("This study has not been made yet. The command for it:"), Command([command])])


# The answer.


def answer(networks: Sequence[Network]) -> list[Block]:
    """Whether MNIST is solved, by stated criteria: three sentences and one figure."""
    first = networks[0]
    solved = {True: "is solved", False: "is not solved", None: "may be solved (undecided)"}
    uncontested = (
        f"{first.percent('uncontested_accuracy')} of those with uncontested labels"
        if first.values("uncontested_accuracy")
        else "the accuracy on those with uncontested labels has not been measured"
    )
    test_accuracy = interval_text([100 * value for value in first.group.values("test_accuracy")], largest=100)
    test_set = (
        f"As a test set, MNIST {solved[first.reaches('uncontested_accuracy', MIN_TEST_ACCURACY)]}: the recipe with the "
        f"best validation accuracy, {first.label}, classifies {test_accuracy}\u00a0% of the test digits correctly, and "
        f"{uncontested} (criterion: {100 * MIN_TEST_ACCURACY:g} %)."
    )
    conditions = [metric for metric in CONDITIONS if first.values(metric)]
    if not conditions:
        return [Text(f"{test_set} Other conditions have not been measured."), Command([first.scorecard_command])]
    failed_by = {metric: [network for network in networks if _fails(network, metric)] for metric in conditions}
    failed = [metric for metric in conditions if first in failed_by[metric]]
    lowest = min(conditions, key=first.mean)
    failing = [network for network in networks if any(network in failed_by[metric] for metric in conditions)]
    failed_by_all = [metric for metric in conditions if len(failed_by[metric]) == len(networks)]
    names = f" ({', '.join(METRICS[metric].label for metric in failed)})" if failed else ""
    task = (
        f"As a task, it {'is not solved' if failed else 'may be solved'}: the accuracy of this network is below "
        f"{CRITERION} under {len(failed)} of {len(conditions)} other conditions{names}, and lowest "
        f"for the condition '{METRICS[lowest].label}' ({first.percent(lowest)})."
    )
    others = "This report has only one recipe; 'mnist scorecard' of runs of other recipes adds them."
    if len(networks) > 1:
        others = (
            f"{len(failing)} of the {len(networks)} networks of this report fall below {CRITERION} "
            f"under at least one condition, and all of them under {len(failed_by_all)}."
        )
    figure = conditions_figure(networks, conditions)
    caption = f"Accuracy under each condition; the dashed line is the criterion, {CRITERION}"
    return [Text(f"{test_set} {task} {others}"), picture_of(figure, caption, "study_conditions")]


def _fails(network: Network, metric: str) -> bool:
    return network.reaches(metric, MIN_CONDITION_ACCURACY) is False


def conditions_figure(networks: Sequence[Network], conditions: Sequence[str]) -> Figure:
    """A row per condition: the mean and the range over the seeds of the first network, the means of the others."""
    figure = Figure(figsize=(7.5, 1.2 + 0.36 * len(conditions)), layout="constrained")
    axes = plain_axes(figure)
    for row, metric in enumerate(conditions):
        values = networks[0].values(metric)
        axes.plot([network.mean(metric) for network in networks[1:]], [row] * (len(networks) - 1), "o", color="#9aa5b1")
        axes.plot([min(values), max(values)], [row, row], color=COLOURS[0], linewidth=2)
        axes.plot(networks[0].mean(metric), row, "o", color=COLOURS[0])
    axes.axvline(MIN_CONDITION_ACCURACY, color=INK, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(conditions)), [METRICS[metric].label for metric in conditions])
    axes.set(xlabel="accuracy", xlim=(-0.02, 1.02), ylim=(len(conditions) - 0.5, -0.5))
    title = f"blue: {networks[0].label}" + ("; grey: the other networks" if len(networks) > 1 else "")
    axes.set_title(title, fontsize=10, parse_math=False)
    return figure


# Input inspection.

INSPECTION_PICTURES = {
    "mnist_centring_size_slant": "Position, size and slant of the training digits",
    "mnist_label_distribution": "Number of digits per class",
    "mnist_typical_and_unusual": "The most typical and the most unusual digits of each class, by the distance to their "
    "nearest neighbours",
}


def input_section(statistics: dict[str, Any] | None) -> Section:
    """Position, size, slant and classes of the digits, from the statistics of `mnist inspect`."""
    title = "Input inspection: properties of the digits"
    if statistics is None:
        return _missing_study(title, "mnist inspect")
    train, duplicates, writers = statistics["splits"]["train"], statistics["duplicates"], statistics.get("writers")
    counts = {name: part["num_digits"] for name, part in train["classes"].items()}
    slants = {name: part["lean_degrees"]["mean"] for name, part in train["classes"].items()}
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    straightest, steepest = min(slants, key=slants.__getitem__), max(slants, key=slants.__getitem__)
    texts = [
        f"The {train['num_digits']:,} training digits are centred: their centre of mass lies "
        f"{_mean_std(train['centre_x'])} px right of the image centre and {_mean_std(train['centre_y'])} px below it "
        f"(mean ± standard deviation), for 99 % of the digits within {train['off_centre']['quantile_99']:.2f} px. "
        "Without augmentation, no network sees an off-centre digit in training.",
        f"Their size is normalised: the longer side is {_mean_std(train['longer_side'])} px, the height "
        f"{_mean_std(train['height'])} px and the width {_mean_std(train['width'])} px.",
        f"Their slant is not normalised: {_mean_std(train['lean_degrees'])} degrees to the right, from "
        f"{slants[straightest]:.1f} on average for class {straightest} to {slants[steepest]:.1f} for class {steepest}.",
        f"The classes are nearly balanced, from {counts[rarest]:,} digits (class {rarest}) to {counts[commonest]:,} "
        f"(class {commonest}).",
        f"Duplicates: {duplicates['within_train']} within the training set, {duplicates['within_test']} within the "
        f"test set, {duplicates['test_digits_also_in_train']} test digits that are also training digits.",
    ]
    if writers:
        texts.append(
            f"{writers['train']['num_writers']} people wrote the training digits, {writers['test']['num_writers']} the "
            "test digits."
        )
    folder = output_folder("data_inspection")
    pictures = [
        Picture((folder / f"{name}.png").read_bytes(), description, name)
        for name, description in INSPECTION_PICTURES.items()
        if (folder / f"{name}.png").exists()
    ]
    return Section(title, [Text(" ".join(texts)), *pictures, Command(["mnist inspect"])])


def _mean_std(part: dict[str, float]) -> str:
    return f"{part['mean']:.2f} ± {part['std']:.2f}"


# Model fitting.

FITTING_HEADER = ("network", "parameters", "seeds", "validation", "test", "first minus this", "first is better")


def fitting_section(networks: Sequence[Network]) -> Section:
    """Validation and test accuracy of the networks, and which differences are significant."""
    best = networks[0].group.values("val_accuracy")
    ties = [
        network.label
        for network in networks[1:]
        if not difference_interval(best, network.group.values("val_accuracy"))[0] > 0
    ]
    tied = f" On validation, the first network is not significantly better than {'; '.join(ties)}." if ties else ""
    environments = [run.environment for network in networks for run in network.group.runs]
    machines = sorted({environment["device"] for environment in environments if "device" in environment})
    trained = f" Trained on {'; '.join(machines)}." if machines else ""
    text = Text(
        f"Accuracies are {INTERVALS}. The networks are sorted by validation accuracy; no choice used the test set."
        f"{tied} The last two columns compare the first network with the others on the test set: Welch's 95 % "
        "confidence interval of the difference in percentage points, and the number of pairs of seeds in which the "
        f"first network is better (ties count one half).{trained}"
    )
    table = Table(FITTING_HEADER, [_fitting_row(network, networks[0]) for network in networks])
    groups = [replace(network.group, label=network.label) for network in networks[:MAX_CURVES]]
    curves = picture_of(learning_curves_figure(groups), "Learning curves", "study_learning_curves")
    commands = Command([training_command(network.group.recipe, network.seeds) for network in networks])
    return Section("Model fitting", [text, table, curves, commands])


def _fitting_row(network: Network, first: Network) -> list[str]:
    group = network.group
    accuracies = [unbroken(percent(*group.mean_interval(name))) for name in ("val_accuracy", "test_accuracy")]
    row = [network.label, f"{group.num_parameters:,}", str(len(network.seeds)), *accuracies]
    if network is first:
        return [*row, "", ""]
    best, values = first.group.values("test_accuracy"), group.values("test_accuracy")
    low, high = (round(100 * end, 2) + 0.0 for end in difference_interval(best, values))  # no -0.00
    probability = probability_first_beats_second(best, values)
    num_pairs = len(best) * len(values)
    difference = "-" if math.isnan(low) else unbroken(f"{low:+.2f} to {high:+.2f}")
    return [*row, difference, f"{probability * num_pairs:g} of {num_pairs}"]


# Generalisation.


# The text above a table with one row per network -> the metrics in its columns.
METRIC_TABLES = {
    f"Accuracy in percent on MNIST's test digits and on other data sets: {INTERVALS}. All networks are evaluated on "
    "the same digits. If the interval would leave the range from 0 to 100, the table shows the lowest and the highest "
    "seed instead. n is the number of images or writers. Uncontested labels are those that human raters do not "
    "dispute. The worst tenth of the writers has a lower accuracy than the mean by chance alone; the expected value is "
    "that of equally difficult writers.": (
        "test_accuracy", "uncontested_accuracy", "usps_accuracy", "sklearn_digits_accuracy", "worst_writers_accuracy",
        "worst_writers_expected_accuracy",
    ),
    "Spatial and corruption robustness, accuracy in percent. The worst case counts the digits that are correct under "
    "each of a grid of shifts and rotations. The corruptions are those of MNIST-C.": (
        "shift_4px", "rotation_40", "scale_0.7", "spatial_worst_case", "corruptions_mean",
    ),
    "Calibration and selective prediction: the expected calibration error (ECE) in percent before and after "
    "temperature scaling, with one temperature fitted on validation digits; and the error in percent if the network "
    "rejects the digits with the lowest confidence.": (
        "ece", "temperature", "ece_after_temperature_scaling", "error_at_coverage_95",
    ),
    "Out-of-distribution detection by the energy score, in percent: the AUROC is the probability that a test digit "
    "scores higher than an out-of-distribution image, 50 for chance.": (
        "ood_fashion_mnist_energy", "ood_kmnist_energy", "ood_noise_energy",
    ),
    "Adversarial robustness: the accuracy in percent if an attack may change every pixel by the given part of its "
    "range, or the image by the given l2 distance. The values are upper bounds, because stronger attacks exist.": (
        "fgsm_linf_0.1", "pgd_linf_0.1", "pgd_l2_1.5",
    ),
}  # fmt: skip


def generalisation_section(networks: Sequence[Network]) -> Section:
    """The networks' scorecards: performance beyond the test set."""
    complete = [network for network in networks if network.is_complete][:MAX_CURVES]
    some = "" if len(complete) == len(networks) else f"; {len(complete)} of the {len(networks)} networks"
    figures = scorecard_figures({network.label: network.cards for network in complete}) if complete else {}
    blocks = [
        *_trade_off(networks),
        *_conditions(networks),
        *(block for text, metrics in METRIC_TABLES.items() for block in _metric_table(networks, text, metrics)),
        *(picture_of(figure, f"{CAPTIONS[name]}{some}", f"study_{name}") for name, figure in figures.items()),
        *_scorecard_notes(networks),
    ]
    return Section("Generalisation beyond the test set", blocks)


def _metric_table(networks: Sequence[Network], text: str, metrics: Sequence[str]) -> list[Block]:
    """The table without the metrics that no network has; nothing if these are all."""
    found = {metric: [result for network in networks for result in network.results(metric)] for metric in metrics}
    measured = {metric: results[0].n for metric, results in found.items() if results}
    header = ["network", *(f"{METRICS[metric].label}, n {n:,}" for metric, n in measured.items())]
    rows = [[network.label, *(network.text(metric) for metric in measured)] for network in networks]
    return [Text(text), Table(header, rows)] if measured else []


CONDITIONS_HEADER = ("condition", "n", "first by validation", "solved?", "lowest", "highest", "highest network")


def _conditions(networks: Sequence[Network]) -> list[Block]:
    first, rows = networks[0], []
    for metric in CONDITIONS:
        if not first.values(metric):
            continue
        means = [(network.mean(metric), network.label) for network in networks if network.values(metric)]
        verdict = {True: "yes", None: "undecided", False: "no"}[first.reaches(metric, MIN_CONDITION_ACCURACY)]
        row = [METRICS[metric].label, f"{first.results(metric)[0].n:,}", first.text(metric), verdict]
        rows.append([*row, f"{100 * min(means)[0]:.1f}", f"{100 * max(means)[0]:.1f}", max(means)[1]])
    note = (
        "A condition is solved if the 95 % confidence interval of every seed is at or above "
        f"{CRITERION}, and not solved if that of every seed is below. Accuracies are in percent. The "
        "highest is selected on the digits on which it is measured, so it is slightly optimistic."
    )
    return [Text(note), Table(CONDITIONS_HEADER, rows)] if rows else []


def _trade_off(networks: Sequence[Network]) -> list[Block]:
    """The spatially most robust network under other conditions."""
    first, worst_case, corruptions = networks[0], "spatial_worst_case", "corruptions_mean"
    known = [network for network in networks if network.values(worst_case) and network.values(corruptions)]
    robust = max(known, key=lambda network: network.mean(worst_case), default=first)
    if robust is first or first not in known:
        return []
    test_accuracy = percent(*robust.group.mean_interval("test_accuracy"))
    return [
        Text(
            f"The spatially most robust network is {robust.label}: its worst-case accuracy is "
            f"{robust.percent(worst_case)}. It reaches {test_accuracy} on the test digits and "
            f"{robust.percent(corruptions)} on the corrupted digits, where the network with the best validation "
            f"accuracy reaches {first.percent(corruptions)}."
        )
    ]


def _scorecard_notes(networks: Sequence[Network]) -> list[Block]:
    """The sources of the corrupted digits, missing metrics, and the commands."""
    cards = [card for network in networks for card in network.cards]
    sources = sorted({source for card in cards for source in card.curves.get("corruption_sources", [])})
    missing = {
        f"Not measured: {METRICS[metric].label}: {result.missing}"
        for card in cards
        for metric, result in card.results.items()
        if result.missing
    }
    partial = "" if all(network.is_complete for network in networks) else " Some metrics have not been measured yet."
    return [
        *([Text(f"Corrupted digits: {'; '.join(sources)}.")] if sources else []),
        *map(Text, sorted(missing)),
        Text(f"These commands measure the scorecards.{partial}"),
        Command([network.scorecard_command for network in networks]),
    ]


# Ablation study.


def ablation_section(results: AblationResults | None) -> Section:
    """The significant effects of each design choice."""
    title = "Ablation study: the effect of each design choice"
    if results is None:
        return _missing_study(title, "mnist ablation")
    text = Text(
        f"{len(results.others)} networks differ from the baseline {results.baseline.model} in one property each, and "
        f"thereby in the number of parameters. Training: {results.num_epochs} epochs, seeds "
        f"{', '.join(map(str, results.seeds))}. Listed are the significant effects in percentage points, at a false "
        "discovery rate of 5 % over all effects. The learning rate was not tuned for any of the networks."
    )
    effects = [Text(_significant_effects(results, metric, heading)) for metric, heading in MEASURES.items()]
    figure = picture_of(effects_figure(results), "Effect of each property, one panel per metric", "study_ablation")
    table = Table(HEADER, effect_rows(results))
    return Section(title, [text, *effects, figure, Text(EXPLANATION), table, Command([results.command])])


def _significant_effects(results: AblationResults, metric: str, heading: str) -> str:
    """The properties that increase and that decrease the metric significantly, the largest effect first."""
    effects = [
        (effect.difference, f"{variant.property} ({variant.label}) {100 * effect.difference:+.1f}")
        for variant in results.others
        if (effect := results.effects.get((variant.name, metric))) and effect.is_significant
    ]
    increased = "; ".join(text for difference, text in sorted(effects, reverse=True) if difference > 0)
    decreased = "; ".join(text for difference, text in sorted(effects) if difference <= 0)
    return (
        f"{heading[0].upper()}{heading[1:]}: increased by {increased or 'nothing'}. "
        f"Decreased by {decreased or 'nothing'}."
    )


# Label errors.


def label_errors_section(values: dict[str, Any] | None) -> Section:
    """The content of label_errors.json with its pictures."""
    title = "Label errors and the hardest digits"
    if values is None:
        return _missing_study(title, "mnist label-errors")
    files = {name: label_errors_folder() / f"{name}.png" for name in DESCRIPTIONS}
    pictures = [
        Picture(file.read_bytes(), DESCRIPTIONS[name], f"study_{name}") for name, file in files.items() if file.exists()
    ]
    return Section(title, [*map(Text, sentences(values)), *pictures, Command([values["command"]])])
