"""The sections of the report. The texts contain no results: every number comes from the evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from study.ablation import EXPLANATION, HEADER, MEASURES, AblationResults, effect_rows, effects_figure
from study.comparison.figures import MAX_CURVES, learning_curves_figure
from study.comparison.groups import percent
from study.label_errors import DESCRIPTIONS, label_errors_folder, sentences
from study.report.evidence import INSPECTION, Evidence, Network, interval_text, unbroken
from study.scorecard import METRICS
from study.scorecard.figures import scorecard_figures
from trainers.recipes import training_command
from utils.document import Block, Command, Picture, Table, Text, picture_of
from utils.files import PROJECT_FOLDER
from utils.statistics import difference_interval, probability_first_beats_second

INTERVALS = "means over the seeds ± the margin of Student's 95 % confidence interval"


@dataclass(frozen=True)
class ReportSection:
    """A section of the page, and its shorter version for docs/report.md."""

    title: str
    blocks: Sequence[Block]
    brief_blocks: Sequence[Block]


def report_sections(evidence: Evidence) -> list[ReportSection]:
    """All sections, from the data to the conclusion."""
    return [
        input_section(evidence.inspection),
        fitting_section(evidence.networks),
        generalisation_section(evidence.networks),
        ablation_section(evidence.ablation),
        label_errors_section(evidence.label_errors),
        conclusion_section(evidence),
    ]


def _missing_section(title: str, command: str) -> ReportSection:
    blocks: list[Block] = [Text("This study has not been made yet. The command for it:"), Command([command])]
    return ReportSection(title, blocks, blocks)


# Input inspection.

INSPECTION_PICTURES = {
    "mnist_centring_size_slant": "Position, size and slant of the training digits",
    "mnist_label_distribution": "Number of digits per class",
    "mnist_typical_and_unusual": "The most typical and the most unusual digits of each class, by the distance to their "
    "nearest neighbours",
}


def input_section(statistics: dict[str, Any] | None) -> ReportSection:
    """Position, size, slant and classes of the digits, from the statistics of `mnist inspect`."""
    title = "Input inspection: properties of the digits"
    if statistics is None:
        return _missing_section(title, "mnist inspect")
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
    files = {INSPECTION / f"{name}.png": description for name, description in INSPECTION_PICTURES.items()}
    pictures = [
        Picture(file.read_bytes(), description, file=f"../{file.relative_to(PROJECT_FOLDER).as_posix()}")
        for file, description in files.items()
        if file.exists()
    ]
    blocks: list[Block] = [Text(" ".join(texts)), *pictures, Command(["mnist inspect"])]
    return ReportSection(title, blocks, blocks)


def _mean_std(part: dict[str, float]) -> str:
    return f"{part['mean']:.2f} ± {part['std']:.2f}"


# Model fitting.

FITTING_HEADER = ("network", "parameters", "seeds", "validation", "test", "first minus this", "first is better")


def fitting_section(networks: Sequence[Network]) -> ReportSection:
    """Validation and test accuracy of the networks, and which differences are significant."""
    text = Text(
        f"Accuracies are {INTERVALS}. The networks are sorted by validation accuracy; no choice used the test set."
        f"{_ties(networks)} The last two columns compare the first network with the others on the test set: Welch's "
        "95 % confidence interval of the difference in percentage points, and the number of pairs of seeds in which "
        "the first network is better (ties count one half)."
    )
    table = Table(FITTING_HEADER, [_fitting_row(network, networks[0]) for network in networks])
    groups = [replace(network.group, label=network.label) for network in networks[:MAX_CURVES]]
    curves = picture_of(learning_curves_figure(groups), "Learning curves")
    commands = Command([training_command(network.group.recipe, network.seeds) for network in networks])
    return ReportSection("Model fitting", [text, table, curves, commands], [text, table, commands])


def _ties(networks: Sequence[Network]) -> str:
    """The networks that are not significantly worse than the first on validation."""
    best = networks[0].group.values("val_accuracy")
    equal = [
        network.label
        for network in networks[1:]
        if not difference_interval(best, network.group.values("val_accuracy"))[0] > 0
    ]
    return f" On validation, the first network is not significantly better than {'; '.join(equal)}." if equal else ""


def _fitting_row(network: Network, first: Network) -> list[str]:
    group = network.group
    accuracies = [unbroken(percent(*group.mean_interval(name))) for name in ("val_accuracy", "test_accuracy")]
    row = [network.label, f"{group.num_parameters:,}", str(len(network.seeds)), *accuracies]
    if network is first:
        return [*row, "", ""]
    best, values = first.group.values("test_accuracy"), group.values("test_accuracy")
    low, high = (round(100 * end, 2) + 0.0 for end in difference_interval(best, values))  # no -0.00
    probability, _ = probability_first_beats_second(best, values)
    num_pairs = len(best) * len(values)
    difference = "-" if math.isnan(low) else unbroken(f"{low:+.2f} to {high:+.2f}")
    return [*row, difference, f"{probability * num_pairs:g} of {num_pairs}"]


# Generalisation.


@dataclass(frozen=True)
class MetricTable:
    """A table with one row per network and one column per metric, and the text above it."""

    text: str
    columns: Mapping[str, str]
    """Column header -> metric id."""

    def blocks(self, networks: Sequence[Network]) -> list[Block]:
        header = [f"{name}, n {networks[0].num_images(metric):,}" for name, metric in self.columns.items()]
        rows = [[network.label, *(network.text(metric) for metric in self.columns.values())] for network in networks]
        return [Text(self.text), Table(["network", *header], rows)]


OTHER_DATASETS = MetricTable(
    f"Accuracy in percent on MNIST's test digits and on other data sets: {INTERVALS}. All networks are evaluated on "
    "the same digits. If the interval would leave the range from 0 to 100, the table shows the lowest and the highest "
    "seed instead. n is the number of images or writers. Uncontested labels are those that human raters do not "
    "dispute. Worst writers: the mean accuracy over the tenth of the test writers with the lowest accuracy. Chance "
    "alone makes this lower than the mean: the last column is its expected value if all writers were equally "
    "difficult.",
    {
        "MNIST test": "test_accuracy",
        "uncontested labels": "uncontested_accuracy",
        "USPS": "usps_accuracy",
        "scikit-learn digits": "sklearn_digits_accuracy",
        "worst writers": "worst_writers_accuracy",
        "worst writers by chance": "worst_writers_expected_accuracy",
    },
)
ROBUSTNESS = MetricTable(
    "Spatial robustness and corruption robustness, accuracy in percent. The worst case counts the digits that are "
    "correct under each of 775 combinations of shifts by up to 3 px and rotations by up to 30 degrees. The last column "
    "is the mean over the 15 corruptions of MNIST-C.",
    {
        "shifted by up to 4 px": "shift_4px",
        "rotated by ±40°": "rotation_40",
        "scaled by 0.7": "scale_0.7",
        "worst case of 3 px, 30°": "spatial_worst_case",
        "corruptions": "corruptions_mean",
    },
)
CALIBRATION = MetricTable(
    "Calibration and selective prediction: the expected calibration error (ECE) in percent before and after "
    "temperature scaling, with one temperature fitted on validation digits; and the error in percent at 95 % coverage, "
    "where the network rejects the twentieth of the digits with the lowest confidence.",
    {
        "ECE": "ece",
        "temperature": "temperature",
        "ECE after scaling": "ece_after_temperature_scaling",
        "error at 95 % coverage": "error_at_coverage_95",
    },
)
OOD_AND_ATTACKS = MetricTable(
    "Out-of-distribution detection and adversarial robustness. The first three columns are the AUROC of the energy "
    "score in percent: the probability that a test digit scores higher than an out-of-distribution image, 50 for "
    "chance. The page's figure shows three more scores. The last three columns are the accuracy in percent under "
    "attack: every pixel may change by 0.1 of its range, in one step (FGSM) or twenty (PGD), or the image by an l2 "
    "distance of 1.5. They are upper bounds, because stronger attacks exist.",
    {
        "Fashion-MNIST": "ood_fashion_mnist_energy",
        "KMNIST": "ood_kmnist_energy",
        "uniform noise": "ood_noise_energy",
        "FGSM 0.1": "fgsm_linf_0.1",
        "PGD 0.1": "pgd_linf_0.1",
        "PGD l2 1.5": "pgd_l2_1.5",
    },
)
FIGURES = {
    "shift_maps": "Accuracy with all digits shifted, by the shift in pixels",
    "scale_and_rotation": "Accuracy by the scale and by the rotation of the digits",
    "corruptions": "Accuracy under the corruptions of MNIST-C; lines reach from the lowest seed to the highest",
    "ood": "Out-of-distribution detection by four scores: AUROC, 1 for perfect, 0.5 for chance",
    "adversarial": "Accuracy under adversarial attacks",
    "selective_prediction_and_calibration": "Error of selective prediction by coverage, and accuracy by confidence",
}


def generalisation_section(networks: Sequence[Network]) -> ReportSection:
    """The networks' scorecards: performance beyond the test set."""
    figures = scorecard_figures({network.label: network.cards for network in networks[:MAX_CURVES]})
    some = f"; the first {MAX_CURVES} networks" if len(networks) > MAX_CURVES else ""
    shift_maps, scale_and_rotation, corruptions, ood, adversarial, calibration = (
        picture_of(figures[name], f"{description}{some}", f"study_{name}") for name, description in FIGURES.items()
    )
    accuracies = [*OTHER_DATASETS.blocks(networks), *ROBUSTNESS.blocks(networks)]
    ood_and_attacks = OOD_AND_ATTACKS.blocks(networks)
    blocks = [
        *accuracies,
        *(shift_maps, scale_and_rotation, corruptions),
        *CALIBRATION.blocks(networks),
        calibration,
        *ood_and_attacks,
        *(ood, adversarial),
        *_scorecard_notes(networks),
    ]
    brief_blocks = [*accuracies, shift_maps, corruptions, *ood_and_attacks, Command(["mnist scorecard RUN ..."])]
    return ReportSection("Generalisation beyond the test set", blocks, brief_blocks)


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
    commands = [f"mnist scorecard {' '.join(card.run_name for card in network.cards)}" for network in networks]
    return [Text(f"Corrupted digits: {'; '.join(sources)}."), *map(Text, sorted(missing)), Command(commands)]


