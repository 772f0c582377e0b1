"""Groups of runs that differ only in seed, and tables of groups and runs: for the terminal, as CSV and as LaTeX."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainers.recipes import recipe_label
from utils.errors import UserError
from utils.files import runs_folder, shown
from utils.recipe import Recipe
from utils.run import Run, runs_by_recipe
from utils.statistics import mean_interval


@dataclass(frozen=True)
class RunGroup:
    """The finished runs of one recipe, in the order of their seeds."""

    label: str
    runs: list[Run]

    @property
    def recipe(self) -> Recipe:
        """The recipe of the first seed."""
        return self.runs[0].recipe

    @property
    def num_parameters(self) -> int:
        return self.runs[0].summary.num_parameters

    def values(self, field: str) -> list[float]:
        """One field of the run summary, such as `test_accuracy`, seed by seed."""
        return [getattr(run.summary, field) for run in self.runs]

    def mean_interval(self, field: str) -> tuple[float, float]:
        """Mean of a summary field over the seeds, and the margin of its 95 % confidence interval (NaN for one seed)."""
        return mean_interval(self.values(field))

    @property
    def best_test_accuracy(self) -> float:
        return max(self.values("test_accuracy"))

    @property
    def images_per_second(self) -> float:
        """Median over all epochs of all seeds."""
        return statistics.median(row.images_per_second for run in self.runs for row in run.metrics)


def group_runs(runs: Iterable[Run]) -> tuple[list[RunGroup], list[Run]]:
    """The finished runs grouped by recipe, sorted by data set and then by validation accuracy, the best first; and the
    superseded runs: of several runs with the same recipe and seed, only the last given counts. Unfinished and damaged
    runs are left out."""
    members, superseded = runs_by_recipe(runs)
    groups = [RunGroup(recipe_label(group[0].recipe), group) for group in members]
    return sorted(groups, key=lambda group: (group.recipe.dataset, -group.mean_interval("val_accuracy")[0])), superseded


def by_dataset(groups: Sequence[RunGroup]) -> dict[str, list[RunGroup]]:
    """The groups of each data set: accuracies on different data sets cannot be compared."""
    parts: dict[str, list[RunGroup]] = {}
    for group in groups:
        parts.setdefault(group.recipe.dataset, []).append(group)
    return parts


# Tables.

GROUP_HEADER = ["group", "seeds", "parameters", "validation", "test", "best test", "train s", "images/s"]
RUN_HEADER = ["run", "recipe", "data set", "seed", "epochs", "validation", "test", "train s", "state"]
LEFT_ALIGNED = {"group", "run", "recipe", "data set", "state", "property", "network"}


def group_rows(groups: Sequence[RunGroup]) -> list[list[str]]:
    """One row per group for `GROUP_HEADER`. Accuracies are means with 95 % confidence intervals over the seeds."""
    return [
        [
            group.label,
            str(len(group.runs)),
            f"{group.num_parameters:,}",
            percent(*group.mean_interval("val_accuracy")),
            percent(*group.mean_interval("test_accuracy")),
            f"{group.best_test_accuracy:.2%}",
            f"{group.mean_interval('train_seconds')[0]:,.1f}",
            f"{group.images_per_second:,.0f}",
        ]
        for group in groups
    ]


def percent(mean: float, margin: float) -> str:
    """A mean accuracy and its interval: `99.50% ± 0.10%`, or `99.50%` if the margin is NaN.

    Student's interval of few seeds may reach beyond 0 or 100 %. Then its ends are cut off there, which does not change
    its coverage, and both are given: `99.25% (96.07% to 100.00%)`.
    """
    if math.isnan(margin):
        return f"{mean:.2%}"
    if margin <= min(mean, 1 - mean):
        return f"{mean:.2%} ± {margin:.2%}"
    return f"{mean:.2%} ({max(0.0, mean - margin):.2%} to {min(1.0, mean + margin):.2%})"


def run_rows(runs: Iterable[Run]) -> list[list[str]]:
    """One row per run for `RUN_HEADER`: its results, or why there are none."""
    return [[run.name, *_recipe_cells(run), *_result_cells(run)] for run in runs]


def _recipe_cells(run: Run) -> list[str]:
    try:
        return [recipe_label(run.recipe), run.recipe.dataset, str(run.recipe.seed)]
    except UserError:
        return ["-", "-", "-"]


def _result_cells(run: Run) -> list[str]:
    if run.problem:
        return ["-", "-", "-", "-", run.problem]
    summary = run.summary
    accuracies = f"{summary.val_accuracy:.2%}", f"{summary.test_accuracy:.2%}"
    return [str(summary.num_epochs_run), *accuracies, f"{summary.train_seconds:,.1f}", "finished"]


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: names left-aligned, numbers right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.ljust(width) if name in LEFT_ALIGNED else cell.rjust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def csv_table(groups: Sequence[RunGroup]) -> str:
    """One line per group in full precision. The confidence interval of a single seed is empty."""
    rows = []
    for group in groups:
        intervals: dict[str, float] = {}
        for field, highest in (("val_accuracy", 1.0), ("test_accuracy", 1.0), ("train_seconds", math.inf)):
            mean, margin = group.mean_interval(field)
            ends = np.clip([mean - margin, mean + margin], 0.0, highest)
            intervals |= dict(zip((f"{field}_mean", f"{field}_ci_low", f"{field}_ci_high"), (mean, *ends), strict=True))
        rows.append(
            {
                "group": group.label,
                "dataset": group.recipe.dataset,
                "num_seeds": len(group.runs),
                "num_parameters": group.num_parameters,
                **intervals,
                "best_test_accuracy": group.best_test_accuracy,
                "images_per_second": group.images_per_second,
                "runs": " ".join(run.name for run in group.runs),
            }
        )
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def latex_table(groups: Sequence[RunGroup]) -> str:
    """A booktabs table with the cells of `group_rows`."""
    table = pd.DataFrame(group_rows(groups), columns=GROUP_HEADER)
    columns = "l" + "r" * (len(GROUP_HEADER) - 1)
    return table.to_latex(index=False, escape=True, column_format=columns).replace("±", r"$\pm$")


def list_runs() -> None:
    """Prints all runs in runs/, the oldest first, including unfinished and damaged ones."""
    runs = Run.all()
    print(plain_table(RUN_HEADER, run_rows(runs)) if runs else f"no runs yet in {shown(runs_folder())}")
