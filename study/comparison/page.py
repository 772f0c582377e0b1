"""The comparison page: the groups of each data set, a chart of all runs, and the runs in a table."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from study.comparison.figures import accuracy_picture, curve_pictures
from study.comparison.groups import (
    GROUP_HEADER,
    INTERVALS,
    RUN_HEADER,
    RunGroup,
    by_dataset,
    difference_text,
    group_differences,
    group_rows,
    run_rows,
)
from study.figures import wrapped
from utils.document import Block, Chart, Columns, Document, Facts, Link, Section, Table, Text
from utils.errors import UserError
from utils.figures import COLORS
from utils.files import output_folder
from utils.navigation import OVERVIEW
from utils.run import Run

SMALLEST_ERROR = 1e-5  # a logarithmic axis cannot show 0
LEGEND_LENGTH = 44  # characters of a line of the legend, which fits a phone
MAX_DENSE_RATIO = 5  # of the largest and the smallest value on an axis with many ticks
DIFFERENCES = (
    "Differences of the mean test accuracy with 95 % confidence intervals for other seeds and other writers. A star "
    "marks significant differences at a false discovery rate of 5 % over this table (Benjamini and Hochberg); their "
    "intervals take the selection into account (Benjamini and Yekutieli)."
)
EXPLANATION = f"Runs that differ only in seed form one group. {INTERVALS} Groups are sorted by validation accuracy."


def comparison_document(
    runs: Sequence[Run], groups: Sequence[RunGroup], pair_blocks: Sequence[Block], file: Path
) -> Document:
    """The groups of each data set with their runs and learning curves, the comparison image by image (if any), and all
    runs with links from `file`, the page, to their own pages."""
    parts = by_dataset(groups)
    blocks: list[Block] = []
    for dataset, members in parts.items():
        heading = "Groups" if len(parts) == 1 else f"Data set {dataset}"
        table = Table(GROUP_HEADER, group_rows(members), sortable=True)
        are_several = sum(len(group.runs) for group in members) > 1
        errors = [Columns([runs_chart(members), accuracy_picture(members)])] if are_several else []
        blocks.append(Section(heading, [table, *difference_blocks(members), *errors, curve_pictures(members)]))
    if pair_blocks:
        blocks.append(Section("Comparison on the same test images", pair_blocks))
    rows = [[_linked(name, file), *cells] for name, *cells in run_rows(runs)]
    blocks.append(Section("All runs", [Table(RUN_HEADER, rows, sortable=True)]))
    return Document("Comparison of runs", blocks, summary=_summary_blocks(runs, parts))


def difference_blocks(groups: Sequence[RunGroup]) -> list[Block]:
    """The first of several groups compared with each other one; nothing for two groups or without predictions."""
    first, *others = groups
    try:
        differences = group_differences(first, others) if len(others) > 1 else []
    except UserError:
        differences = []
    rows = [[group.label, difference_text(*it)] for group, it in zip(others, differences, strict=False)]
    return [Table(["group", f"{first.label} minus this group, points"], rows), Text(DIFFERENCES)] if rows else []


def _summary_blocks(runs: Sequence[Run], parts: dict[str, list[RunGroup]]) -> list[Block]:
    """The best group of each data set."""
    num_compared = sum(len(group.runs) for members in parts.values() for group in members)
    num_groups = sum(map(len, parts.values()))
    facts = [("runs compared", f"{num_compared} of {len(runs)}"), ("groups", str(num_groups))]
    best = {dataset: members[0] for dataset, members in parts.items()}
    for dataset, group in best.items():
        accuracies = group.values("test_accuracy")
        where = "" if len(parts) == 1 else f" on {dataset}"
        facts.append((f"mean test accuracy of the best group{where}", f"{sum(accuracies) / len(accuracies):.2%}"))
    texts = [
        f"{'Best validation accuracy' if len(parts) == 1 else f'Best validation accuracy on {dataset}'}: {group.label}."
        for dataset, group in best.items()
    ]
    return [Facts(facts), *map(Text, texts), Text(EXPLANATION)]


def runs_chart(groups: Sequence[RunGroup]) -> Chart:
    """A point per run: test error over the number of parameters. Few groups have a colour each."""
    rows: list[dict[str, Any]] = [
        {
            "run": run.name,
            "group": group.label,
            "label": wrapped(group.label, LEGEND_LENGTH),
            "seed": run.recipe.seed,
            "parameters": group.num_parameters,
            "epochs": run.summary.num_epochs_run,
            "validation": run.summary.val_accuracy,
            "test": run.summary.test_accuracy,
            "error": max(1 - run.summary.test_accuracy, SMALLEST_ERROR),
            "seconds": run.summary.train_seconds,
        }
        for group in groups
        for run in group.runs
    ]
    is_colored = 1 < len(groups) <= len(COLORS)
    names = [wrapped(group.label, LEGEND_LENGTH) for group in groups]
    legend = alt.Legend(orient="bottom", columns=1, title=None, symbolOpacity=1)
    color = alt.Color("label:N", scale=alt.Scale(domain=names, range=COLORS[: len(names)]), legend=legend)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=110, opacity=0.8)
        .encode(
            x=_log_scale(alt.X("parameters:Q"), "parameters", "~s", [row["parameters"] for row in rows]),
            y=_log_scale(alt.Y("error:Q"), "test error", "~%", [row["error"] for row in rows]),
            color=color if is_colored else alt.value(COLORS[0]),
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("group:N"),
                alt.Tooltip("seed:Q"),
                alt.Tooltip("parameters:Q", format=","),
                alt.Tooltip("epochs:Q"),
                alt.Tooltip("validation:Q", format=".2%"),
                alt.Tooltip("test:Q", format=".2%"),
                alt.Tooltip("seconds:Q", format=".1f", title="training s"),
            ],
        )
        .properties(width="container", height=300)
    )
    description = "Each point is a run. Point at it to see which. Both scales are logarithmic."
    return Chart(chart.to_dict(), description)


def _log_scale(channel: Any, title: str, number_format: str, values: Sequence[float]) -> Any:
    """The channel with ticks at round values, more of them for a small range, and some room around the values."""
    steps = (1, 2, 5) if max(values) / min(values) > MAX_DENSE_RATIO else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    ticks = [step * 10.0**power for power in range(-5, 10) for step in steps]
    axis = {"format": number_format, "values": ticks, "labelOverlap": True}
    limits = [min(values) / 1.5, max(values) * 1.5]
    return channel.scale(type="log", nice=False, domain=limits).title(title).axis(**axis)


def _linked(name: str, file: Path) -> str | Link:
    """The name of a run, with a link to the run's pages if there are any."""
    overview = output_folder("model_interpretation") / name / OVERVIEW
    if not overview.exists():
        return name
    return Link(name, Path(os.path.relpath(overview.absolute(), file.absolute().parent)).as_posix())
