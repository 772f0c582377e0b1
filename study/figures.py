"""Parts that the figures of the study share: panels with a legend below, curves over seeds, heat maps of networks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from utils.figures import (
    CHARACTER_INCHES,
    COLORS,
    SEQUENTIAL,
    elided,
    even_lines,
    figure_style,
    line_with_band,
    set_title,
)
from utils.statistical_figures import heat_map
from utils.statistics import mean_intervals

PANEL_INCHES = 4.6  # width: two panels fit beside each other on a wide page, and one fits a phone
PAGE_INCHES = 9.4  # width of a page
PANEL_HEIGHT_INCHES = 3.1  # without title and legend
LINE_INCHES = 0.19  # height of a line of text
LABEL_CHARACTER_INCHES = 0.076
ROW_LABEL_LENGTH = 34  # characters of a line of a network's label beside a heat map or points
ROW_INCHES, CELL_INCHES = 0.38, 0.44
MAX_CURVES = len(COLORS)
MAX_ROWS = 30  # networks of a heat map, groups of a comparison
MIN_BAND_SEEDS = 3  # Student's interval of two seeds is nine standard deviations wide to either side


def wrapped(label: str, length: int = ROW_LABEL_LENGTH, num_lines: int = 2) -> str:
    """The label in lines of this length, elided in the middle if it needs more of them."""
    shown_length = len(label)
    while len(lines := even_lines(elided(label, shown_length), length)) > num_lines:
        shown_length -= 1
    return "\n".join(lines)


def title_inches(title: str, width: float) -> float:
    return LINE_INCHES * len(even_lines(title, max(10, int(width / CHARACTER_INCHES)))) + 0.1


def panel(
    title: str, labels: Sequence[str] = (), height: float = PANEL_HEIGHT_INCHES, width: float = PANEL_INCHES
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes and this title. It is higher by the legend that `legend_below` makes of these
    labels, so that the axes do not shrink."""
    rows = sum(len(_legend_text(label, width).split("\n")) for label in labels) if len(labels) > 1 else 0
    figure = Figure(figsize=(width, height + title_inches(title, width) + LINE_INCHES * rows), layout="constrained")
    set_title(figure, title)
    return figure, figure.add_subplot()


def legend_below(figure: Figure, labels: Sequence[str]) -> None:
    """One entry per label below the axes, in this order; nothing for a single label."""
    handles = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
    if len(labels) > 1:
        texts = [_legend_text(label, figure.get_figwidth()) for label in labels]
        figure.legend([handles[label] for label in labels], texts, loc="outside lower left")


def _legend_text(label: str, width: float) -> str:
    return wrapped(label, int((width - 0.7) / LABEL_CHARACTER_INCHES))


def seed_curves(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    values: Float[np.ndarray, "seeds points"],
    label: str,
    color: str,
    limits: tuple[float, float] = (0.0, 1.0),
) -> None:
    """The mean over the seeds with Student's 95 % interval as a band within the limits. Fewer than three seeds are thin
    lines instead."""
    mean, margin = mean_intervals(np.asarray(values, dtype=np.float64))
    if len(values) >= MIN_BAND_SEEDS:
        low, high = np.clip([mean - margin, mean + margin], *limits)
        line_with_band(axes, x, mean, low, high, label, color)
        return
    line_with_band(axes, x, mean, label=label, color=color)
    if len(values) > 1:
        for seed in values:
            axes.plot(x, seed, color=color, linewidth=0.8, alpha=0.6, marker="." if len(seed) == 1 else None)


@figure_style()
def networks_figure(
    tables: dict[str, pd.DataFrame],
    title: str,
    cmap: str | Colormap = SEQUENTIAL,
    limits: tuple[float, float] = (0.0, 1.0),
    num_summaries: int = 0,
    label_length: int = ROW_LABEL_LENGTH,
) -> Figure:
    """Heat maps of fractions in percent, one below the other: networks as rows, conditions as columns. The last
    `num_summaries` columns are means, apart from the others.

    All tables have the same columns; the key of each is its heading, or empty. NaN is an empty cell.
    """
    tables = {heading: table[:MAX_ROWS] for heading, table in tables.items()}
    first = next(iter(tables.values()))
    rows = [wrapped(str(name), label_length) for name in first.index]
    label_inches = LABEL_CHARACTER_INCHES * max(len(line) for row in rows for line in row.split("\n")) + 0.2
    columns = [str(name) for name in first.columns]
    width = max(PANEL_INCHES, min(PAGE_INCHES, label_inches + CELL_INCHES * len(columns) + 0.2))
    names_inches = 0.72 * LABEL_CHARACTER_INCHES * max(map(len, columns)) + 0.3
    height = title_inches(title, width) + names_inches
    height += sum(ROW_INCHES * len(table) + (0.32 if heading else 0.08) for heading, table in tables.items())
    figure = Figure(figsize=(width, height), layout="constrained")
    set_title(figure, title)
    panels = figure.subplots(len(tables), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (heading, table) in zip(panels, tables.items(), strict=True):
        heat_map(axes, table, table.map(percent_text), cmap=cmap, limits=limits)
        axes.set_yticks(np.arange(len(table)) + 0.5, rows, rotation=0)
        axes.tick_params(axis="x", labelbottom=False)
        axes.set_title(heading)
        if 0 < num_summaries < len(columns):
            axes.axvline(len(columns) - num_summaries, color="white", linewidth=7)
    panels[-1].tick_params(axis="x", labelbottom=True)
    panels[-1].set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=45, ha="right", rotation_mode="anchor")
    return figure


def percent_text(fraction: float) -> str:
    """A fraction in percent without the sign, for a cell: `99.1`, or `100`; empty for NaN."""
    if np.isnan(fraction):
        return ""
    text = f"{100 * fraction:.1f}"
    return "100" if text == "100.0" else text
