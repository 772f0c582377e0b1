"""The sections of the report. The texts contain no results: every number comes from the evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from study.ablation import (
    EFFECTS_CAPTION,
    EXPLANATION,
    HEADER,
    MEASURES,
    OOD_MEASURES,
    AblationResults,
    effect_rows,
    effects_figure,
    scores_agree,
)
from study.comparison.figures import curve_pictures
from study.comparison.groups import difference_text, group_differences, interval_text
from study.label_errors import DESCRIPTIONS, label_errors_folder, sentences
from study.report.answer import conditions_blocks, tied_with_the_first
from study.report.evidence import DAGGER, Network
from study.scorecard import METRICS
from study.scorecard.corruptions import ADAPTED, mean_ranks
from study.scorecard.figures import scorecard_blocks
from study.scorecard.ood import SCORE_LABELS
from study.scorecard.scorecards import NOT_MEASURED, missing_texts, move_sliders
from trainers.recipes import training_command
from utils.data.mnist_c import MNIST_C
from utils.document import Block, Columns, Command, Section, Table, Text, picture_file, picture_of
from utils.errors import UserError
from utils.files import output_folder
from utils.statistics import MIN_SEEDS

INTERVALS = (
    "means over the seeds with a 95 % confidence interval that holds for other seeds and, on MNIST's digits, for other "
    f"writers; fewer than {MIN_SEEDS} seeds have no interval, because they are too few for a claim"
)
TUNING = (
    "Tuning differs: fast_conv was found by a long search, judged by 10,000 training digits that overlap with the "
    "validation digits (benchmarks/SPEED_LOG.md), so its validation accuracy is favourable; the other recipes are "
    "textbook settings or variations of it."
)


def _missing_study(title: str, command: str) -> Section:
    return Section(title, [Text("This study has not been made yet. The command for it:"), Command([command])])


# Input inspection.

# Picture of `mnist inspect` -> description.
INSPECTION_PICTURES = {
    "mnist_centring": "Distance of the digits' centre of mass from the image centre",
    "mnist_size": "Height and width of the digits",
    "mnist_slant": "Slant of the digits of each class",
    "mnist_label_distribution": "Number of digits of each class",
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
    pictures = [picture for name, text in INSPECTION_PICTURES.items() for picture in picture_file(folder, name, text)]
    charts, digits = ([it for it in pictures if it.is_svg == is_chart] for is_chart in (True, False))
    return Section(title, [Text(" ".join(texts)), Columns(charts), *digits, Command(["mnist inspect"])])


def _mean_std(part: dict[str, float]) -> str:
    return f"{part['mean']:.2f} ± {part['std']:.2f}"


# Model fitting.

FITTING_HEADER = (
    "network",
    "parameters",
    "seeds",
    "validation digits",
    "validation",
    "test",
    "first minus this, points",
)


def fitting_section(networks: Sequence[Network]) -> Section:
    """Validation and test accuracy of the networks, and which differences are significant."""
    ties = tied_with_the_first(networks)[1:]
    names = "; ".join(network.label for network in ties)
    tied = f" On validation, the first network is not significantly better than {names}." if ties else ""
    environments = [run.environment for network in networks for run in network.group.runs]
    machines = sorted({environment["device"] for environment in environments if "device" in environment})
    trained = f" Trained on {'; '.join(machines)}." if machines else ""
    text = Text(
        f"Accuracies are {INTERVALS}. The networks are sorted by validation accuracy; no choice used the test set."
        f"{tied} The last column compares the first network with the others on the test set: the difference in "
        "percentage points with its interval over seeds and writers; a star marks significant differences, at a false "
        f"discovery rate of 5 %. {TUNING}{trained}"
    )
    rows = list(map(_fitting_row, networks, _differences_from_the_first(networks)))
    groups = [replace(network.group, label=network.label) for network in networks]
    curves = curve_pictures(groups, "study_")
    commands = Command([training_command(network.group.recipe, network.seeds) for network in networks])
    return Section("Model fitting", [text, Table(FITTING_HEADER, rows), curves, commands])


def _differences_from_the_first(networks: Sequence[Network]) -> list[str]:
    """The first network's mean test accuracy minus that of each network."""
    first, *others = (network.group for network in networks)
    try:
        return ["", *(difference_text(*difference) for difference in group_differences(first, others))]
    except UserError:
        return ["", *("no predictions" for _ in others)]


