"""The ablation study: a baseline CNN and variants that differ from it in one property each, trained and evaluated."""

import json
import math
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from models.registry import build_model, num_parameters
from study.comparison.groups import plain_table
from study.figures import PAGE_INCHES, title_inches, wrapped
from study.scorecard import BRIEF, Scorecard, scorecard
from study.scorecard.ood import SCORE_LABELS
from study.sweeps.executors import LocalExecutor
from study.sweeps.job import Job
from trainers.recipes import seeds_text
from trainers.train import load_splits
from utils.document import Document, Table, Text, picture_of
from utils.errors import UserError, brief
from utils.figures import COLORS, GREY, INK, figure_style, set_title
from utils.files import shown, study_folder, write_whole
from utils.outside import read_json
from utils.recipe import Execution, Recipe
from utils.runtime import describe_environment, resolve_execution
from utils.statistics import (
    LEVEL,
    MIN_SEEDS,
    benjamini_hochberg,
    difference_interval,
    fcr_level,
    mean_interval,
    welch_p_value,
)
from utils.track import track

# The last epoch is evaluated, so that validation selects nothing.
BASELINE_RECIPE = Recipe(
    model="C(16,3)-BN-P2-C(32,3)-BN-P2-FC64-FC10",
    batch_size=128,
    learning_rate=0.01,
    schedule="one_cycle",
    checkpoint="last",
)


@dataclass(frozen=True)
class Variant:
    """A recipe that differs from the baseline in one property: in its model or in its training."""

    property: str
    label: str
    model: str = BASELINE_RECIPE.model
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Recipe fields with values other than the baseline's."""

    def recipe(self, num_epochs: int) -> Recipe:
        return replace(BASELINE_RECIPE, **{"model": self.model, "num_epochs": num_epochs, **self.changes})


BASELINE = Variant("baseline", "two 3x3 convolutions")
VARIANTS = (
    BASELINE,
    Variant("depth", "one convolution", "C(16,3)-BN-P2-FC64-FC10"),
    Variant("depth", "three convolutions", "C(16,3)-BN-P2-C(32,3)-BN-P2-C(64,3)-BN-P2-FC64-FC10"),
    Variant("depth", "two before each pool", "C(16,3)-BN-C(16,3)-BN-P2-C(32,3)-BN-C(32,3)-BN-P2-FC64-FC10"),
    Variant("width", "half", "C(8,3)-BN-P2-C(16,3)-BN-P2-FC32-FC10"),
    Variant("width", "double", "C(32,3)-BN-P2-C(64,3)-BN-P2-FC128-FC10"),
    Variant("kernel", "5x5", "C(16,5)-BN-P2-C(32,5)-BN-P2-FC64-FC10"),
    Variant("kernel", "7x7", "C(16,7)-BN-P2-C(32,7)-BN-P2-FC64-FC10"),
    Variant("pooling", "average", "C(16,3)-BN-A2-C(32,3)-BN-A2-FC64-FC10"),
    Variant("pooling", "only at the end", "C(16,3)-BN-C(32,3)-BN-P4-FC64-FC10"),
    Variant("pooling", "none", "C(16,3)-BN-C(32,3)-BN-FC64-FC10"),
    Variant("pooling", "global, no FC64", "C(16,3)-BN-P2-C(32,3)-BN-P2-G-FC10"),
    Variant("batch norm", "none", "C(16,3)-P2-C(32,3)-P2-FC64-FC10"),
    Variant("dropout", "0.5 before the last layer", "C(16,3)-BN-P2-C(32,3)-BN-P2-FC64-D0.5-FC10"),
    Variant("fully connected", "one hidden layer, as many parameters", "FC99-BN-FC10"),
    Variant("fully connected", "two hidden layers, as many parameters", "FC90-BN-FC90-BN-FC10"),
    Variant("augmentation", "10 degrees, 2 px", changes={"rotation_degrees": 10.0, "translation_pixels": 2.0}),
    Variant("augmentation", "30 degrees, 6 px", changes={"rotation_degrees": 30.0, "translation_pixels": 6.0}),
    # Small training sets need more epochs and smaller batches until training converges.
    Variant("training digits", "100", changes={"train_size": 100.0, "batch_size": 16, "num_epochs": 60}),
    Variant("training digits", "1,000", changes={"train_size": 1000.0, "batch_size": 64, "num_epochs": 40}),
    Variant("training digits", "10,000", changes={"train_size": 10_000.0, "num_epochs": 15}),
)
PROPERTIES = tuple(dict.fromkeys(variant.property for variant in VARIANTS[1:]))

