"""All that the report rests on, read from the files that the commands left."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from study import limits_page
from study.architecture_results import ArchitectureResults, largest_study
from study.comparison.groups import Group, group_runs
from study.generalisation.cells import Cell
from study.generalisation.scorecards import FULL, Scorecard, finished_mnist_runs, kept_scorecards
from study.recipe_names import recipe_label
from study.reporting.written import plain
from trainers.recipe import Recipe
from utils.errors import UserError
from utils.paths import PROJECT_FOLDER, shown
from utils.statistics import mean_interval

INSPECTION = PROJECT_FOLDER / "data_inspection" / "output"


@dataclass(frozen=True)
class Network:
    """A recipe with its runs and their scorecards, seed by seed."""

    group: Group
    cards: Sequence[Scorecard]

    @cached_property
    def label(self) -> str:
        return recipe_label(self.recipe)

    @property
    def seeds(self) -> list[int]:
        return [record.summary["seed"] for record in self.group.records]

    @property
    def recipe(self) -> Recipe:
        return Recipe.from_json(self.group.records[0].config)

    def cells(self, name: str) -> list[Cell]:
        """The cell of each seed."""
        return [card.cells.get(name, Cell(None)) for card in self.cards]

    def num_images(self, name: str) -> int:
        """Behind the cell."""
        return max(cell.n for cell in self.cells(name))

    def is_told(self, name: str, level: float) -> int:
        """1 where the cell is above the level in each seed's own interval, -1 where it is below, 0 where neither."""
        cells = self.cells(name)
        if all(cell.low is not None and cell.low >= level for cell in cells):
            return 1
        return -1 if all(cell.high is not None and cell.high < level for cell in cells) else 0

    def values(self, name: str) -> list[float] | None:
        """Of the cell, seed by seed; None where a seed has none."""
        values = [cell.value for cell in self.cells(name)]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def mean(self, name: str) -> float | None:
        """Over the seeds; None where a seed has no value."""
        values = self.values(name)
        return None if values is None else mean_interval(values)[0]

    def written(self, name: str) -> str:
        """The cell over the seeds, shares in percent; a dash where a seed has none."""
        values = self.values(name)
        if values is None:
            return "-"
        is_number = self.cells(name)[0].kind == "number"
        return plain(values) if is_number else plain([100 * value for value in values], largest=100)


@dataclass(frozen=True)
class Evidence:
    """What there is; None for a study that was not made yet."""

    networks: list[Network]
    """The recipes whose runs all have a scorecard, the best by validation first."""
    num_left_out: int
    """Finished recipes of MNIST of which a run has none."""
    inspection: dict[str, Any] | None
    architecture: ArchitectureResults | None
    limits: dict[str, Any] | None


def gather_evidence() -> Evidence:
    """Raises UserError where no recipe has the scorecards of all its runs, or a file is damaged."""
    records = finished_mnist_runs()
    cards = kept_scorecards([record.run for record in records], FULL)
    groups, _ = group_runs(records)
    networks = [
        Network(group, [cards[record.name] for record in group.records])
        for group in groups
        if all(record.name in cards for record in group.records)
    ]
    if not networks:
        raise UserError("no recipe has a scorecard of each of its runs yet: 'mnist scorecard RUN ...' makes them")
    inspection = _read(INSPECTION / "statistics.json", "mnist", dict)
    return Evidence(
        networks,
        len(groups) - len(networks),
        inspection["mnist"] if inspection else None,
        largest_study(),
        _read(limits_page.limits_folder() / limits_page.RESULTS, "hard_digits", list),
    )


def _read(file: Path, key: str, kind: type) -> dict[str, Any] | None:
    """What a command left, in which `key` holds something of this kind."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{shown(file)} is damaged: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get(key), kind) or not values[key]:
        raise UserError(f"{shown(file)} is damaged: expected what our commands write")
    return values