def _fitting_row(network: Network, difference: str) -> list[str]:
    group = network.group
    try:
        num_digits = f"{len(group.runs[0].predictions('validation').labels):,}"
    except UserError:
        num_digits = "no predictions"
    accuracies = [interval_text(group.interval(name)) for name in ("val_accuracy", "test_accuracy")]
    return [network.label, f"{group.num_parameters:,}", str(len(network.seeds)), num_digits, *accuracies, difference]


# Generalisation.


OOD_TABLES = {"Fashion-MNIST": "fashion_mnist", "KMNIST": "kmnist", "near the digits": "near"}
# The text above a table with one row per network -> the metrics in its columns.
METRIC_TABLES = {
    f"Accuracy on MNIST's test digits and on other data sets: {INTERVALS}. n is the number of images or writers. The "
    "column without contested labels leaves out the digits whose labels human raters rejected; about 100 of the 10,000 "
    "labels were rated, so it is not the accuracy on digits with correct labels. High-school students wrote the first "
    "half of the test digits, Census staff the second. The standard deviation of the writers is the spread of their "
    "accuracies beyond chance.": (
        "test_accuracy", "accuracy_without_contested", "students_accuracy", "staff_accuracy", "writers_std",
        "usps_accuracy", "sklearn_digits_accuracy",
    ),
    f"Spatial and corruption robustness, accuracy. {DAGGER} marks networks whose training covers the "
    "condition. The corruptions are those of MNIST-C; the median and the mean with batch statistics of the corrupted "
    "digits show how far a few corruptions decide the mean.": (
        "shift_4px", "rotation_40", "scale_0.7", "corruptions_mean", "corruptions_median", "corruptions_mean_adapted",
    ),
    "Calibration and selective prediction: the negative log-likelihood (NLL) in nats and the Brier score first, "
    "because 99 % of the digits lie in the top bin of a calibration error; then the debiased calibration error, the "
    "temperature fitted on validation digits with the NLL after it, and the error if the network rejects the 5 % of "
    "the digits with the lowest confidence.": (
        "nll", "brier_score", "ece_debiased", "temperature", "nll_after_temperature_scaling", "error_at_coverage_95",
    ),
    **{
        f"Out-of-distribution detection, {kind}, by four scores: the AUROC is the probability that a test digit scores "
        "higher than an out-of-distribution image, 50 % for chance. An order of networks counts only where the four "
        "scores agree.": tuple(f"ood_{images}_{score}" for score in SCORE_LABELS)
        for kind, images in OOD_TABLES.items()
    },
    "Worst cases, sought for each digit: they are no average conditions. The accuracy over a grid of shifts and "
    "rotations, and under attacks that may change every pixel by the given part of its range, or the image by the "
    "given l2 distance. Robust accuracy is that of the strongest attack; FGSM and PGD are weaker, so their values are "
    "upper bounds.": (
        "spatial_worst_case", "robust_linf_0.1", "robust_linf_0.3", "robust_l2_1.5", "fgsm_linf_0.1", "pgd_linf_0.1",
    ),
}  # fmt: skip