# Ablation study.


def ablation_section(results: AblationResults | None) -> ReportSection:
    """The significant effects of each design choice."""
    title = "Ablation study: the effect of each design choice"
    if results is None:
        return _missing_section(title, "mnist ablation")
    text = Text(
        f"{len(results.others)} networks differ from the baseline {results.baseline.model} in one property each, and "
        f"thereby in the number of parameters. Training: {results.num_epochs} epochs, seeds "
        f"{', '.join(map(str, results.seeds))}. Listed are the significant effects in percentage points, at a false "
        "discovery rate of 5 % over all effects. The learning rate was not tuned for any of the networks."
    )
    effects = [Text(_significant_effects(results, metric, heading)) for metric, heading in MEASURES.items()]
    figure = picture_of(effects_figure(results), "Effect of each property, one panel per metric", "study_ablation")
    details: list[Block] = [Text(EXPLANATION), Table(HEADER, effect_rows(results))]
    command = Command([results.command])
    return ReportSection(title, [text, *effects, figure, *details, command], [text, *effects, figure, command])


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


def label_errors_section(values: dict[str, Any] | None) -> ReportSection:
    """The content of label_errors.json with its pictures."""
    title = "Label errors and the hardest digits"
    if values is None:
        return _missing_section(title, "mnist label-errors")
    texts, command = [Text(sentence) for sentence in sentences(values)], Command([values["command"]])
    files = {name: label_errors_folder() / f"{name}.png" for name in DESCRIPTIONS}
    pictures = [
        Picture(file.read_bytes(), DESCRIPTIONS[name], f"study_{name}") for name, file in files.items() if file.exists()
    ]
    return ReportSection(title, [*texts, *pictures, command], [*texts, *pictures[:1], command])


