"""What the report is based on: MNIST recipes with scorecards of all their runs, and the results of other commands."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from study.ablation import AblationResults, largest_ablation
from study.comparison.groups import RunGroup, group_runs
from study.label_errors import read_label_errors
from study.scorecard import FULL, MetricResult, Scorecard, cached_scorecards, finished_mnist_runs
from trainers.recipes import recipe_label
from utils.errors import UserError
from utils.files import PROJECT_FOLDER, shown
from utils.statistics import mean_interval

INSPECTION = PROJECT_FOLDER / "data_inspection" / "output"


@dataclass(frozen=True)
class Network:
    """A recipe with the runs and scorecards of its seeds."""

    group: RunGroup
    cards: Sequence[Scorecard]

    @cached_property
    def label(self) -> str:
        return recipe_label(self.group.recipe)

    @property
    def seeds(self) -> list[int]:
        return [run.recipe.seed for run in self.group.runs]

    def results(self, metric: str) -> list[MetricResult]:
        """The result of each seed for the metric with this id."""
        return [card.results[metric] for card in self.cards]

    def num_images(self, metric: str) -> int:
        return max(result.n for result in self.results(metric))

    def reaches(self, metric: str, level: float) -> bool | None:
        """Whether the metric reaches the level: True if the confidence interval of every seed is at or above it, False
        if that of every seed is below it, None if undecided."""
        results = self.results(metric)
        if all(result.ci_low is not None and result.ci_low >= level for result in results):
            return True
        return False if all(result.ci_high is not None and result.ci_high < level for result in results) else None

    def values(self, metric: str) -> list[float] | None:
        """Seed by seed; None if the value of a seed is missing."""
        values = [result.value for result in self.results(metric)]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def mean(self, metric: str) -> float | None:
        """Over the seeds; None if the value of a seed is missing."""
        values = self.values(metric)
        return None if values is None else mean_interval(values)[0]

    def text(self, metric: str) -> str:
        """Mean and confidence interval over the seeds, fractions in percent; a dash if a seed has no value."""
        values = self.values(metric)
        if values is None:
            return "-"
        if self.results(metric)[0].kind == "number":
            return interval_text(values)
        return interval_text([100 * value for value in values], largest=100)


@dataclass(frozen=True)
class Evidence:
    """Everything that the report shows. A study that has not been made is None."""

    networks: list[Network]
    """Recipes with a scorecard of every run, the best validation accuracy first."""
    num_without_scorecards: int
    """Finished MNIST recipes that lack the scorecard of a run."""
    inspection: dict[str, Any] | None
    ablation: AblationResults | None
    label_errors: dict[str, Any] | None


def gather_evidence() -> Evidence:
    """Reads all results. Raises UserError if no recipe has scorecards of all its runs, or if a file is damaged."""
    runs = finished_mnist_runs()
    cards = cached_scorecards(runs, FULL)
    groups, _ = group_runs(runs)
    networks = [
        Network(group, [cards[run.name] for run in group.runs])
        for group in groups
        if all(run.name in cards for run in group.runs)
    ]
    if not networks:
        raise UserError("no recipe has scorecards of all its runs yet: 'mnist scorecard RUN ...' makes them")
    return Evidence(networks, len(groups) - len(networks), _read_inspection(), largest_ablation(), read_label_errors())


def _read_inspection() -> dict[str, Any] | None:
    """The statistics of MNIST that `mnist inspect` wrote."""
    file = INSPECTION / "statistics.json"
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
