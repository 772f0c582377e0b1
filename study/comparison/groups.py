"""Groups of runs that differ only in seed, and tables of groups and runs: for the terminal, as CSV and as LaTeX."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from utils.errors import UserError
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
    superseded runs: of several runs with the same recipe and seed, only the last given counts.

    A group's label is its model, followed by the fields in which the recipes of that model differ. The data set is
    part of every label if there are several data sets. Unfinished and damaged runs are left out.
    """
    members, superseded = runs_by_recipe(runs)
    recipes = [group[0].recipe for group in members]
    groups = [RunGroup(_label(group[0].recipe, recipes), group) for group in members]
    # Accuracies on different data sets are not comparable.
    return sorted(groups, key=lambda group: (group.recipe.dataset, -group.mean_interval("val_accuracy")[0])), superseded


def _label(recipe: Recipe, recipes: list[Recipe]) -> str:
    values = recipe.to_json()
    others = [other.to_json() for other in recipes]
    same_model = [other for other in others if other["model"] == recipe.model]
    differing = [
        f"{name}={_shorter(value)}"
        for name, value in values.items()
        if name not in ("model", "seed")
        and any(other[name] != value for other in (others if name == "dataset" else same_model))
    ]
    return f"{recipe.model} ({', '.join(differing)})" if differing else recipe.model


def _shorter(value: Any) -> Any:
    """10 instead of 10.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Tables.

GROUP_HEADER = ["group", "seeds", "parameters", "validation", "test", "best test", "train s", "images/s"]
RUN_HEADER = ["run", "model", "seed", "epochs", "validation", "test", "train s", "state"]
LEFT_ALIGNED = {"group", "run", "model", "state", "property", "network"}


def group_rows(groups: Sequence[RunGroup]) -> list[list[str]]:
    """One row per group for `GROUP_HEADER`. Accuracies are means ± the margin of the 95 % confidence interval over the
    seeds."""
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
    """99.50% ± 0.10%, or 99.50% if the margin is NaN."""
    return f"{mean:.2%}" if math.isnan(margin) else f"{mean:.2%} ± {margin:.2%}"


def run_rows(runs: Iterable[Run]) -> list[list[str]]:
    """One row per run for `RUN_HEADER`: its results, or why there are none."""
    return [_problem_row(run) if run.problem else _result_row(run) for run in runs]


def _result_row(run: Run) -> list[str]:
    summary = run.summary
    return [
        run.name,
        summary.model,
        str(summary.seed),
        str(summary.num_epochs_run),
        f"{summary.val_accuracy:.2%}",
        f"{summary.test_accuracy:.2%}",
        f"{summary.train_seconds:,.1f}",
        "finished",
    ]


def _problem_row(run: Run) -> list[str]:
    try:
        model, seed = run.recipe.model, str(run.recipe.seed)
    except UserError:
        model, seed = "-", "-"
    return [run.name, model, seed, "-", "-", "-", "-", run.problem]


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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = ("val_accuracy", "test_accuracy", "train_seconds")
    columns = [f"{field}_{suffix}" for field in fields for suffix in ("mean", "ci_low", "ci_high")]
    writer.writerow(
        ["group", "num_seeds", "num_parameters", *columns, "best_test_accuracy", "images_per_second", "runs"]
    )
    for group in groups:
        intervals = []
        for field in fields:
            mean, margin = group.mean_interval(field)
            intervals += [mean, *(("", "") if math.isnan(margin) else (mean - margin, mean + margin))]
        names = " ".join(run.name for run in group.runs)
        writer.writerow(
            [group.label, len(group.runs), group.num_parameters, *intervals, group.best_test_accuracy,
             group.images_per_second, names]
        )  # fmt: skip
    return text.getvalue()


def latex_table(groups: Sequence[RunGroup]) -> str:
    """A booktabs table with the cells of `group_rows`."""
    rows = [" & ".join(map(_escape_latex, row)) + r" \\" for row in group_rows(groups)]
    return "\n".join(
        [
            r"\begin{tabular}{l" + "r" * (len(GROUP_HEADER) - 1) + "}",
            r"\toprule",
            " & ".join(GROUP_HEADER) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _escape_latex(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("±", r"$\pm$")


def list_runs() -> None:
    """Prints all runs in runs/, the oldest first, including unfinished and damaged ones."""
    runs = Run.all()
    if not runs:
        raise UserError("there is no run yet: 'mnist train conv' creates one")
    print(plain_table(RUN_HEADER, run_rows(runs)))
