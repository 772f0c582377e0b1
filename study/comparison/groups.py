"""Runs that differ only in seed are one group; its figures are means with intervals over the seeds."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from study.comparison.run_records import RunRecord
from trainers.recipe import with_later_fields
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


def group_runs(records: list[RunRecord]) -> tuple[list[Group], list[RunRecord]]:
    """The groups of the finished runs, by data set, the best by validation first, and the runs that say nothing new.

    A group is called by its model and by the settings in which the groups of that model differ, and by its data
    set where the data sets differ. Of several runs of one recipe and seed the last counts: they are no further seeds.
    """
    by_recipe: dict[str, dict[int, RunRecord]] = defaultdict(dict)
    repeated = []
    for record in records:
        if record.is_finished:
            seeds = by_recipe[json.dumps(_without_seed(record.config), sort_keys=True)]
            seed = record.summary["seed"]
            if seed in seeds:
                repeated.append(seeds[seed])
            seeds[seed] = record
    recipes = [json.loads(recipe) for recipe in by_recipe]
    differing = {model: _differing_settings(recipes, model) for model in {recipe["model"] for recipe in recipes}}
    groups = [
        Group(_label(recipe, differing[recipe["model"]]), [members[seed] for seed in sorted(members)])
        for recipe, members in zip(recipes, by_recipe.values(), strict=True)
    ]
    return sorted(groups, key=_data_set_and_rank), repeated


def _data_set_and_rank(group: Group) -> tuple[str, float]:
    """Accuracies on different data sets make no ranking."""
    return str(group.records[0].config["train"].get("dataset")), -group.mean_interval("val_accuracy")[0]


def _without_seed(config: dict[str, Any]) -> dict[str, Any]:
    settings = {key: _plain(value) for key, value in with_later_fields(config["train"]).items() if key != "seed"}
    return {"model": config["model"], **settings}


def _plain(value: Any) -> Any:
    """1.0 as 1: earlier versions wrote a setting either way."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _differing_settings(recipes: list[dict[str, Any]], model: str) -> list[str]:
    """The settings that are not the same in all recipes of this model; the data set, in all recipes."""
    same_model = [recipe for recipe in recipes if recipe["model"] == model]
    first = same_model[0]
    return [
        key
        for key in first
        if any(other.get(key) != first[key] for other in (recipes if key == "dataset" else same_model))
    ]


def _label(recipe: dict[str, Any], differing: list[str]) -> str:
    settings = ", ".join(f"{key}={recipe.get(key)}" for key in differing)
    return f"{recipe['model']} ({settings})" if settings else str(recipe["model"])