CONTROLS = ("training digits",)  # properties whose variants must be worse

RESULTS = "results.json"
# Metric id of the brief scorecard -> column heading.
MEASURES = {
    "test_accuracy": "test",
    "shift_4px": "shifted",
    "corruptions_mean_1000": "corrupted",
    "corruptions_median_1000": "corrupted, median",
    "corruptions_mean_adapted_1000": "corrupted, adapted",
    "corruptions_median_adapted_1000": "corrupted, adapted median",
    "usps_accuracy": "USPS",
}
# Out-of-distribution images -> column heading. Four scores tell them from digits; an effect counts where all agree.
OOD_MEASURES = {"fashion_mnist": "OOD Fashion", "kmnist": "OOD KMNIST", "near": "OOD near"}
METRIC_IDS = (*MEASURES, *(f"ood_{images}_{score}" for images in OOD_MEASURES for score in SCORE_LABELS))
HEADER = ["property", "network", "parameters", *MEASURES.values(), *OOD_MEASURES.values()]
EXPLANATION = (
    "First row: means of the baseline over the seeds, in percent, with 95 % confidence intervals. Other rows: the mean "
    "minus the baseline's, in percentage points, with Welch's 95 % interval over the seeds, for these test images. A "
    "star marks significant differences, at a false discovery rate of 5 % over the column (Benjamini and Hochberg) "
    "without the controls, the smaller training sets; the intervals of these differences take the selection into "
    f"account (Benjamini and Yekutieli). Fewer than {MIN_SEEDS} seeds are too few for a star. shifted: mean "
    "accuracy over all shifts by up to 4 px. corrupted: mean or median accuracy over the 15 corruptions of MNIST-C; "
    "adapted: with the batch statistics of the corrupted digits, for networks with batch norm. OOD: the lowest and the "
    "highest AUROC of the four scores for detecting images of Fashion-MNIST, KMNIST, or near digits; a star only where "
    "all four effects are significant and have the same sign. The learning rate was not tuned for any of "
    "the networks, and all are compared with the same runs of the baseline."
)
LINEAR_POINTS = 1  # percentage points: beyond, the axis is logarithmic, so that small and large effects are visible
EFFECTS_CAPTION = (
    "Effects of each property, in percentage points above the baseline: means with 95 % intervals; for "
    "out-of-distribution (OOD) images the effects on the four scores. The scale is logarithmic beyond "
    f"{LINEAR_POINTS} point"
)
PANELS_PER_ROW = 5
EFFECT_ROW_INCHES = 0.31
EFFECT_COLORS = {  # of the line, and of the inside of the point
    "significantly better": (COLORS[0], COLORS[0]),
    "significantly worse": (COLORS[1], COLORS[1]),
    "not significant": (GREY, GREY),
    "control, not tested": (GREY, "white"),
}


@dataclass(frozen=True)
class VariantResult:
    """A variant with its measurements."""

    property: str
    label: str
    model: str
    num_parameters: int
    values: dict[str, list[float]]
    """Metric id -> one value per seed; metrics whose data set is missing are left out."""
    runs: list[str]
    changes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        return f"{self.property}: {self.label}"

    @cached_property
    def is_control(self) -> bool:
        """Whether the effect is known beforehand, so that it shows the size of effects and is not tested."""
        return self.property in CONTROLS


@dataclass(frozen=True)
class Effect:
    """The mean of a variant minus the mean of the baseline."""

    difference: float
    ci_low: float
    """Welch's 95 % confidence interval over the seeds; of a significant effect it takes the selection into account."""
    ci_high: float
    is_significant: bool
    """Among the effects on the same metric, at a false discovery rate of 5 %. Never for a control or for fewer than
    MIN_SEEDS seeds."""

    @property
    def points(self) -> tuple[float, float, float]:
        """Difference and interval in percentage points."""
        return 100 * self.difference, 100 * self.ci_low, 100 * self.ci_high