# Conclusion.

MIN_TEST_ACCURACY = 0.995  # on digits with uncontested labels: criterion for the test set
MIN_CONDITION_ACCURACY = 0.95  # criterion for every other condition
CONDITIONS = (
    "usps_accuracy",
    "sklearn_digits_accuracy",
    "shift_4px",
    "rotation_20",
    "rotation_40",
    "scale_0.7",
    "scale_1.3",
    "spatial_worst_case",
    "corruptions_mean",
)
CONCLUSION_HEADER = ("condition", "n", "first by validation", "solved?", "lowest", "highest", "highest network")
VERDICTS = {True: "yes", None: "undecided", False: "no"}


def conclusion_section(evidence: Evidence) -> ReportSection:
    """Whether MNIST is solved, by stated criteria."""
    networks, first = evidence.networks, evidence.networks[0]
    conditions = [metric for metric in CONDITIONS if all(network.values(metric) for network in networks)]
    failed = [metric for metric in conditions if first.reaches(metric, MIN_CONDITION_ACCURACY) is False]
    failed_by_all = [
        metric
        for metric in failed
        if all(network.reaches(metric, MIN_CONDITION_ACCURACY) is False for network in networks)
    ]
    texts = [
        _verdict(first, failed),
        _test_set(evidence),
        f"Other conditions: the accuracy is below {MIN_CONDITION_ACCURACY:.0%} under {len(failed)} of "
        f"{len(conditions)} conditions{_names(failed)}, by the confidence interval of every seed. Under "
        f"{len(failed_by_all)} of them this holds for every network of the table{_names(failed_by_all)}.",
        *_trade_off(networks),
        *_attacks_and_noise(first),
    ]
    table = Table(CONCLUSION_HEADER, [_condition_row(networks, metric) for metric in conditions])
    note = Text("The highest accuracy is selected on the digits on which it is measured, so it is slightly optimistic.")
    blocks: list[Block] = [*map(Text, texts), table, note, Command(["mnist report"])]
    return ReportSection("Conclusion: is MNIST solved?", blocks, blocks)