def generalisation_section(networks: Sequence[Network]) -> Section:
    """The networks' scorecards: performance beyond the test set."""
    complete = [network for network in networks if network.has_curves]
    some = "" if len(complete) == len(networks) else f"; {len(complete)} of the {len(networks)} networks"
    series = {network.label: network.cards for network in complete}
    parts: dict[str, list[Block]] = {
        "Conditions": [*_trade_off(networks), *conditions_blocks(networks)],
        "Metrics": [
            *(block for text, ids in METRIC_TABLES.items() for block in _metric_table(networks, text, ids)),
            *_corruption_ranks(networks),
        ],
        "Moved digits": [move_sliders(series)] if series else [],
        "Figures": scorecard_blocks(series, "study_", some) if series else [],
        "Sources and commands": _scorecard_notes(networks),
    }
    blocks = [Section(title, part) for title, part in parts.items() if part]
    return Section("Generalisation beyond the test set", blocks)


def _metric_table(networks: Sequence[Network], text: str, metrics: Sequence[str]) -> list[Block]:
    """The table without the metrics that no network has; nothing if these are all."""
    found = {metric: [result for network in networks for result in network.results(metric)] for metric in metrics}
    measured = {metric: results[0].n for metric, results in found.items() if results}
    header = ["network", *(f"{_heading(metric)}, n {n:,}" for metric, n in measured.items())]
    rows = [[network.label, *(network.text(metric) for metric in measured)] for network in networks]
    return [Text(text), Table(header, rows)] if measured else []


def _heading(metric: str) -> str:
    return f"{METRICS[metric].label}{', adapted' if METRICS[metric].group == ADAPTED else ''}"


def _missing(network: Network) -> Iterator[tuple[str, str]]:
    """The id and the reason of each metric without a value."""
    for card in network.cards:
        yield from ((metric, result.missing) for metric, result in card.results.items() if result.missing)


def _corruption_ranks(networks: Sequence[Network]) -> list[Block]:
    """The mean rank over the corruptions, in which every corruption counts equally; nothing for a single network."""
    ids = [f"corruption_{name}" for name in MNIST_C]
    measured = [network for network in networks if all(network.values(metric) for metric in ids)]
    if len(measured) < 2:
        return []
    ranks = mean_ranks(np.array([[network.mean(metric) for metric in ids] for network in measured]))
    rows = [[network.label, f"{rank:.1f}"] for network, rank in zip(measured, ranks, strict=True)]
    text = (
        f"The mean rank of {len(measured)} networks over the {len(ids)} corruptions, 1 for the best: every corruption "
        "counts equally, while the mean accuracy is decided by those with large differences."
    )
    return [Text(text), Table(("network", "mean rank"), rows)]


def _trade_off(networks: Sequence[Network]) -> list[Block]:
    """The spatially most robust network under other conditions."""
    first, worst_case, corruptions = networks[0], "spatial_worst_case", "corruptions_mean"
    known = [network for network in networks if network.values(worst_case) and network.values(corruptions)]
    robust = max(known, key=lambda network: network.mean(worst_case), default=first)
    if robust is first or first not in known:
        return []
    note = ""
    if robust.is_trained_on(worst_case):
        note = " Its training covers these moves, so this is what it was trained for."
    return [
        Text(
            f"The spatially most robust network is {robust.label}: its worst-case accuracy is "
            f"{robust.text(worst_case)}.{note} It reaches {robust.text('test_accuracy')} on the test digits and "
            f"{robust.text(corruptions)} on the corrupted digits, where the network with the best validation "
            f"accuracy reaches {first.text(corruptions)}."
        )
    ]


