"""What the report is based on: MNIST recipes with the scorecards of their runs, and the results of other commands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from study.ablation import AblationResults, largest_ablation
from study.comparison.groups import RunGroup, group_runs, interval_text
from study.label_errors import read_label_errors
from study.scorecard import (
    BRIEF,
    CURVES_WITHOUT_STRONG_ATTACK,
    FULL,
    MetricResult,
    Scorecard,
    cached_scorecards,
    finished_mnist_runs,
)
from trainers.recipes import recipe_label
from utils.errors import UserError
from utils.files import output_folder, shown
from utils.outside import read_json
from utils.recipe import Recipe
from utils.statistics import Interval, interval_over_seeds

DAGGER = "†"
CORRUPTION_DEGREES = math.degrees(0.4)  # of MNIST-C's rotate and shear


def is_trained_on(recipe: Recipe, metric: str) -> bool:
    """Whether the transformations or the attack of training include those of this condition (docs/techniques.md)."""
    rotation, translation = recipe.rotation_degrees, recipe.translation_pixels
    families = set(recipe.transformations)
    kind, _, amount = metric.rpartition("_")
    if kind == "rotation":
        return rotation >= float(amount)
    if kind == "scale":
        return recipe.scale_fraction >= abs(float(amount) - 1) - 1e-9
    if kind in ("robust_linf", "fgsm_linf", "pgd_linf"):
        return recipe.adversarial_radius >= float(amount)
    covered = {
        "condition_inverted": "polarity" in families,
        "condition_grey_paper": bool(families & {"tone", "polarity"}),
        "condition_low_contrast": bool(families & {"tone", "polarity"}),
        "condition_thin_strokes": "thickness" in families,
        "condition_thick_strokes": "thickness" in families,
        "condition_low_resolution": "resolution" in families,
        "condition_occluded": recipe.erasing_probability > 0,
        "shift_4px": translation >= 4,
        "spatial_worst_case": translation >= 3 and rotation >= 30,
        "corruption_translate": translation >= 3,
        "corruption_rotate": rotation >= CORRUPTION_DEGREES,
        "corruption_shear": recipe.shear_degrees >= CORRUPTION_DEGREES,
        "corruption_scale": recipe.scale_fraction >= 0.3,
    }
    return covered.get(metric, False)


@dataclass(frozen=True)
class Network:
    """A recipe with the runs and scorecards of its seeds. A scorecard has the metrics that were measured so far."""

    group: RunGroup
    cards: Sequence[Scorecard]

    @cached_property
    def label(self) -> str:
        return recipe_label(self.group.recipe)

    @property
    def seeds(self) -> list[int]:
        return [run.recipe.seed for run in self.group.runs]

    @property
    def is_complete(self) -> bool:
        """Whether all seeds have a full scorecard."""
        return self.has_curves and all(set(FULL) <= set(card.results) for card in self.cards)

    @property
    def has_curves(self) -> bool:
        """Whether all seeds have the curves that the figures need; those of the strong attack may be missing."""
        return all(set(CURVES_WITHOUT_STRONG_ATTACK) <= set(card.curves) for card in self.cards)

    @property
    def scorecard_command(self) -> str:
        return f"mnist scorecard {' '.join(run.name for run in self.group.runs)}"

    def results(self, metric: str) -> list[MetricResult]:
        """The result of each seed for the metric with this id; empty if a seed has no value."""
        results = [card.results[metric] for card in self.cards if metric in card.results]
        is_known = len(results) == len(self.cards) and all(result.value is not None for result in results)
        return results if is_known else []

    def values(self, metric: str) -> list[float]:
        """Seed by seed; empty if a seed has no value."""
        return [result.value for result in self.results(metric) if result.value is not None]

    def mean(self, metric: str) -> float:
        """Over the seeds; NaN if a seed has no value."""
        values = self.values(metric)
        return float(np.mean(values)) if values else math.nan

    def interval(self, metric: str) -> Interval | None:
        """The mean over the seeds with an interval that holds for other seeds and other images; None if a seed has no
        value."""
        if metric == "test_accuracy":
            return self.group.interval("test_accuracy")
        results = self.results(metric)
        if not results:
            return None
        is_fraction = results[0].kind == "fraction"
        return interval_over_seeds(self.values(metric), [result.standard_error for result in results], is_fraction)

    def is_trained_on(self, metric: str) -> bool:
        return is_trained_on(self.group.recipe, metric)

    def text(self, metric: str) -> str:
        """Mean and confidence interval, fractions in percent; a dash if a seed has no value. A dagger marks a condition
        that training covers."""
        interval = self.interval(metric)
        if interval is None:
            return "-"
        is_fraction = metric == "test_accuracy" or self.results(metric)[0].kind == "fraction"
        text = interval_text(interval) if is_fraction else _number_text(interval)
        return f"{text}\u00a0{DAGGER}" if self.is_trained_on(metric) else text


@dataclass(frozen=True)
class Evidence:
    """Everything that the report shows. A study that has not been made is None."""

    networks: list[Network]
    """Recipes with measured metrics for every run, the best validation accuracy first."""
    inspection: dict[str, Any] | None
    ablation: AblationResults | None
    label_errors: dict[str, Any] | None
    is_recorded: bool = False
    """Whether it was read from a report.json: then the pictures of the label errors are not its own."""

    @property
    def num_runs(self) -> int:
        return sum(len(network.cards) for network in self.networks)


def gather_evidence() -> Evidence:
    """Reads all results. Runs of the ablation study count only if their scorecards have more metrics than the study
    measures.

    Raises UserError if no recipe has measured metrics for all its runs, or if a file is damaged.
    """
    runs = finished_mnist_runs()
    cards = cached_scorecards(runs, FULL)
    ablation = largest_ablation()
    ablation_runs = {name for variant in ablation.variants for name in variant.runs} if ablation else set()
    counted = {
        name
        for name, card in cards.items()
        if card.results and not (name in ablation_runs and set(card.results) <= set(BRIEF))
    }
    networks = [
        Network(group, [cards[run.name] for run in group.runs])
        for group in group_runs(runs)[0]
        if all(run.name in counted for run in group.runs)
    ]
    if not networks:
        raise UserError(
            "no MNIST recipe has a scorecard for each of its runs yet:\n"
            "'mnist train fast_conv' creates a run, 'mnist scorecard RUN ...' measures runs"
        )
    return Evidence(networks, _read_inspection(), ablation, read_label_errors())


def _read_inspection() -> dict[str, Any] | None:
    """The statistics of MNIST that `mnist inspect` wrote."""
    file = output_folder("data_inspection") / "statistics.json"
    if not file.exists():
        return None
    try:
        values: dict[str, Any] = read_json(file)["mnist"]
        return values
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{shown(file)} is damaged ({error}): 'mnist inspect' writes it again") from None


def _number_text(interval: Interval) -> str:
    if not interval.has_enough_seeds or math.isnan(interval.low):
        return f"{interval.value:.3g}"
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"