def _verdict(first: Network, failed: list[str]) -> str:
    test_set = {
        True: "MNIST is solved as a test set",
        None: "it is undecided whether MNIST is solved as a test set",
        False: "MNIST is not solved as a test set",
    }[first.reaches("uncontested_accuracy", MIN_TEST_ACCURACY)]
    task = (
        "reading handwritten digits under other conditions is not solved"
        if failed
        else "no other condition was found that this network fails"
    )
    return (
        f"{first.label} has the best validation accuracy. By its results, {test_set} (criterion: "
        f"{MIN_TEST_ACCURACY:.1%} accuracy on the digits with uncontested labels), and {task} (criterion: "
        f"{MIN_CONDITION_ACCURACY:.0%} accuracy)."
    )


def _test_set(evidence: Evidence) -> str:
    first, label_errors = evidence.networks[0], evidence.label_errors
    results = first.results("uncontested_accuracy")
    num_wrong = [(1 - result.value) * result.n for result in results if result.value is not None]
    text = (
        f"Test set: this network classifies {first.text('test_accuracy')} % of the digits correctly, and "
        f"{first.text('uncontested_accuracy')} % of those with uncontested labels, which leaves "
        f"{interval_text(num_wrong)} mistakes on them."
    )
    if label_errors is None:
        return text
    return (
        f"{text} All but {label_errors['num_wrong_in_all_networks']} of the {label_errors['num_digits']:,} test digits "
        f"are classified correctly by at least one of {label_errors['num_networks']} networks."
    )


def _condition_row(networks: Sequence[Network], metric: str) -> list[str]:
    first = networks[0]
    means = [(mean, network.label) for network in networks if (mean := network.mean(metric)) is not None]
    lowest, highest = min(means), max(means)
    verdict = VERDICTS[first.reaches(metric, MIN_CONDITION_ACCURACY)]
    cells = [METRICS[metric].label, f"{first.num_images(metric):,}", first.text(metric), verdict]
    return [*cells, f"{100 * lowest[0]:.1f}", f"{100 * highest[0]:.1f}", highest[1]]


def _names(metrics: list[str]) -> str:
    return f" ({', '.join(METRICS[metric].label for metric in metrics)})" if metrics else ""


def _trade_off(networks: Sequence[Network]) -> list[str]:
    """The spatially most robust network under other conditions."""
    first, worst_case, corruptions = networks[0], "spatial_worst_case", "corruptions_mean"
    robust = max(networks, key=lambda network: network.mean(worst_case) or 0.0)
    known = all(network.values(metric) for network in (robust, first) for metric in (worst_case, corruptions))
    if robust is first or not known:
        return []
    return [
        f"Another network is spatially the most robust: {robust.label} has a worst-case accuracy of "
        f"{robust.text(worst_case)} %. It reaches {robust.text('test_accuracy')} % on the test digits and "
        f"{robust.text(corruptions)} % on the corrupted digits, where the network with the best validation accuracy "
        f"reaches {first.text(corruptions)} %."
    ]


def _attacks_and_noise(first: Network) -> list[str]:
    attack, noise = "pgd_linf_0.1", "ood_noise_energy"
    if not (first.values(attack) and first.values(noise)):
        return []
    return [
        f"If an adversary may change every pixel by a tenth of its range, at most {first.text(attack)} % of the "
        f"predictions stay correct. By the energy score, this network ranks a test digit above uniform noise in "
        f"{first.text(noise)} % of the cases."
    ]
