"""Pictures of one run: calibration and history."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model_interpretation.classification_metrics import calibration_bins, expected_calibration_error
from utils.answers import Answers
from utils.figures import COLOURS, INK, plain_axes
from utils.run_folder import EpochMetrics


def reliability_figure(answers: Answers, set_name: str) -> Figure:
    """Accuracy over confidence, bin by bin, above the number of digits in each bin."""
    confidence, accuracy, counts = calibration_bins(answers)
    edges = np.linspace(0, 1, len(counts) + 1)
    figure = Figure(figsize=(5.2, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    upper.plot(confidence, accuracy, "o-", color=COLOURS[0], markersize=4, label="this network")
    upper.set(title=f"{set_name}: ECE {expected_calibration_error(answers):.2%}", ylabel="accuracy", ylim=(0, 1.03))
    upper.legend(frameon=False, fontsize=9)
    lower.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLOURS[0], edgecolor="white")
    lower.set(yscale="log", xlabel="confidence", ylabel="digits", xlim=(0, 1))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    return figure


def history_figure(rows: list[EpochMetrics], judged_epoch: int) -> Figure:
    """Loss and error over the epochs, training and validation, with the epoch whose weights are judged."""
    epochs = [row.epoch for row in rows]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    curves = (
        ("loss", [row.train_loss for row in rows], [row.val_loss for row in rows]),
        ("accuracy", [row.train_accuracy for row in rows], [row.val_accuracy for row in rows]),
    )
    for place, (name, train, validation) in enumerate(curves, start=1):
        axes = plain_axes(figure, 1, 2, place)
        marker = "o" if len(rows) == 1 else None
        axes.plot(epochs, train, color=COLOURS[0], marker=marker, label="training")
        axes.plot(epochs, validation, color=COLOURS[1], marker=marker, label="validation")
        axes.axvline(judged_epoch, color=INK, linewidth=1, linestyle=":", label=f"judged: epoch {judged_epoch}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name == "loss":
            axes.set_yscale("log")
        axes.legend(frameon=False, fontsize=9)
    return figure