@dataclass(frozen=True)
class AblationResults:
    """The results of a study: the baseline first, then the other variants."""

    command: str
    seeds: list[int]
    num_epochs: int
    variants: list[VariantResult]
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def baseline(self) -> VariantResult:
        return self.variants[0]

    @property
    def others(self) -> list[VariantResult]:
        return self.variants[1:]

    @cached_property
    def effects(self) -> dict[tuple[str, str], Effect]:
        """(name of the variant, metric id) -> effect. The effects on one metric, without the controls, are a family."""
        effects = {}
        for metric in METRIC_IDS:
            measured = [variant for variant in self.others if metric in variant.values]
            baseline = self.baseline.values.get(metric)
            if baseline is None or not measured:
                continue
            family = [variant for variant in measured if not variant.is_control]
            has_enough_seeds = len(self.seeds) >= MIN_SEEDS
            p_values = [welch_p_value(variant.values[metric], baseline) for variant in family]
            significant = benjamini_hochberg(p_values) if has_enough_seeds else [False] * len(family)
            selected = {variant.name for variant, is_in in zip(family, significant, strict=True) if is_in}
            for variant in measured:
                values, is_significant = variant.values[metric], variant.name in selected
                interval = difference_interval(values, baseline, fcr_level(significant) if is_significant else LEVEL)
                difference = mean_interval(values)[0] - mean_interval(baseline)[0]
                effects[variant.name, metric] = Effect(difference, *interval, is_significant)
        return effects

    def ood_effects(self, variant: VariantResult, images: str) -> list[Effect]:
        """The effects on the AUROC by each of the four scores; empty if one is missing."""
        found = [self.effects.get((variant.name, f"ood_{images}_{score}")) for score in SCORE_LABELS]
        return [effect for effect in found if effect] if all(found) else []

    def write(self, folder: Path) -> None:
        """Writes results.json."""
        write_whole(folder / RESULTS, json.dumps(asdict(self), indent=1, allow_nan=False).encode())


def scores_agree(effects: Sequence[Effect]) -> bool:
    """Whether all effects are significant and have the same sign."""
    signs = {effect.difference > 0 for effect in effects}
    return len(signs) == 1 and all(effect.is_significant for effect in effects)


def ablation_folder() -> Path:
    """Holds a folder per study."""
    return study_folder() / "ablation"


def largest_ablation() -> AblationResults | None:
    """The stored study with the most runs, if any. Raises UserError for a damaged file."""
    studies = [read_results(file) for file in sorted(ablation_folder().glob(f"*/{RESULTS}"))]
    return max(studies, key=lambda study: len(study.variants) * len(study.seeds), default=None)


def read_results(file: Path) -> AblationResults:
    """The results that `AblationResults.write` wrote. Raises UserError if the file is damaged."""
    try:
        values = read_json(file)
        variants = [VariantResult(**variant) for variant in values.pop("variants")]
        results = AblationResults(**values, variants=variants)
        _ = results.baseline, results.effects
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(
            f"{shown(file)} is damaged ({brief(error)}): move it away and repeat 'mnist ablation'"
        ) from None
    return results


def run_ablation(
    properties: Sequence[str] = PROPERTIES,
    seeds: Sequence[int] = range(10, 15),
    num_epochs: int = 4,
    device: str = "auto",
) -> AblationResults:
    """Trains and evaluates what is missing, then prints the table of effects and writes page, picture and results into
    study/output/ablation/.

    Raises UserError for an unknown property, fewer than two seeds, a missing device or data set before anything is
    trained, and if a run fails. Ctrl-C raises KeyboardInterrupt with a message how to continue.
    """
    unknown = sorted(set(properties) - set(PROPERTIES))
    if unknown or not properties:
        problem = f"unknown property '{unknown[0][:60]}'" if unknown else "no property"
        raise UserError(f"{problem}: expected some of {', '.join(map(repr, PROPERTIES))}")
    if len(seeds) < 2:
        raise UserError(f"--seeds {','.join(map(str, seeds))}: expected at least two seeds, for a confidence interval")
    variants = [variant for variant in VARIANTS if variant.property in ("baseline", *properties)]
    jobs = [Job(variant.recipe(num_epochs), tuple(seeds)) for variant in variants]
    execution = Execution(device=device)
    resolved = resolve_execution(jobs[0].recipe, build_model(BASELINE.model), execution)
    load_splits(jobs[0].recipe)
    try:
        _train(jobs, execution)
        runs = track([run for job in jobs for run in job.runs], desc="evaluation", unit="run")
        cards = {run.name: scorecard(run, BRIEF, device) for run in runs}
    except KeyboardInterrupt as stop:
        stop.args = ("stopped: repeat the same 'mnist ablation' to continue.",)
        raise
    arguments = _arguments(properties, seeds, num_epochs)
    results = AblationResults(
        command=shlex.join(["mnist", "ablation", *arguments, *([] if device == "auto" else ["--device", device])]),
        seeds=list(seeds),
        num_epochs=num_epochs,
        variants=[
            _variant_result(variant, [cards[run.name] for run in job.runs])
            for variant, job in zip(variants, jobs, strict=True)
        ],
        environment=describe_environment(resolved),
    )
    _write_study(results, ablation_folder() / re.sub(r"[^a-z0-9.,]+", "-", "-".join(arguments)).strip("-")[:200])
    return results


