"""Figures of scorecards. Each series is one run, or the runs of a recipe, whose mean over the seeds is drawn. Which
metrics and curves are drawn is read from the registry."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.figure import Figure

from study.figures import (
    LINE_INCHES,
    MAX_CURVES,
    PANEL_INCHES,
    ROW_INCHES,
    legend_below,
    networks_figure,
    panel,
    seed_curves,
    title_inches,
    wrapped,
)
from study.scorecard import conditions, corruptions, other_datasets, spatial
from study.scorecard.adversarial import NORM_LABELS
from study.scorecard.cache import Scorecard
from study.scorecard.ood import MEANS, OOD_IMAGES, SCORE_LABELS
from study.scorecard.registry import METRICS
from utils.document import Block, Columns, Picture, picture_of
from utils.figures import (
    COLORS,
    DIVERGING,
    GREY,
    INK,
    LIGHT_GREY,
    SEQUENTIAL,
    figure_style,
    interval_points,
    percent_axis,
    plain_log_ticks,
    set_title,
)
from utils.statistics import LEVEL, Interval, interval_over_seeds

Series = Mapping[str, Sequence[Scorecard]]  # by label
MAX_MAP_COLUMNS = 4
MIN_IN_BIN = 10  # digits: the accuracy of fewer is too noisy
ENOUGH = 0.95  # accuracy of the contour of shift maps and of the titles
SHOWN_COVERAGE = 0.95
# By the first part of a curve's id, the strongest first.
ATTACK_NAMES = {"robust": "APGD, the strongest", "pgd": "PGD", "fgsm": "FGSM"}
BANDS = "; bands: Student's 95 % intervals over the seeds, for at least three seeds"
CAPTIONS = {
    "shift_maps": f"Accuracy with all digits shifted, by the shift in pixels, {ENOUGH:.0%} or more inside the line",
    "conditions": "Accuracy in percent on other data sets, on moved digits and under conditions of use",
    "corruptions": "Accuracy in percent under each corruption of MNIST-C, the easiest first",
    "corruptions_adapted": "Accuracy in percent under each corruption with the batch statistics of the corrupted "
    "digits, for networks with batch normalisation",
    "scale": "Accuracy by the scale of the digits",
    "rotation": "Accuracy by the rotation of the digits",
    "ood_far": "Out-of-distribution detection, images far from digits: AUROC in percent by four scores, 100 for "
    "perfect, 50 for chance, orange below chance",
    "ood_near": "Out-of-distribution detection, images near digits: AUROC in percent by four scores",
    "attack_linf": "Accuracy under attack by the largest change of a pixel, 0 to 1",
    "attack_l2": "Accuracy under attack by the l2 norm of the change",
    "selective_prediction": "Error if the least confident predictions are rejected, by the remaining part",
    "calibration": "Accuracy by the confidence for the first seed; points are filled outside the 95 % range of a "
    "perfectly calibrated network, which is grey for a single network",
}
PAIRS = (("scale", "rotation"), ("ood_far", "ood_near"), ("attack_linf", "attack_l2"),
         ("selective_prediction", "calibration"))  # side by side on a wide page  # fmt: skip
WITH_BANDS = ("scale", "rotation", "attack_linf", "attack_l2", "selective_prediction")
WITH_CURVES = (*WITH_BANDS, "calibration")


def scorecard_blocks(series: Series, prefix: str = "", note: str = "") -> list[Block]:
    """The pictures of all figures. Their names begin with the prefix, and their captions end with the note."""
    pictures: dict[str, Picture] = {}
    for name, figure in scorecard_figures(series).items():
        are_some = name in WITH_CURVES and len(series) > MAX_CURVES
        some = f"; the first {MAX_CURVES} of {len(series)} networks" if are_some else ""
        bands = BANDS if name in WITH_BANDS and any(len(cards) > 1 for cards in series.values()) else ""
        pictures[name] = picture_of(figure, f"{CAPTIONS[name]}{bands}{some}{note}", f"{prefix}{name}")
    pairs = PAIRS if len(series) > 1 else (("conditions", "corruptions"), *PAIRS)
    partners = {name: pair for pair in pairs for name in pair}
    rows = dict.fromkeys(partners.get(name, (name,)) for name in pictures)
    blocks: list[Block] = []
    for row in rows:
        found = [pictures[name] for name in row if name in pictures]
        blocks.append(Columns(found) if len(found) > 1 else found[0])
    return blocks


def scorecard_figures(series: Series) -> dict[str, Figure]:
    """All figures by name, a key of CAPTIONS. The scorecards need all curves but those of the strong attack. Figures
    show what was measured."""
    curves = dict(list(series.items())[:MAX_CURVES])
    adapted = _ids_of_group(corruptions.ADAPTED)
    has_adapted = len(series) > 1 and any(
        not math.isnan(_mean(cards, id_)) for cards in series.values() for id_ in adapted
    )
    condition_ids = [id_ for group in (other_datasets.GROUP, conditions.GROUP, spatial.GROUP)
                     for id_ in _ids_of_group(group)]  # fmt: skip
    return {
        "shift_maps": shift_maps_figure(series),
        "conditions": accuracies_figure(series, condition_ids),
        "scale": curve_figure(curves, "scale_curve", "scale", "scale, relative to the original", neutral=1.0),
        "rotation": curve_figure(curves, "rotation_curve", "degrees", "rotation, counterclockwise, degrees"),
        "corruptions": accuracies_figure(series, _ids_of_group(corruptions.GROUP)),
        **({"corruptions_adapted": accuracies_figure(series, adapted)} if has_adapted else {}),
        **{f"ood_{distance}": ood_figure(series, distance) for distance in MEANS},
        **{f"attack_{norm}": attack_figure(curves, norm) for norm in NORM_LABELS},
        "selective_prediction": selective_prediction_figure(curves),
        "calibration": calibration_figure(curves),
    }


def _ids_of_group(group: str) -> list[str]:
    """The metrics of the full scorecard in this group of the registry."""
    return [id_ for id_, metric in METRICS.items() if metric.group == group and not id_.endswith("_1000")]


def _interval(cards: Sequence[Scorecard], metric_id: str) -> Interval:
    """The mean over the seeds with its interval, NaN if a seed has no value."""
    results = [card.results.get(metric_id) for card in cards]
    known = [result for result in results if result and result.value is not None]
    if len(known) < len(cards):
        return Interval(math.nan, math.nan, math.nan, 0, math.nan, math.nan)
    values = [result.value for result in known if result.value is not None]
    result = known[0]
    if len(known) == 1 and result.ci_low is not None and result.ci_high is not None:
        return Interval(values[0], result.ci_low, result.ci_high, 1, math.nan, math.nan)
    return interval_over_seeds(values, [result.standard_error for result in known])


def _mean(cards: Sequence[Scorecard], metric_id: str) -> float:
    return _interval(cards, metric_id).value


def _curve(cards: Sequence[Scorecard], curve: str, key: str) -> Float64[np.ndarray, "seeds points"]:
    return np.array([card.curves[curve][key] for card in cards], np.float64)


# Maps.


@figure_style()
def shift_maps_figure(series: Series) -> Figure:
    """A map per series: accuracy after each shift; the line encloses 95 %."""
    maps = {label: np.array([card.curves["shift_map"] for card in cards]).mean(0) for label, cards in series.items()}
    areas = {label: int((accuracy >= ENOUGH).sum()) for label, accuracy in maps.items()}
    largest, total = max(areas, key=areas.__getitem__), next(iter(maps.values())).size
    title = f"{ENOUGH:.0%} accuracy or more for {areas[largest]} of {total} shifts"
    if len(series) > 1:
        smallest = min(areas, key=areas.__getitem__)
        more = f" with {largest}, the most, and {areas[smallest]} with {smallest}, the fewest"
        title += more if areas[largest] > areas[smallest] else " with every network"
    columns = min(MAX_MAP_COLUMNS, len(series))
    rows = -(-len(series) // columns)
    width = max(PANEL_INCHES, 1.0 + 2.1 * columns)
    side = PANEL_INCHES - 1.5 if len(series) == 1 else 1.9
    labels = {label: wrapped(label, 26, 3) if len(series) > 1 else "" for label in maps}
    num_lines = max(label.count("\n") + 1 for label in labels.values()) if len(series) > 1 else 0
    height = title_inches(title, width) + rows * (side + num_lines * LINE_INCHES) + 0.5
    figure = Figure(figsize=(width, height), layout="constrained")
    set_title(figure, title)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axes in panels[len(series) :]:
        axes.axis("off")
    for axes, (label, accuracy) in zip(panels, maps.items(), strict=False):
        reach = len(accuracy) // 2
        shifts = np.arange(-reach, reach + 1)
        image = axes.imshow(accuracy, cmap=SEQUENTIAL, vmin=0, vmax=1, extent=(-reach - 0.5, reach + 0.5) * 2)
        axes.contour(shifts, -shifts, accuracy, levels=[ENOUGH], colors=COLORS[1], linewidths=1.6)
        axes.set_title(labels[label], fontsize=9)
        axes.set(xticks=(-10, 0, 10), yticks=(-10, 0, 10))
        axes.grid(visible=False)
        axes.set(xlabel="right, pixels", ylabel="up, pixels")
        axes.label_outer()
    bar = figure.colorbar(image, ax=list(panels), label=f"accuracy (line: {ENOUGH:.0%})", shrink=0.8)
    percent_axis(bar.ax)
    return figure


# Accuracies and AUROC.


def accuracies_figure(series: Series, metric_ids: Sequence[str]) -> Figure:
    """Accuracies of the metrics: points with intervals for a single run, a heat map of several series. Metrics without
    any value are left out; means and medians over others come last."""
    values = {id_: [_mean(cards, id_) for cards in series.values()] for id_ in metric_ids if _is_fraction(series, id_)}
    means = {id_: float(np.nanmean(row)) for id_, row in values.items()}
    summaries = [id_ for id_ in means if id_.startswith("corruptions_")]
    shown = [id_ for id_ in sorted(means, key=lambda id_: -means[id_]) if id_ not in summaries]
    names = {id_: METRICS[id_].label for id_ in (*shown, *summaries)}
    lowest = shown[-1]
    title = f"Lowest accuracy: {names[lowest]}, {means[lowest]:.1%}"
    if lowest.endswith("_adapted"):
        title = f"With adapted batch statistics, l{title[1:]}"
    if len(series) == 1:
        return _points_figure(next(iter(series.values())), names, title)
    rows = {label: [_mean(cards, id_) for id_ in names] for label, cards in series.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[names[id_] for id_ in names]).dropna(how="all")
    averages = (table[names[summaries[0]]] if summaries else table.mean(axis=1, skipna=False)).dropna()
    if len(averages):
        title += f" on average; highest mean: {averages.idxmax()}, {averages.max():.1%}"
    return networks_figure({"": table}, title, num_summaries=len(summaries))


def _is_fraction(series: Series, metric_id: str) -> bool:
    """Whether a series has a value of the metric that is a fraction."""
    results = (card.results.get(metric_id) for cards in series.values() for card in cards)
    return any(result and result.value is not None and result.kind == "fraction" for result in results)


@figure_style()
def _points_figure(cards: Sequence[Scorecard], names: Mapping[str, str], title: str) -> Figure:
    """A row per metric with its value and interval, and with those for adapted batch statistics, if there are any."""
    series = {"as trained": {id_: _interval(cards, id_) for id_ in names}}
    adapted = {id_: _interval(cards, f"{id_}_adapted") for id_ in names}
    if not all(math.isnan(interval.value) for interval in adapted.values()):
        series["batch statistics of the corrupted digits"] = adapted
    height = 0.7 * ROW_INCHES * len(names) + 3 * LINE_INCHES
    figure, axes = panel(title, list(series), height)
    labels = [wrapped(name) for name in names.values()]
    for number, (name, intervals) in enumerate(series.items()):
        means, lows, highs = np.array([(it.value, it.low, it.high) for it in intervals.values()]).T
        offset = 0.16 * (2 * number - 1) if len(series) > 1 else 0.0
        interval_points(axes, labels, means, lows, highs, label=name, color=COLORS[number], offset=offset)
    lowest = min(interval.value for interval in series["as trained"].values())
    axes.set(xlabel="accuracy", xlim=(0, 1.02) if lowest < 0.6 else (None, None))
    percent_axis(axes, "x")
    legend_below(figure, list(series))
    return figure


def ood_figure(series: Series, distance: str) -> Figure:
    """AUROC of each kind of out-of-distribution images that are `far` from digits or `near` them, by each score."""
    names = [name for name, kind in OOD_IMAGES.items() if kind.is_near == (distance == "near")]
    columns = {name: OOD_IMAGES[name].label for name in names} | {distance: f"mean of {len(MEANS[distance][1])}"}
    auroc = {
        score: pd.DataFrame(
            [[_mean(cards, f"ood_{name}_{score}") for name in columns] for cards in series.values()],
            index=list(series),
            columns=list(columns.values()),
        )
        for score in SCORE_LABELS
    }
    measured = [title for title in columns.values() if any(table[title].notna().any() for table in auroc.values())]
    means = {SCORE_LABELS[score]: table[columns[distance]].mean() for score, table in auroc.items()}
    best = max(means, key=lambda score: (not math.isnan(means[score]), means[score]))
    title = f"{'Near' if distance == 'near' else 'Far from'} digits, {best} is best: AUROC {means[best]:.1%}"
    tables = {SCORE_LABELS[score]: table[measured] for score, table in auroc.items()}
    if len(series) == 1:
        tables = {"": pd.concat(list(tables.values())).set_axis(list(tables), axis=0)}
    return networks_figure(tables, title, DIVERGING.reversed(), (0.0, 1.0), num_summaries=1, label_length=20)


# Curves.


@figure_style()
def curve_figure(series: Series, curve: str, x: str, x_label: str, neutral: float = 0.0) -> Figure:
    """Accuracy over the scale or the angle. The title names the widest range around `neutral` with 95 % accuracy."""
    grid = _curve(next(iter(series.values())), curve, x)[0]
    centre = int(np.abs(grid - neutral).argmin())
    ranges = {}
    for label, cards in series.items():
        is_enough = _curve(cards, curve, "accuracy").mean(0) >= ENOUGH
        low = high = centre
        while low > 0 and is_enough[low - 1]:
            low -= 1
        while high < len(grid) - 1 and is_enough[high + 1]:
            high += 1
        if is_enough[centre]:
            ranges[label] = (grid[low], grid[high])
    if ranges:
        widest = max(ranges, key=lambda label: ranges[label][1] - ranges[label][0])
        name, unit = curve.removesuffix("_curve"), f" {x}" if x == "degrees" else ""
        title = f"{ENOUGH:.0%} accuracy for {name}s from {ranges[widest][0]:g} to {ranges[widest][1]:g}{unit}"
        title += f" with {widest}, the widest range" if len(series) > 1 else ""
    else:
        title = f"Below {ENOUGH:.0%} accuracy at every {curve.removesuffix('_curve')}"
    figure, axes = panel(title, list(series))
    _draw_curves(figure, series, dict.fromkeys(series, curve), x)
    axes.set(xlabel=x_label, ylabel="accuracy", ylim=(0, 1.02))
    if x == "degrees":
        axes.set_xticks(range(-180, 181, 60))
    percent_axis(axes)
    return figure


@figure_style()
def attack_figure(series: Series, norm: str) -> Figure:
    """Accuracy over the radius in this norm: under all attacks on a single network, the strongest on several. Attacks
    that some scorecard lacks are left out."""
    cards = [card for cards_of_series in series.values() for card in cards_of_series]
    curve_ids = {name: f"{name}_{norm}_curve" for name in ATTACK_NAMES}
    attacks = {name: id_ for name, id_ in curve_ids.items() if all(id_ in card.curves for card in cards)}
    name, strongest = next(iter(attacks.items()))
    half = {label: _radius_of_half(cards, strongest) for label, cards in series.items()}
    reached = {label: radius for label, radius in half.items() if not math.isnan(radius)}
    if len(reached) < len(series):
        title = f"{len(series) - len(reached)} of {len(series)} networks keep half of the digits at every radius"
        title = title if len(series) > 1 else "more than half of the digits survive every radius"
    elif len(series) == 1:
        title = f"half of the digits are fooled at a radius of {next(iter(half.values())):.2g}"
    else:
        weakest, toughest = min(half, key=half.__getitem__), max(half, key=half.__getitem__)
        title = (
            f"half of the digits are fooled at a radius from {half[weakest]:.2g} ({weakest}) to {half[toughest]:.2g} "
            f"({toughest})"
        )
    title = f"{ATTACK_NAMES[name].split(',')[0]}, {NORM_LABELS[norm]}: {title}"
    if len(series) == 1:
        lines: Series = {ATTACK_NAMES[attack]: cards for attack in attacks}
        curves = {ATTACK_NAMES[attack]: id_ for attack, id_ in attacks.items()}
    else:
        lines, curves = series, dict.fromkeys(series, strongest)
    figure, axes = panel(title, list(lines))
    _draw_curves(figure, lines, curves, "radius")
    for line, id_ in zip(axes.lines, curves.values(), strict=False):
        line.set_linestyle("-" if id_ == strongest else "--")
    unit = "l2 norm of the change" if norm == "l2" else "largest change of a pixel (ink is 1)"
    axes.set(xlabel=unit, ylabel="accuracy", ylim=(0, 1.02))
    percent_axis(axes)
    return figure


def _radius_of_half(cards: Sequence[Scorecard], curve: str) -> float:
    """The radius at which the mean accuracy falls below one half, interpolated; NaN if it does not."""
    radii, accuracy = (_curve(cards, curve, key).mean(0) for key in ("radius", "accuracy"))
    below = np.flatnonzero(accuracy < 0.5)
    if not len(below):
        return math.nan
    last = below[0]
    return float(np.interp(0.5, accuracy[[last, last - 1]], radii[[last, last - 1]])) if last else 0.0


def _draw_curves(figure: Figure, series: Series, curves: Mapping[str, str], x: str, y: str = "accuracy") -> None:
    """A line per series: the mean of its curve over the seeds with a band, and a legend below."""
    for (label, cards), color in zip(series.items(), COLORS, strict=False):
        points, values = _curve(cards, curves[label], x)[0], _curve(cards, curves[label], y)
        seed_curves(figure.axes[0], points, values, label, color)
    legend_below(figure, list(series))


@figure_style()
def selective_prediction_figure(series: Series) -> Figure:
    """Error over the coverage."""
    errors = {}
    for label, cards in series.items():
        coverage, error = (_curve(cards, "risk_coverage", key).mean(0) for key in ("coverage", "error"))
        errors[label] = float(np.interp(SHOWN_COVERAGE, coverage, error)), float(error[-1])
    best = min(errors, key=lambda label: errors[label][0])
    rejected, all_ = errors[best]
    title = f"Rejecting {1 - SHOWN_COVERAGE:.0%} lowers the error from {all_:.2%} to {rejected:.2%}"
    title = title if all_ else "No error at any coverage"
    figure, axes = panel(title + (f" with {best}" if len(series) > 1 else ""), list(series))
    _draw_curves(figure, series, dict.fromkeys(series, "risk_coverage"), "coverage", "error")
    every = np.concatenate([_curve(cards, "risk_coverage", "error").flatten() for cards in series.values()])
    axes.set(xlabel="coverage: the most confident predictions", ylabel="error")
    if every.any():  # a logarithmic axis needs a value above 0
        axes.set(yscale="log", ylim=(0.7 * every[every > 0].min(), None))
        plain_log_ticks(axes)
    percent_axis(axes)
    percent_axis(axes, "x")
    return figure


@figure_style()
def calibration_figure(series: Series) -> Figure:
    """Accuracy over the confidence of the first seed of each series, with the range of a perfectly calibrated network
    for a single series. Points outside their range are filled."""
    from scipy.stats import binom  # takes half a second to import

    bins = {}
    for label, cards in series.items():
        rows = np.array(cards[0].curves["reliability"], np.float64)
        confidence, accuracy, count = rows[rows[:, 2] >= MIN_IN_BIN].T
        low, high = np.array(binom.interval(LEVEL, count, confidence)) / count
        bins[label] = confidence, accuracy, low, high
    is_below, is_above = (
        {label: int(sign(accuracy, low, high).sum()) for label, (_, accuracy, low, high) in bins.items()}
        for sign in (lambda a, low, _: a < low, lambda a, _, high: a > high)
    )
    num_bins = {label: len(it[0]) for label, it in bins.items()}
    if len(series) == 1:
        label = next(iter(series))
        title = f"Overconfident in {is_below[label]} of {num_bins[label]} bins, underconfident in {is_above[label]}"
    else:
        best = min(bins, key=lambda label: (is_below[label] + is_above[label]) / max(1, num_bins[label]))
        outside = is_below[best] + is_above[best]
        title = f"Best calibrated: {best}, {outside} of {num_bins[best]} bins outside the range of chance"
    figure, axes = panel(title, list(series))
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    for (label, (confidence, accuracy, low, high)), color in zip(bins.items(), COLORS, strict=False):
        if len(series) == 1:
            axes.vlines(confidence, low, high, color=LIGHT_GREY, linewidth=9)
            axes.vlines(confidence, low, high, color=GREY, linewidth=1)
        axes.plot(confidence, accuracy, color=color, linewidth=1.2, label=label)
        is_outside = (accuracy < low) | (accuracy > high)
        for chosen, face in ((is_outside, color), (~is_outside, "white")):
            axes.plot(confidence[chosen], accuracy[chosen], "o", color=color, markerfacecolor=face, markersize=5)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    percent_axis(axes)
    percent_axis(axes, "x")
    legend_below(figure, list(series))
    return figure
