"""Scorecards as pictures; several networks of one recipe are one line, their mean over the seeds."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.generalisation.adversarial import ATTACKS
from study.generalisation.no_digit import BY_LOGITS, BY_REPRESENTATION, STRANGE_IMAGES
from study.generalisation.scorecards import Scorecard
from utils.figures import COLOURS, INK, plain_axes
from utils.mnist_c.corruptions import CORRUPTIONS

Series = Mapping[str, Sequence[Scorecard]]  # by label
MAX_MAP_COLUMNS = 4
MIN_IN_BIN = 10  # digits: the accuracy of fewer is chance
KINDS = tuple(reversed(STRANGE_IMAGES))  # from below
MEASURES = BY_LOGITS + BY_REPRESENTATION


def scorecard_figures(series: Series) -> dict[str, Figure]:
    """All pictures by name."""
    return {
        "shift maps": shift_maps_figure(series),
        "size and rotation": size_and_rotation_figure(series),
        "corruptions": corruptions_figure(series),
        "no digit at all": no_digit_figure(series),
        "adversarial": adversarial_figure(series),
        "abstaining and calibration": abstaining_figure(series),
    }


def _mean_curve(cards: Sequence[Scorecard], part: str, *path: str) -> Float64[np.ndarray, " points"]:
    """The mean over these networks of the curve that lies there in the part."""
    found = []
    for card in cards:
        value = card.parts[part].curves
        for key in path:
            value = value[key]
        found.append(value)
    mean: Float64[np.ndarray, " points"] = np.mean(np.array(found, dtype=np.float64), axis=0)
    return mean


def shift_maps_figure(series: Series) -> Figure:
    """Accuracy where digits were moved by so many pixels, a map a line; the line encloses 95 %."""
    columns = min(MAX_MAP_COLUMNS, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(max(4.2, 2.9 * columns), 0.4 + 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axes in panels[len(series) :]:
        axes.axis("off")
    for axes, (label, cards) in zip(panels, series.items(), strict=False):
        accuracy = np.array([card.parts["moved"].curves["accuracy"] for card in cards]).mean(0)
        reach = len(accuracy) // 2
        places = np.arange(-reach, reach + 1)
        image = axes.imshow(accuracy, cmap="viridis", vmin=0, vmax=1, extent=(-reach - 0.5, reach + 0.5) * 2)
        axes.contour(places, -places, accuracy, levels=[0.95], colors="white", linewidths=1.2)
        axes.set_title(textwrap.fill(label, 30), fontsize=9, parse_math=False)
        axes.set_xticks((-10, 0, 10))
        axes.set_yticks((-10, 0, 10))
    figure.supxlabel("moved to the right, px", fontsize=9)
    figure.supylabel("moved up, px", fontsize=9)
    figure.colorbar(image, ax=list(panels), label="accuracy (white line: 95 %)", shrink=0.8)
    return figure


def size_and_rotation_figure(series: Series) -> Figure:
    """Accuracy over the size and over the angle."""
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    for place, (part, unit) in enumerate((("scaled", "scale"), ("turned", "degrees")), start=1):
        axes = plain_axes(figure, 1, 2, place)
        for (label, cards), colour in zip(series.items(), COLOURS, strict=False):
            x, y = _mean_curve(cards, part, unit), _mean_curve(cards, part, "accuracy")
            axes.plot(x, y, color=colour, marker="o", markersize=2.5, label=label)
        axes.set(ylim=(0, 1.02), ylabel="accuracy" if place == 1 else "")
    figure.axes[0].set_xlabel("size, of the original")
    figure.axes[1].set_xlabel("turned counterclockwise, degrees")
    figure.axes[1].set_xticks(range(-180, 181, 60))
    _legend_below(figure, series)
    return figure


def corruptions_figure(series: Series) -> Figure:
    """Accuracy under each corruption, the easiest on top; the bar of a single network is its 95 % interval, of several
    the range of their seeds."""
    names = [name for name in CORRUPTIONS if all(name in card.cells for cards in series.values() for card in cards)]
    means = {name: np.mean([_value(card, name) for cards in series.values() for card in cards]) for name in names}
    order = sorted(names, key=lambda name: means[name])
    figure = Figure(figsize=(7.5, 5.6), layout="constrained")
    axes = plain_axes(figure)
    _draw_spreads(axes, series, order)
    axes.set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
    axes.set(xlabel="accuracy", xlim=(None, 1.005), ylim=(-0.6, len(order) - 0.4))
    _legend_below(figure, series)
    return figure


def no_digit_figure(series: Series) -> Figure:
    """How well each measure tells what is no digit, a panel a measure."""
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    for place, measure in enumerate(MEASURES, start=1):
        axes = plain_axes(figure, 1, len(MEASURES), place)
        _draw_spreads(axes, series, [f"{kind}: AUROC, {measure}" for kind in KINDS])
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
        axes.set(title=measure, xlim=(0, 1.03), ylim=(-0.6, len(KINDS) - 0.4), xlabel="AUROC")
        axes.title.set_fontsize(10)
        axes.set_yticks(range(len(KINDS)), KINDS if place == 1 else [""] * len(KINDS))
    _legend_below(figure, series)
    return figure


def adversarial_figure(series: Series) -> Figure:
    """Robust accuracy over the radius: one step and many, in the largest change of a pixel and in the length."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    for place, name in enumerate(ATTACKS, start=1):
        axes = plain_axes(figure, 1, len(ATTACKS), place)
        for (label, cards), colour in zip(series.items(), COLOURS, strict=False):
            x, y = (_mean_curve(cards, "adversarial", name, key) for key in ("radius", "accuracy"))
            axes.plot(x, y, color=colour, marker="o", markersize=2.5, label=label)
        unit = "length of the change" if name.endswith("l2") else "largest change of a pixel, 0 to 1"
        axes.set(title=name, xlabel=unit, ylim=(0, 1.02), ylabel="accuracy" if place == 1 else "")
        axes.title.set_fontsize(10)
    _legend_below(figure, series)
    return figure