def _train(jobs: Sequence[Job], execution: Execution) -> None:
    unfinished = [missing for job in jobs if (missing := job.unfinished).seeds]
    failures: dict[str, str] = {}
    with track(total=sum(len(job.seeds) for job in unfinished), desc="training", unit="run") as bar:
        for outcome in LocalExecutor(execution).run(unfinished, math.inf):
            failures |= {outcome.job.run(seed).name: reason for seed, reason in outcome.failures.items()}
            bar.update(len(outcome.job.seeds))
    if failures:
        name, reason = next(iter(failures.items()))
        raise UserError(f"{len(failures)} runs failed. {name}: {reason}")


def _variant_result(variant: Variant, cards: Sequence[Scorecard]) -> VariantResult:
    results = {metric: [card.results[metric].value for card in cards] for metric in METRIC_IDS}
    known = {metric: [value for value in values if value is not None] for metric, values in results.items()}
    return VariantResult(
        property=variant.property,
        label=variant.label,
        model=variant.model,
        num_parameters=num_parameters(build_model(variant.model)),
        values={metric: values for metric, values in known.items() if len(values) == len(cards)},
        runs=[card.run_name for card in cards],
        changes=dict(variant.changes),
    )


def _arguments(properties: Sequence[str], seeds: Sequence[int], num_epochs: int) -> list[str]:
    """The arguments of `mnist ablation` that decide the results."""
    chosen = [] if set(properties) == set(PROPERTIES) else ["--properties", *properties]
    return [*chosen, "--seeds", seeds_text(seeds), "--num-epochs", str(num_epochs)]


def _write_study(results: AblationResults, folder: Path) -> None:
    results.write(folder)
    rows = effect_rows(results)
    picture = picture_of(effects_figure(results), EFFECTS_CAPTION, "effects")
    made = (
        f"Made by {results.command}: {len(results.variants)} networks, seeds {', '.join(map(str, results.seeds))}, "
        f"{results.num_epochs} epochs."
    )
    page = Document("Ablation study", [Text(made), picture, Text(EXPLANATION), Table(HEADER, rows)])
    page.write_pictures(folder)
    page.write_html(folder / "ablation.html")
    print(f"{plain_table(HEADER, rows)}\n{EXPLANATION}\npage: {shown(folder / 'ablation.html')}")


def effect_rows(results: AblationResults) -> list[list[str]]:
    """The table of effects: the baseline's own values, then the differences of each variant from them."""
    return [
        [variant.property, variant.label, f"{variant.num_parameters:,}",
         *(_effect_text(results, variant, metric) for metric in MEASURES),
         *(_ood_text(results, variant, images) for images in OOD_MEASURES)]
        for variant in results.variants
    ]  # fmt: skip


def _effect_text(results: AblationResults, variant: VariantResult, metric: str) -> str:
    if variant is results.baseline and metric in variant.values:
        mean, half_width = mean_interval(variant.values[metric])
        return f"{100 * mean:.2f} ± {100 * half_width:.2f}"
    effect = results.effects.get((variant.name, metric))
    if effect is None:
        return "-"
    difference, low, high = effect.points
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f}){' *' if effect.is_significant else ''}"


def _ood_text(results: AblationResults, variant: VariantResult, images: str) -> str:
    """The lowest and the highest value of the four scores."""
    if variant is results.baseline:
        known = [variant.values.get(f"ood_{images}_{score}") for score in SCORE_LABELS]
        means = [100 * mean_interval(values)[0] for values in known if values]
        return f"{min(means):.2f} to {max(means):.2f}" if len(means) == len(known) else "-"
    effects = results.ood_effects(variant, images)
    if not effects:
        return "-"
    differences = [100 * effect.difference for effect in effects]
    return f"{min(differences):+.2f} to {max(differences):+.2f}{' *' if scores_agree(effects) else ''}"


