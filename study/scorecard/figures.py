"""Figures of scorecards. Each series is one run, or the runs of a recipe, whose mean over the seeds is drawn."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.scorecard.adversarial import ATTACKS
from study.scorecard.cache import Scorecard
from study.scorecard.ood import OOD_IMAGES, SCORE_LABELS
from utils.data.mnist_c import MNIST_C
from utils.figures import COLOURS, INK, plain_axes

Series = Mapping[str, Sequence[Scorecard]]  # by label
MAX_MAP_COLUMNS = 4
MIN_IN_BIN = 10  # digits: the accuracy of fewer is too noisy
CAPTIONS = {
    "shift_maps": "Accuracy with all digits shifted, by the shift in pixels",
    "scale_and_rotation": "Accuracy by the scale and by the rotation of the digits",
    "corruptions": "Accuracy under the corruptions of MNIST-C, with the 95 % interval of one run or the range of seeds",
    "ood": "Out-of-distribution detection by four scores: AUROC, 1 for perfect, 0.5 for chance",
    "adversarial": "Accuracy under adversarial attacks by the radius",
    "selective_prediction_and_calibration": "Error of selective prediction by coverage, and accuracy by confidence",
}


def scorecard_figures(series: Series) -> dict[str, Figure]:
    """All figures by name, a key of CAPTIONS. The scorecards need all curves; metrics without a value are not drawn."""
    return {
        "shift_maps": shift_maps_figure(series),
        "scale_and_rotation": scale_and_rotation_figure(series),
        "corruptions": corruptions_figure(series),
        "ood": ood_figure(series),
        "adversarial": adversarial_figure(series),
        "selective_prediction_and_calibration": selective_prediction_figure(series),
    }


def shift_maps_figure(series: Series) -> Figure:
    """A map per series: accuracy after each shift; the white line encloses 95 %."""
    columns = min(MAX_MAP_COLUMNS, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(max(4.2, 2.9 * columns), 0.4 + 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axes in panels[len(series) :]:
        axes.axis("off")
    for axes, (label, cards) in zip(panels, series.items(), strict=False):
        accuracy = np.array([card.curves["shift_map"] for card in cards]).mean(0)
        reach = len(accuracy) // 2
        shifts = np.arange(-reach, reach + 1)
        image = axes.imshow(accuracy, cmap="viridis", vmin=0, vmax=1, extent=(-reach - 0.5, reach + 0.5) * 2)
        axes.contour(shifts, -shifts, accuracy, levels=[0.95], colors="white", linewidths=1.2)
        axes.set_title(textwrap.fill(label, 30), fontsize=9, parse_math=False)
        axes.set_xticks((-10, 0, 10))
        axes.set_yticks((-10, 0, 10))
    figure.supxlabel("shift to the right, px", fontsize=9)
    figure.supylabel("shift up, px", fontsize=9)
    figure.colorbar(image, ax=list(panels), label="accuracy (white line: 95 %)", shrink=0.8)
    return figure


def scale_and_rotation_figure(series: Series) -> Figure:
    """Accuracy over the scale and over the angle."""
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    for place, (curve, unit) in enumerate((("scale_curve", "scale"), ("rotation_curve", "degrees")), start=1):
        axes = plain_axes(figure, 1, 2, place)
        _draw_mean_curves(axes, series, curve, unit, "accuracy")
        axes.set(ylim=(0, 1.02), ylabel="accuracy" if place == 1 else "")
    figure.axes[0].set_xlabel("scale, relative to the original")
    figure.axes[1].set_xlabel("rotation, counterclockwise, degrees")
    figure.axes[1].set_xticks(range(-180, 181, 60))
    _legend_below(figure, series)
    return figure


def corruptions_figure(series: Series) -> Figure:
    """Accuracy under each corruption, the easiest on top. The bar of a single run is its 95 % interval, the bar of
    several runs the range over the seeds."""
    ids = [f"corruption_{name}" for name in MNIST_C]
    ids = [id_ for id_ in ids if all(id_ in card.results for cards in series.values() for card in cards)]
    means = {id_: np.mean([_value(card, id_) for cards in series.values() for card in cards]) for id_ in ids}
    order = sorted(ids, key=lambda id_: means[id_])
    figure = Figure(figsize=(7.5, 5.6), layout="constrained")
    axes = plain_axes(figure)
    _draw_intervals(axes, series, order)
    axes.set_yticks(range(len(order)), [id_.removeprefix("corruption_").replace("_", " ") for id_ in order])
    axes.set(xlabel="accuracy", xlim=(None, 1.005), ylim=(-0.6, len(order) - 0.4))
    _legend_below(figure, series)
    return figure


def ood_figure(series: Series) -> Figure:
    """AUROC of each kind of out-of-distribution images, a panel per score."""
    kinds = list(reversed(OOD_IMAGES))  # from the bottom up
    labels = [OOD_IMAGES[kind][0] for kind in kinds]
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    for place, (score, title) in enumerate(SCORE_LABELS.items(), start=1):
        axes = plain_axes(figure, 1, len(SCORE_LABELS), place)
        _draw_intervals(axes, series, [f"ood_{kind}_{score}" for kind in kinds])
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
        axes.set(title=title, xlim=(0, 1.03), ylim=(-0.6, len(kinds) - 0.4), xlabel="AUROC")
        axes.title.set_fontsize(10)
        axes.set_yticks(range(len(kinds)), labels if place == 1 else [""] * len(kinds))
    _legend_below(figure, series)
    return figure


def adversarial_figure(series: Series) -> Figure:
    """Robust accuracy over the radius, a panel per attack."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    for place, (name, attack) in enumerate(ATTACKS.items(), start=1):
        axes = plain_axes(figure, 1, len(ATTACKS), place)
        _draw_mean_curves(axes, series, f"{name}_curve", "radius", "accuracy")
        unit = "l2 norm of the change" if name.endswith("l2") else "largest change of a pixel, 0 to 1"
        axes.set(title=attack.label, xlabel=unit, ylim=(0, 1.02), ylabel="accuracy" if place == 1 else "")
        axes.title.set_fontsize(10)
    _legend_below(figure, series)
    return figure