def abstaining_figure(series: Series) -> Figure:
    """Error over the share of digits that are answered, and how accurate answers of each confidence are."""
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    risk, reliability = (plain_axes(figure, 1, 2, place) for place in (1, 2))
    reliability.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    for (label, cards), colour in zip(series.items(), COLOURS, strict=False):
        coverage, error = (_mean_curve(cards, "abstaining", key) for key in ("coverage", "error"))
        risk.plot(coverage, error, color=colour, label=label)
        bins = cards[0].parts["calibration"].curves.get("as it is", [])
        shown = [(confidence, accuracy) for confidence, accuracy, count in bins if count >= MIN_IN_BIN]
        reliability.plot(*np.reshape(shown, (-1, 2)).T, color=colour, marker="o", markersize=2.5)
    risk.set(xlabel="share of the digits that is answered, the surest first", ylabel="error", yscale="log")
    several = ", first seed" if any(len(cards) > 1 for cards in series.values()) else ""
    reliability.set(xlabel=f"confidence{several}", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    _legend_below(figure, series)
    return figure


def _draw_spreads(axes: Axes, series: Series, names: Sequence[str]) -> None:
    """A row a cell, from below; in it each line's value and spread, one above the other."""
    for number, (cards, colour) in enumerate(zip(series.values(), COLOURS, strict=False)):
        offset = 0.6 * ((number + 0.5) / len(series) - 0.5)
        for row, name in enumerate(names):
            if name in cards[0].cells:
                low, value, high = _spread(cards, name)
                axes.plot([low, high], [row - offset] * 2, color=colour, linewidth=1.5)
                axes.plot(value, row - offset, "o", color=colour, markersize=4)


def _spread(cards: Sequence[Scorecard], name: str) -> tuple[float, float, float]:
    """Low end, value, high end: of a single network its interval, of several the range and mean of their values."""
    cell = cards[0].cells[name]
    if len(cards) == 1:
        value = _value(cards[0], name)
        return (value if cell.low is None else cell.low), value, (value if cell.high is None else cell.high)
    values = [_value(card, name) for card in cards]
    return min(values), float(np.mean(values)), max(values)


def _value(card: Scorecard, name: str) -> float:
    value = card.cells[name].value
    return float("nan") if value is None else value


def _legend_below(figure: Figure, series: Series) -> None:
    """One legend for all panels, where there is more than one line."""
    if len(series) < 2:
        return
    handles = [Line2D([], [], color=colour, marker="o", markersize=4) for colour in COLOURS[: len(series)]]
    legend = figure.legend(handles, list(series), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