@figure_style()
def effects_figure(results: AblationResults) -> Figure:
    """A row per variant, a panel per measured metric: the difference from the baseline with its confidence interval, or
    the differences by each of the four scores for out-of-distribution images."""
    panels: dict[str, dict[str, list[Effect]]] = {}
    for metric, heading in MEASURES.items():
        found = {variant.name: results.effects.get((variant.name, metric)) for variant in results.others}
        panels[heading] = {name: [effect] for name, effect in found.items() if effect}
    for images, heading in OOD_MEASURES.items():
        panels[heading] = {variant.name: results.ood_effects(variant, images) for variant in results.others}
    panels = {heading: effects for heading, effects in panels.items() if any(effects.values())}
    columns = min(PANELS_PER_ROW, len(panels))
    num_rows = -(-len(panels) // columns)
    title = _effects_title(results)
    height = num_rows * (1.1 + EFFECT_ROW_INCHES * len(results.others)) + title_inches(title, PAGE_INCHES) + 0.5
    figure = Figure(figsize=(min(PAGE_INCHES, 3.0 + 1.6 * columns), height), layout="constrained")
    set_title(figure, title)
    grid = figure.subplots(num_rows, columns, sharey=True, squeeze=False).flatten()
    for axes in grid[len(panels) :]:
        axes.axis("off")
    for axes, (heading, effects) in zip(grid, panels.items(), strict=False):
        _draw_effects(axes, results, effects)
        axes.set_title(textwrap.fill(heading, 18))
        axes.set_xlabel("points")
    names = [wrapped(variant.name, 30) for variant in results.others]
    grid[0].set_yticks(range(len(names)), names)
    grid[0].set_ylim(len(names) - 0.5, -0.5)
    handles = [Line2D([], [], marker="o", color=color, markerfacecolor=face) for color, face in EFFECT_COLORS.values()]
    figure.legend(handles, list(EFFECT_COLORS), loc="outside lower left", ncols=2)
    return figure


def _effects_title(results: AblationResults) -> str:
    """How many effects on the test accuracy, or on the first measured metric, are significant, and the largest."""
    for metric, heading in MEASURES.items():
        effects = [(variant, results.effects.get((variant.name, metric))) for variant in results.others]
        tested = [(variant, effect) for variant, effect in effects if effect and not variant.is_control]
        significant = [(abs(effect.difference), variant, effect) for variant, effect in tested if effect.is_significant]
        if significant:
            _, variant, effect = max(significant, key=lambda item: item[0])
            return (
                f"{len(significant)} of {len(tested)} changes have a significant effect ({heading}), the largest: "
                f"{variant.name} ({100 * effect.difference:+.1f} points)"
            )
        if tested:
            return f"None of {len(tested)} changes has a significant effect ({heading})"
    return "Effects of each property"


def _draw_effects(axes: Axes, results: AblationResults, effects: Mapping[str, Sequence[Effect]]) -> None:
    """A row per variant: one effect with its interval, or several effects and the line that joins them."""
    largest = 0.0
    for row, variant in enumerate(results.others):
        found = effects.get(variant.name, [])
        if not found:
            continue
        points = [100 * effect.difference for effect in found]
        low, high = found[0].points[1:] if len(found) == 1 else (min(points), max(points))
        is_significant = scores_agree(found)
        kind = "control, not tested" if variant.is_control else "not significant"
        if is_significant:
            kind = "significantly better" if points[0] > 0 else "significantly worse"
        color, face = EFFECT_COLORS[kind]
        axes.hlines(row, low, high, color=color, linewidth=2 if len(found) == 1 else 1)
        axes.plot(points, [row] * len(points), "o", color=color, markerfacecolor=face)
        largest = max(largest, *map(abs, points))
    axes.axvline(0, color=INK, linewidth=0.8)
    if largest > LINEAR_POINTS:
        axes.set_xscale("symlog", linthresh=LINEAR_POINTS)
        ticks = (1, 10) if largest > 5 else (1, 3)
        axes.set_xticks([*(-tick for tick in reversed(ticks)), 0, *ticks])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:+g}" if value else "0")
    axes.margins(x=0.08)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
