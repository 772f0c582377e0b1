"""Runs that differ only in seed are one group; its figures are means with intervals over the seeds."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from study.comparison.run_records import RunRecord
from utils.statistics import mean_interval


@dataclass(frozen=True)
class Group:
    """The finished runs of one recipe, by seed."""

    label: str
    records: list[RunRecord]

    @property
    def num_parameters(self) -> int:
        return int(self.records[0].summary["num_parameters"])

    def mean_interval(self, key: str) -> tuple[float, float]:
        """Mean over the seeds of a figure of summary.json, and the half-width of its 95 % interval."""
        return mean_interval([record.summary[key] for record in self.records])

    @property
    def best_test_accuracy(self) -> float:
        return max(record.summary["test_accuracy"] for record in self.records)

    @property
    def images_per_second(self) -> float:
        """The median over all epochs of all seeds."""
        return statistics.median(row.images_per_second for record in self.records for row in record.rows)


def group_runs(records: list[RunRecord]) -> list[Group]:
    """The groups of the finished runs, the best by validation first.

    A group is called by its model and by the settings in which groups of that model differ.
    """
    by_recipe: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        if record.is_finished:
            by_recipe[json.dumps(_without_seed(record.config), sort_keys=True)].append(record)
    recipes = [json.loads(recipe) for recipe in by_recipe]
    differing = {model: _differing_settings(recipes, model) for model in {recipe["model"] for recipe in recipes}}
    groups = [
        Group(_label(recipe, differing[recipe["model"]]), sorted(members, key=lambda record: record.summary["seed"]))
        for recipe, members in zip(recipes, by_recipe.values(), strict=True)
    ]
    return sorted(groups, key=lambda group: -group.mean_interval("val_accuracy")[0])


def _without_seed(config: dict[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in config["train"].items() if key != "seed"}
    return {"model": config["model"], **settings}


def _differing_settings(recipes: list[dict[str, Any]], model: str) -> list[str]:
    """The settings that are not the same in all recipes of this model."""
    same_model = [recipe for recipe in recipes if recipe["model"] == model]
    return [key for key in same_model[0] if any(other.get(key) != same_model[0][key] for other in same_model)]


def _label(recipe: dict[str, Any], differing: list[str]) -> str:
    settings = ", ".join(f"{key}={recipe.get(key)}" for key in differing)
    return f"{recipe['model']} ({settings})" if settings else str(recipe["model"])
