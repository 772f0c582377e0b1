"""Groups of runs that differ only in seed, and tables of groups and runs: for the terminal, as CSV and as LaTeX."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool

from trainers.recipes import recipe_label
from utils.data.writers import mnist_writers
from utils.errors import UserError
from utils.files import runs_folder, shown
from utils.outside import spreadsheet_text
from utils.predictions import Predictions
from utils.recipe import Recipe
from utils.run import Run, runs_by_recipe
from utils.statistics import (
    LEVEL,
    MIN_SEEDS,
    Interval,
    benjamini_hochberg,
    fcr_level,
    interval_over_seeds,
    mean_interval,
    total_difference,
    total_interval,
)

NUM_MNIST_TEST = 10_000


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

    def interval(self, field: str) -> Interval:
        """The total interval of `test_accuracy` or `val_accuracy`, from the stored predictions. Without these it comes
        from the seeds alone."""
        try:
            predictions = self.predictions("test" if field == "test_accuracy" else "validation")
            return total_interval(correct_by_seed(predictions), predictions[0].writers)
        except UserError:
            return interval_over_seeds(self.values(field), [math.nan] * len(self.runs))

    def predictions(self, split: str = "test") -> list[Predictions]:
        """The predictions of each seed, with the writers of MNIST's test digits also for runs that lack them. Raises
        UserError if some are missing or damaged."""
        predictions = [run.predictions(split) for run in self.runs]
        if (self.recipe.dataset, split) != ("mnist", "test") or len(predictions[0].labels) != NUM_MNIST_TEST:
            return predictions
        return [replace(prediction, writers=mnist_writers("test")) for prediction in predictions]

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


def correct_by_seed(predictions: Sequence[Predictions]) -> Bool[np.ndarray, "seeds n"]:
    """Whether each network classifies each image correctly. Raises UserError if the networks have different images."""
    if any(not np.array_equal(predictions[0].labels, other.labels) for other in predictions):
        raise UserError("they have different test images")
    return np.stack([prediction.is_correct for prediction in predictions])


def mean_difference(first: Sequence[Predictions], second: Sequence[Predictions], level: float = LEVEL) -> Interval:
    """The mean accuracy of the networks of the first group minus that of the second, paired by image, with an interval
    over seeds and writers. Raises UserError if the images differ."""
    is_correct = correct_by_seed([*first, *second])
    return total_difference(is_correct[: len(first)], is_correct[len(first) :], first[0].writers, level)


def group_differences(first: RunGroup, others: Sequence[RunGroup]) -> list[tuple[Interval, bool]]:
    """The first group's mean test accuracy minus that of each other group, and whether the difference is significant.

    The comparisons are one family: significant are those of the procedure of Benjamini and Hochberg, and these have
    intervals that take the selection into account (Benjamini and Yekutieli 2005). Too few seeds are never significant.
    Raises UserError if predictions are missing, damaged or of different images.
    """
    predictions = [group.predictions() for group in (first, *others)]
    differences = [mean_difference(predictions[0], other) for other in predictions[1:]]
    p_values = [difference.p_value if difference.has_enough_seeds else math.nan for difference in differences]
    significant = benjamini_hochberg(p_values)
    level = fcr_level(significant)
    return [
        (mean_difference(predictions[0], other, level) if is_significant else difference, is_significant)
        for other, difference, is_significant in zip(predictions[1:], differences, significant, strict=True)
    ]


def by_dataset(groups: Sequence[RunGroup]) -> dict[str, list[RunGroup]]:
    """The groups of each data set, that with the most groups first: accuracies on different data sets cannot be
    compared."""
    parts: dict[str, list[RunGroup]] = {}
    for group in groups:
        parts.setdefault(group.recipe.dataset, []).append(group)
    return dict(sorted(parts.items(), key=lambda part: -len(part[1])))


# Tables.

GROUP_HEADER = ["group", "seeds", "parameters", "validation", "test", "best test", "training, s", "images/s"]
RUN_HEADER = ["run", "recipe", "data set", "seed", "epochs", "validation", "test", "training, s", "state"]
LEFT_ALIGNED = {"group", "run", "recipe", "data set", "state", "property", "network"}


def group_rows(groups: Sequence[RunGroup]) -> list[list[str]]:
    """One row per group for `GROUP_HEADER`. `INTERVALS` explains the accuracies."""
    return [
        [
            group.label,
            str(len(group.runs)),
            f"{group.num_parameters:,}",
            interval_text(group.interval("val_accuracy")),
            interval_text(group.interval("test_accuracy")),
            f"{group.best_test_accuracy:.2%}",
            f"{group.mean_interval('train_seconds')[0]:,.1f}",
            f"{group.images_per_second:,.0f}",
        ]
        for group in groups
    ]


INTERVALS = (
    "Accuracies are means over the seeds. Their 95 % confidence intervals hold for other seeds and for images by other "
    f"writers; fewer than {MIN_SEEDS} seeds are too few for an interval."
)


def interval_text(interval: Interval) -> str:
    """`99.62% (99.51% to 99.70%)`, or `99.62%` if there are too few seeds for an interval."""
    if math.isnan(interval.low) or not interval.has_enough_seeds:
        return f"{interval.value:.2%}"
    return f"{interval.value:.2%} ({interval.low:.2%} to {interval.high:.2%})"


def difference_text(difference: Interval, is_significant: bool) -> str:
    """In percentage points, with a star if it is significant: `+0.12 (+0.03 to +0.21) *`."""
    points, low, high = (100 * value for value in (difference.value, difference.low, difference.high))
    if not difference.has_enough_seeds:
        return f"{points:+.2f} (too few seeds)"
    return f"{points:+.2f} ({low:+.2f} to {high:+.2f}){' *' if is_significant else ''}"


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
    """One line per group in full precision, with the standard errors from the seeds and from the images. The confidence
    interval of too few seeds is empty."""
    rows = []
    for group in groups:
        columns: dict[str, float] = {}
        for field in ("val_accuracy", "test_accuracy"):
            interval = group.interval(field)
            ends = (interval.low, interval.high) if interval.has_enough_seeds else (math.nan, math.nan)
            errors = interval.seed_error, interval.image_error
            names = (f"{field}_{end}" for end in ("mean", "ci_low", "ci_high", "seed_error", "image_error"))
            columns |= dict(zip(names, (interval.value, *ends, *errors), strict=True))
        rows.append(
            {
                "group": spreadsheet_text(group.label),
                "dataset": spreadsheet_text(group.recipe.dataset),
                "num_seeds": len(group.runs),
                "num_parameters": group.num_parameters,
                **columns,
                "train_seconds_mean": group.mean_interval("train_seconds")[0],
                "best_test_accuracy": group.best_test_accuracy,
                "images_per_second": group.images_per_second,
                "runs": spreadsheet_text(" ".join(run.name for run in group.runs)),
            }
        )
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def latex_table(groups: Sequence[RunGroup]) -> str:
    """A booktabs table with the cells of `group_rows`."""
    rows = [[spreadsheet_text(label), *numbers] for label, *numbers in group_rows(groups)]
    table = pd.DataFrame(rows, columns=GROUP_HEADER)
    columns = "l" + "r" * (len(GROUP_HEADER) - 1)
    return table.to_latex(index=False, escape=True, column_format=columns).replace("±", r"$\pm$")


def list_runs() -> None:
    """Prints all runs in runs/, the oldest first, including unfinished and damaged ones."""
    runs = Run.all()
    print(plain_table(RUN_HEADER, run_rows(runs)) if runs else f"no runs yet in {shown(runs_folder())}")
