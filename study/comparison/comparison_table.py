"""The table of groups: for the terminal, as CSV, as LaTeX, as cells of a page."""

import csv
import io
import math

from study.comparison.groups import Group
from study.comparison.run_records import RunRecord

NAME_COLUMNS = {"group", "run", "model", "state", "property", "network"}
HEADER = ["group", "seeds", "parameters", "validation", "test", "best test", "train s", "images/s"]


def table_cells(groups: list[Group]) -> list[list[str]]:
    """A line a group, written for people: accuracies as mean ± half-width of the 95 % interval over the seeds."""
    return [
        [
            group.label,
            str(len(group.records)),
            f"{group.num_parameters:,}",
            _percent(*group.mean_interval("val_accuracy")),
            _percent(*group.mean_interval("test_accuracy")),
            f"{group.best_test_accuracy:.2%}",
            f"{group.mean_interval('train_seconds')[0]:,.1f}",
            f"{group.images_per_second:,.0f}",
        ]
        for group in groups
    ]


def _percent(mean: float, half_width: float) -> str:
    return f"{mean:.2%}" if math.isnan(half_width) else f"{mean:.2%} ± {half_width:.2%}"


def plain_table(header: list[str], cells: list[list[str]]) -> str:
    """Columns in line: names to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [header, *cells]) for column in range(len(header))]
    lines = []
    for row in [header, *cells]:
        cells_in_line = (
            cell.ljust(width) if name in NAME_COLUMNS else cell.rjust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        )
        lines.append("  ".join(cells_in_line).rstrip())
    return "\n".join(lines)


def csv_table(groups: list[Group]) -> str:
    """A line a group, written for programs: full precision, an empty cell where one seed gives no interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = ("val_accuracy", "test_accuracy", "train_seconds")
    columns = [column for measure in measures for column in (f"{measure}_mean", f"{measure}_half_width_95")]
    writer.writerow(
        ["group", "num_seeds", "num_parameters", *columns, "best_test_accuracy", "images_per_second", "runs"]
    )
    for group in groups:
        figures = [
            "" if math.isnan(value) else repr(value) for measure in measures for value in group.mean_interval(measure)
        ]
        names = " ".join(record.name for record in group.records)
        best, speed = repr(group.best_test_accuracy), repr(group.images_per_second)
        writer.writerow([group.label, len(group.records), group.num_parameters, *figures, best, speed, names])
    return text.getvalue()


def latex_table(groups: list[Group]) -> str:
    """A booktabs table of the same cells as on the page."""
    lines = [" & ".join(map(_escape_latex, row)) + r" \\" for row in table_cells(groups)]
    return "\n".join(
        [
            r"\begin{tabular}{l" + "r" * (len(HEADER) - 1) + "}",
            r"\toprule",
            " & ".join(HEADER) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _escape_latex(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("±", r"$\pm$")


RUNS_HEADER = ["run", "model", "seed", "epochs", "validation", "test", "train s", "state"]


def run_cells(records: list[RunRecord]) -> list[list[str]]:
    """A line a run: its figures, or what is wrong with it."""
    cells = []
    for record in records:
        if record.is_finished:
            summary = record.summary
            figures = [str(summary["seed"]), str(summary["num_epochs_run"])]
            figures += [f"{summary[key]:.2%}" for key in ("val_accuracy", "test_accuracy")]
            cells.append([record.name, summary["model"], *figures, f"{summary['train_seconds']:,.1f}", "finished"])
        else:
            model = str(record.config.get("model", "-"))
            cells.append([record.name, model, "-", str(len(record.rows)), "-", "-", "-", record.problem])
    return cells