def selective_prediction_figure(series: Series) -> Figure:
    """Error over the coverage, and accuracy over the confidence."""
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    risk, reliability = (plain_axes(figure, 1, 2, place) for place in (1, 2))
    reliability.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    _draw_mean_curves(risk, series, "risk_coverage", "coverage", "error", marker="")
    for cards, colour in zip(series.values(), COLOURS, strict=False):
        bins = cards[0].curves["reliability"]
        shown = [(confidence, accuracy) for confidence, accuracy, count in bins if count >= MIN_IN_BIN]
        reliability.plot(*np.reshape(shown, (-1, 2)).T, color=colour, marker="o", markersize=2.5)
    risk.set(xlabel="coverage, the most confident predictions first", ylabel="error", yscale="log")
    several = ", first seed" if any(len(cards) > 1 for cards in series.values()) else ""
    reliability.set(xlabel=f"confidence{several}", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    _legend_below(figure, series)
    return figure


def _draw_mean_curves(axes: Axes, series: Series, curve: str, x: str, y: str, marker: str = "o") -> None:
    """A line per series: the mean of the curve over the runs."""
    for (label, cards), colour in zip(series.items(), COLOURS, strict=False):
        line = (np.mean(np.array([card.curves[curve][key] for card in cards], np.float64), axis=0) for key in (x, y))
        axes.plot(*line, color=colour, marker=marker, markersize=2.5, label=label)


def _draw_intervals(axes: Axes, series: Series, metric_ids: Sequence[str]) -> None:
    """A row per metric, from the bottom up; in it the value and the interval of each series."""
    for number, (cards, colour) in enumerate(zip(series.values(), COLOURS, strict=False)):
        offset = 0.6 * ((number + 0.5) / len(series) - 0.5)
        for row, metric_id in enumerate(metric_ids):
            low, value, high = _interval(cards, metric_id)
            axes.plot([low, high], [row - offset] * 2, color=colour, linewidth=1.5)
            axes.plot(value, row - offset, "o", color=colour, markersize=4)


def _interval(cards: Sequence[Scorecard], metric_id: str) -> tuple[float, float, float]:
    """Low end, value and high end: the 95 % interval of a single run, the range and mean of several."""
    values = [_value(card, metric_id) for card in cards]
    result = cards[0].results.get(metric_id)
    if len(cards) == 1 and result and result.ci_low is not None and result.ci_high is not None:
        return result.ci_low, values[0], result.ci_high
    return min(values), float(np.mean(values)), max(values)


def _value(card: Scorecard, metric_id: str) -> float:
    result = card.results.get(metric_id)
    return float("nan") if result is None or result.value is None else result.value


def _legend_below(figure: Figure, series: Series) -> None:
    """One legend for all panels, if there is more than one series."""
    if len(series) < 2:
        return
    handles = [Line2D([], [], color=colour, marker="o", markersize=4) for colour in COLOURS[: len(series)]]
    legend = figure.legend(handles, list(series), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
