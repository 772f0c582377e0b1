"""Figures of a network's predictions for a data set, and of its training: mistakes, classes, calibration, curves."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_score, recall_score

from model_interpretation.metrics import bins_of, calibration_bins, expected_calibration_error
from utils.data import ImageSet
from utils.figures import (
    COLORS,
    GREY,
    HALF_PAGE_INCHES,
    INK,
    elided,
    figure_style,
    interval_points,
    line_with_band,
    percent_axis,
    percent_tick,
    plain_log_ticks,
    predictions_figure,
    set_title,
)
from utils.predictions import Predictions
from utils.run import EpochMetrics
from utils.statistical_figures import confusion_matrix_figure
from utils.statistics import accuracy_interval

NUM_DIGITS_SHOWN = 40
CLASS_INCHES = 0.3


def prediction_figures(predictions: Predictions, image_set: ImageSet) -> dict[str, Figure]:
    """Confusion matrix, metrics of the classes, most confident mistakes, least confident correct predictions and
    calibration, by file name."""
    figures = {
        "confusion_matrix": confusion_matrix_figure(predictions, image_set.class_names, image_set.name),
        "class_metrics": class_metrics_figure(predictions, image_set),
    }
    examples = {
        "worst_mistakes": ("most confident mistakes", predictions.worst_mistakes),
        "least_confident_correct": (
            "least confident correct predictions",
            predictions.least_confident_correct,
        ),
    }
    for name, (description, choose) in examples.items():
        indices = choose(NUM_DIGITS_SHOWN)
        if len(indices):
            title = f"{image_set.name}: the {len(indices)} {description}"
            figures[name] = predictions_figure(predictions, indices, image_set, title)
    figures["reliability"] = reliability_figure(predictions, image_set.name)
    return figures


@figure_style()
def class_metrics_figure(predictions: Predictions, image_set: ImageSet) -> Figure:
    """Recall and precision of each class with 95 % intervals. A class without images or predictions has no point."""
    classes = range(len(image_set.class_names))
    names = [elided(name) for name in image_set.class_names]
    labels, predicted = predictions.labels, predictions.predicted
    figure = Figure(figsize=(HALF_PAGE_INCHES, 1.4 + CLASS_INCHES * len(names)), layout="constrained")
    axes = figure.add_subplot()
    series = (
        ("recall", recall_score, labels, COLORS[0], -0.14),
        ("precision", precision_score, predicted, COLORS[1], 0.14),
    )
    for label, metric, group, color, offset in series:
        values = metric(labels, predicted, labels=list(classes), average=None, zero_division=np.nan)
        lows, highs = zip(*(_interval(predictions, group == number) for number in classes), strict=True)
        interval_points(axes, names, values, lows, highs, label, color, offset)
        if metric is recall_score:
            hardest = int(np.nanargmin(values))
            title = f"{names[hardest]} is the hardest class, {values[hardest]:.1%} recall"
    percent_axis(axes, "x")
    axes.set(xlabel=f"correct, {interval_label(predictions)}", ylabel="class")
    figure.legend(loc="outside lower left", ncols=2)
    set_title(figure, f"{image_set.name}: {title}")
    return figure


def interval_label(predictions: Predictions) -> str:
    """What the intervals of the figures hold for."""
    return f"95% interval over {'images' if predictions.writers is None else 'writers'}"


def _interval(predictions: Predictions, is_member: Bool[np.ndarray, " n"]) -> tuple[float, float]:
    """The interval of the fraction of these predictions that are correct; NaN if there are none."""
    if not is_member.any():
        return np.nan, np.nan
    writers = None if predictions.writers is None else predictions.writers[is_member]
    return accuracy_interval(predictions.is_correct[is_member], writers)


@figure_style()
def reliability_figure(predictions: Predictions, set_name: str) -> Figure:
    """Accuracy against confidence with 95 % intervals, above a histogram of the confidence."""
    confidence, accuracy, counts = calibration_bins(predictions)
    filled = np.flatnonzero(counts)
    intervals = [_interval(predictions, bins_of(predictions) == number) for number in filled]
    edges = np.linspace(0, 1, len(counts) + 1)
    figure = Figure(figsize=(HALF_PAGE_INCHES, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, linestyle="--", label="perfectly calibrated")
    upper.plot(confidence[filled], accuracy[filled], "o", color=COLORS[0], label=interval_label(predictions))
    upper.vlines(confidence[filled], *zip(*intervals, strict=True), color=COLORS[0], linewidth=1.5)
    upper.set(ylabel="accuracy", ylim=(-0.02, 1.03))
    upper.legend(loc="lower right")
    lower.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLORS[0], edgecolor="white")
    lower.set(yscale="log", xlabel="confidence", ylabel="images", xlim=(0, 1), ylim=(0.5, 2 * counts.max()))
    plain_log_ticks(lower)
    percent_axis(upper)
    percent_axis(lower, "x")
    gap = f"confidence {predictions.confidence.mean():.1%}, accuracy {predictions.accuracy:.1%}"
    set_title(figure, f"{set_name}: mean {gap}; calibration error {expected_calibration_error(predictions):.1%}")
    return figure


@figure_style()
def curve_figures(metrics: Sequence[EpochMetrics], epoch: int) -> dict[str, Figure]:
    """Loss and accuracy over the epochs, for training and validation. A line marks the epoch of the final weights."""
    figures = {}
    epochs = [row.epoch for row in metrics]
    final = next(row for row in metrics if row.epoch == epoch)
    for name in ("loss", "accuracy"):
        figure = Figure(figsize=(HALF_PAGE_INCHES, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for split, label, color in (("train", "training", COLORS[0]), ("val", "validation", COLORS[1])):
            line_with_band(axes, epochs, [getattr(row, f"{split}_{name}") for row in metrics], label=label, color=color)
        axes.axvline(epoch, color=INK, linewidth=1, linestyle=":", label=f"final weights: epoch {epoch}")
        axes.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if name == "loss":
            axes.set(yscale="log", ylabel="loss, nats per image")
            plain_log_ticks(axes)
            set_title(figure, f"Validation loss {final.val_loss:.4f} with the final weights")
        else:
            axes.set_ylabel("accuracy")
            percent_axis(axes)
            set_title(figure, f"Validation accuracy {percent_tick(final.val_accuracy)} with the final weights")
        axes.legend(loc="best")
        figures[name] = figure
    return figures
