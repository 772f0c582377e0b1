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
    members = [sorted(group, key=lambda record: record.summary["seed"]) for group in by_recipe.values()]
    groups = [Group(_label(group[0].config, [other[0].config for other in members]), group) for group in members]
    return sorted(groups, key=lambda group: -group.mean_interval("val_accuracy")[0])


def _without_seed(config: dict[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in config["train"].items() if key != "seed"}
    return {"model": config["model"], **settings}


def _label(config: dict[str, Any], configs: list[dict[str, Any]]) -> str:
    same_model = [_without_seed(other) for other in configs if other["model"] == config["model"]]
    own = _without_seed(config)
    differing = [key for key in own if any(other.get(key) != own[key] for other in same_model)]
    settings = ", ".join(f"{key}={own[key]}" for key in differing)
    return f"{config['model']} ({settings})" if settings else str(config["model"])
