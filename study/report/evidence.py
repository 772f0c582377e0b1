"""What the report is based on: MNIST recipes with the scorecards of their runs, and the results of other commands."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from study.ablation import AblationResults, largest_ablation
from study.comparison.groups import RunGroup, group_runs
from study.label_errors import read_label_errors
from study.scorecard import BRIEF, CURVES, FULL, MetricResult, Scorecard, cached_scorecards, finished_mnist_runs
from trainers.recipes import recipe_label
from utils.errors import UserError
from utils.files import output_folder, shown
from utils.statistics import mean_interval


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
        """Whether all seeds have a full scorecard, which the figures need."""
        return all(set(FULL) <= set(card.results) and set(CURVES) <= set(card.curves) for card in self.cards)

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
        return mean_interval(values)[0] if values else math.nan

    def reaches(self, metric: str, level: float) -> bool | None:
        """Whether the metric reaches the level: True if the confidence interval of every seed is at or above it, False
        if that of every seed is below it, None if undecided or not measured."""
        lows, highs = ([getattr(result, end) for result in self.results(metric)] for end in ("ci_low", "ci_high"))
        if not lows or None in lows or None in highs:
            return None
        return True if min(lows) >= level else False if max(highs) < level else None

    def text(self, metric: str) -> str:
        """Mean and confidence interval over the seeds, fractions in percent; a dash if a seed has no value."""
        values = self.values(metric)
        if not values:
            return "-"
        if self.results(metric)[0].kind == "number":
            return interval_text(values)
        return interval_text([100 * value for value in values], largest=100)

    def percent(self, metric: str) -> str:
        """The text of a fraction with its unit."""
        return f"{self.text(metric)}\u00a0%"

    def to_json(self) -> dict[str, Any]:
        """The recipe and its results seed by seed: accuracies and fractions from 0 to 1, seconds."""
        metrics = {metric: self.results(metric) for metric in FULL}
        return {
            "label": self.label,
            "model": self.group.recipe.model,
            "num_parameters": self.group.num_parameters,
            "seeds": self.seeds,
            "runs": [run.name for run in self.group.runs],
            **{name: self.group.values(name) for name in ("val_accuracy", "test_accuracy", "train_seconds")},
            "metrics": {
                metric: {
                    "values": self.values(metric),
                    "ci_low": [result.ci_low for result in results],
                    "ci_high": [result.ci_high for result in results],
                    "n": results[0].n,
                }
                for metric, results in metrics.items()
                if results
            },
        }


@dataclass(frozen=True)
class Evidence:
    """Everything that the report shows. A study that has not been made is None."""

    networks: list[Network]
    """Recipes with measured metrics for every run, the best validation accuracy first."""
    inspection: dict[str, Any] | None
    ablation: AblationResults | None
    label_errors: dict[str, Any] | None

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
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["mnist"]
        return values
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{shown(file)} is damaged ({error}): 'mnist inspect' writes it again") from None


def interval_text(values: Sequence[float], largest: float = math.inf) -> str:
    """Mean ± margin of the 95 % confidence interval, for values from 0 to `largest`. If the interval would leave that
    range, the lowest and highest value instead of the margin."""
    mean, margin = mean_interval(values)
    if math.isnan(margin):
        return f"{mean:.2f}"
    if mean - margin < 0 or mean + margin > largest:
        return unbroken(f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})")
    return unbroken(f"{mean:.2f} ± {margin:.2f}")


def unbroken(text: str) -> str:
    """The text with non-breaking spaces."""
    return text.replace(" ", "\u00a0")