def _scorecard_notes(networks: Sequence[Network]) -> list[Block]:
    """The sources of the corrupted digits, missing metrics, and the commands."""
    cards = [card for network in networks for card in network.cards]
    sources = sorted({source for card in cards for source in card.curves.get("corruption_sources", [])})
    missing = [dict(_missing(network)) for network in networks]
    of_all = {metric: reason for metric, reason in missing[0].items() if all(metric in each for each in missing)}
    of_some: dict[str, list[str]] = {}
    for network, reasons in zip(networks, missing, strict=True):
        for text in missing_texts({metric: reason for metric, reason in reasons.items() if metric not in of_all}):
            of_some.setdefault(text, []).append(network.label)
    texts = missing_texts(of_all) + [
        text.replace(NOT_MEASURED, f"{NOT_MEASURED} for {'; '.join(labels)}") for text, labels in of_some.items()
    ]
    partial = "" if all(network.is_complete for network in networks) else " Some metrics have not been measured yet."
    return [
        *([Text(f"Corrupted digits: {'; '.join(sources)}.")] if sources else []),
        *map(Text, texts),
        Text(f"These commands, with the names of your runs, measure the scorecards.{partial}"),
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
        f"{', '.join(map(str, results.seeds))}. Listed are the significant effects in percentage points, with one "
        "family of tests per measure. The learning rate was not tuned for any of the networks."
    )
    effects = [_significant_effects(results, metric, heading) for metric, heading in MEASURES.items()]
    effects += [_agreed_ood_effects(results, images, heading) for images, heading in OOD_MEASURES.items()]
    if len(results.seeds) < MIN_SEEDS:
        effects = [f"{len(results.seeds)} seeds are too few to state an effect: expected at least {MIN_SEEDS}."]
    figures = [picture_of(effects_figure(results), EFFECTS_CAPTION, "study_ablation")] if results.effects else []
    table = Table(HEADER, effect_rows(results))
    blocks: list[Block] = [text, *map(Text, effects), *figures, Text(EXPLANATION), table, Command([results.command])]
    return Section(title, blocks)


def _significant_effects(results: AblationResults, metric: str, heading: str) -> str:
    """The properties that increase and that decrease the metric significantly, the largest effect first."""
    effects = [
        (effect.difference, f"{variant.property} ({variant.label}) {100 * effect.difference:+.1f}")
        for variant in results.others
        if (effect := results.effects.get((variant.name, metric))) and effect.is_significant
    ]
    return f"{heading[0].upper()}{heading[1:]}: {_increased_and_decreased(effects)}"


def _agreed_ood_effects(results: AblationResults, images: str, heading: str) -> str:
    """The properties whose effects on the AUROC are significant and of one sign for all four scores, and how many have
    a significant effect on some scores only."""
    effects, num_disagreeing = [], 0
    for variant in results.others:
        found = results.ood_effects(variant, images)
        if found and scores_agree(found):
            low, high = (100 * end(effect.difference for effect in found) for end in (min, max))
            smallest = min((effect.difference for effect in found), key=abs)
            effects.append((smallest, f"{variant.property} ({variant.label}) {low:+.1f} to {high:+.1f}"))
        else:
            num_disagreeing += any(effect.is_significant for effect in found)
    text = f"{heading}, where the four scores agree: {_increased_and_decreased(effects)}"
    if num_disagreeing:
        text += f" For {num_disagreeing} others only some scores change significantly, so no effect is stated."
    return text


def _increased_and_decreased(effects: Sequence[tuple[float, str]]) -> str:
    increased = "; ".join(text for difference, text in sorted(effects, reverse=True) if difference > 0)
    decreased = "; ".join(text for difference, text in sorted(effects) if difference <= 0)
    return f"increased by {increased or 'nothing'}. Decreased by {decreased or 'nothing'}."


# Label errors.


def label_errors_section(values: dict[str, Any] | None, has_pictures: bool = True) -> Section:
    """The content of label_errors.json with its pictures."""
    title = "Label errors and the hardest digits"
    if values is None:
        return _missing_study(title, "mnist label-errors")
    folder = label_errors_folder()
    found = [picture for name, text in DESCRIPTIONS.items() for picture in picture_file(folder, name, text)]
    pictures = [replace(picture, name=f"study_{picture.name}") for picture in found if has_pictures]
    commands = Command([*values["training_commands"], values["command"]])
    return Section(title, [*map(Text, sentences(values)), *pictures, commands])
