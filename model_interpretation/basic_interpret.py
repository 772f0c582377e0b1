"""Metrics, confusion matrices, mistakes, calibration and history of runs: PNG files, metrics.json, report.html and
TensorBoard figures for each run."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from model_interpretation.metrics import (
    CONTESTED_TEST_DIGITS,
    calibration_bins,
    classification_metrics,
    expected_calibration_error,
)
from model_interpretation.predict import load_run_split, load_test_predictions
from models.registry import load_trained
from utils.data import ImageSet
from utils.document import OVERVIEW, REPORT, Block, Columns, Document, Link, Section, Table, Text, overview, picture_of
from utils.errors import UserError
from utils.evaluation import predict
from utils.figures import (
    COLORS,
    INK,
    elided,
    plain_axes,
    plain_log_ticks,
    predictions_figure,
    use_plain_style,
)
from utils.files import shown, write_whole
from utils.predictions import Predictions
from utils.run import EpochMetrics, Run
from utils.runtime import choose_device
from utils.statistical_figures import confusion_matrix_figure
from utils.track import track

SPLITS = ("train", "test")
NUM_DIGITS_SHOWN = 40
MAX_NAME = 30  # characters of a class name in a table
# Key in metrics.json -> label and format.
HEADLINES = {
    "accuracy_without_contested": ("accuracy without contested labels", "{:.2%}"),
    "top_2_accuracy": ("top-2 accuracy", "{:.2%}"),
    "negative_log_likelihood": ("negative log likelihood, nats", "{:.4f}"),
    "brier_score": ("Brier score, 0 to 2", "{:.4f}"),
    "ece": ("expected calibration error", "{:.2%}"),
    "r2": ("R2 of predicted against true digit", "{:.4f}"),
}


def interpret(runs: Sequence[Run], output: Path, splits: Sequence[str] = SPLITS, device: str = "auto") -> None:
    """Interprets every run, see `interpret_run`. A run that cannot be read does not stop the others.

    Raises UserError at the end if a run could not be interpreted.
    """
    chosen = choose_device(device)
    num_failed = 0
    for run in track(runs, desc="runs"):
        try:
            interpret_run(run, load_trained(run, chosen), output, splits)
        except UserError as error:
            if len(runs) == 1:
                raise
            print(f"{run.name}: {error}", file=sys.stderr)
            num_failed += 1
    if num_failed:
        raise UserError(f"{num_failed} of {len(runs)} runs could not be interpreted, for the reasons above")


def interpret_run(run: Run, model: nn.Module, output: Path, splits: Sequence[str] = SPLITS) -> dict[str, Any]:
    """Metrics and figures of one run, from the stored test predictions and the model's predictions for other splits.

    Writes metrics.json, report.html and a PNG per figure into `output/RUN` and the figures to TensorBoard; prints the
    metrics. Returns the metrics, one key per split. Raises UserError for an unfinished or damaged run.
    """
    epoch, history = run.summary.best_epoch, run.metrics
    if not history:
        raise UserError(f"run {run.name} has no epochs in metrics.jsonl: it is damaged")
    metrics: dict[str, Any] = {}
    figures: dict[str, Figure] = {}
    for split in dict.fromkeys(splits):
        image_set = load_run_split(run, split)
        if split == "test":
            predictions = load_test_predictions(run, image_set)
        else:
            predictions = predict(model, image_set, progress=image_set.name)
        contested = CONTESTED_TEST_DIGITS if image_set.name == "mnist/test" else ()
        metrics[split] = classification_metrics(predictions, image_set.class_names, contested)
        for name, figure in prediction_figures(predictions, image_set).items():
            figures[f"{split}_{name}"] = figure
    figures["history"] = history_figure(history, epoch)
    folder = output / run.name
    write_whole(folder / "metrics.json", f"{json.dumps({'run': run.name, **metrics}, indent=2)}\n".encode())
    report = report_document(run, metrics, figures)
    report.write_pictures(folder)
    report.write_html(folder / REPORT)
    overview(folder).write_html(folder / OVERVIEW)
    with SummaryWriter(str(run.path), filename_suffix=".interpretation") as writer:
        for picture in report.pictures:  # add_figure would draw every figure a second time
            pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))
            writer.add_image(f"interpretation/{picture.name}", pixels, epoch, dataformats="HWC")
    lines = [f"  {name:45}" + "".join(f"{value:>20}" for value in values)
             for name, *values in [["", *metrics], *headline_rows(metrics)]]  # fmt: skip
    track.write("\n".join([run.name, *lines, f"  report and pictures: {shown(folder / REPORT)}\n"]))
    return metrics


def prediction_figures(predictions: Predictions, image_set: ImageSet) -> dict[str, Figure]:
    """Confusion matrix, most confident mistakes, least confident correct predictions and calibration, by file name."""
    figures = {"confusion_matrix": confusion_matrix_figure(predictions, image_set.class_names, image_set.name)}
    examples = {
        "worst_mistakes": (predictions.worst_mistakes(NUM_DIGITS_SHOWN), "true != predicted"),
        "least_confident_correct": (predictions.least_confident_correct(NUM_DIGITS_SHOWN), "true = predicted"),
    }
    for name, (indices, sign) in examples.items():
        if len(indices):
            title = f"{image_set.name}: index in the split, {sign}, confidence"
            figures[name] = predictions_figure(predictions, indices, image_set, title)
    figures["reliability"] = reliability_figure(predictions, image_set.name)
    return figures


def reliability_figure(predictions: Predictions, set_name: str) -> Figure:
    """Accuracy against confidence, above a histogram of the confidence."""
    confidence, accuracy, counts = calibration_bins(predictions)
    edges = np.linspace(0, 1, len(counts) + 1)
    figure = Figure(figsize=(5.2, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    upper.plot(confidence, accuracy, "o-", color=COLORS[0], markersize=4, label="this network")
    upper.set(title=f"{set_name}: ECE {expected_calibration_error(predictions):.2%}", ylabel="accuracy", ylim=(0, 1.03))
    upper.legend(frameon=False, fontsize=9)
    lower.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLORS[0], edgecolor="white")
    lower.set(yscale="log", xlabel="confidence", ylabel="digits", xlim=(0, 1), ylim=(0.8, 1.5 * counts.max()))
    plain_log_ticks(lower)
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    use_plain_style(upper)
    use_plain_style(lower)
    return figure


def history_figure(metrics: Sequence[EpochMetrics], epoch: int) -> Figure:
    """Loss and accuracy over the epochs, for training and validation. A line marks the epoch of the final weights."""
    epochs = [row.epoch for row in metrics]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    curves = (
        ("loss", [row.train_loss for row in metrics], [row.val_loss for row in metrics]),
        ("accuracy", [row.train_accuracy for row in metrics], [row.val_accuracy for row in metrics]),
    )
    for place, (name, train, validation) in enumerate(curves, start=1):
        axes = plain_axes(figure, 1, 2, place)
        marker = "o" if len(metrics) == 1 else None
        axes.plot(epochs, train, color=COLORS[0], marker=marker, label="training")
        axes.plot(epochs, validation, color=COLORS[1], marker=marker, label="validation")
        axes.axvline(epoch, color=INK, linewidth=1, linestyle=":", label=f"final weights: epoch {epoch}")
        axes.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if name == "loss":
            axes.set(yscale="log", title="loss (mean cross-entropy, nats)")
            plain_log_ticks(axes)
        else:
            axes.set_title(name)
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, fontsize=9)
    return figure


def report_document(run: Run, metrics: dict[str, Any], figures: dict[str, Figure]) -> Document:
    """The report page of a run. Keys of `metrics` are splits, keys of `figures` are file names."""
    summary = run.summary
    pictures = {name: picture_of(figure, name.replace("_", " "), name) for name, figure in figures.items()}
    blocks: list[Block] = [
        Text(
            f"{summary.model}: {summary.num_parameters:,} parameters, seed {summary.seed}, {summary.num_epochs_run} "
            f"epochs in {summary.train_seconds:.0f} s on {summary.device} ({summary.precision}). "
            f"The final weights are those of epoch {summary.best_epoch}."
        ),
        Link("All pictures of this network", OVERVIEW),
        Table(["", *metrics], headline_rows(metrics)),
        pictures.pop("history"),
        Columns([Section(f"{split}: metrics per class", [_class_table(metrics[split])]) for split in metrics]),
    ]
    for kind in dict.fromkeys(name.partition("_")[2] for name in pictures):
        of_kind = [pictures[f"{split}_{kind}"] for split in metrics if f"{split}_{kind}" in pictures]
        blocks.append(Section(kind.replace("_", " ").capitalize(), [Columns(of_kind)]))
    return Document(f"Run {run.name}", blocks)


def headline_rows(metrics: dict[str, Any]) -> list[list[str]]:
    """A row per metric and a column per split, without the metrics that no split has."""
    of_splits = list(metrics.values())
    rows = [
        ["accuracy", *(f"{values['accuracy']:.2%}" for values in of_splits)],
        ["95 % confidence interval of the accuracy",
         *(f"{values['accuracy_ci_low']:.2%} to {values['accuracy_ci_high']:.2%}" for values in of_splits)],
        ["correct", *(f"{values['num_correct']:,} of {values['num_digits']:,}" for values in of_splits)],
    ]  # fmt: skip
    for key, (label, style) in HEADLINES.items():
        cells = [style.format(values[key]) if key in values else "" for values in of_splits]
        if any(cells):
            rows.append([label, *cells])
    return rows


def _class_table(metrics: dict[str, Any]) -> Table:
    names = ("precision", "recall", "f1")
    rows = [
        [elided(label, MAX_NAME), f"{values['num_digits']:,}", *(f"{values[name]:.2%}" for name in names)]
        for label, values in metrics["classes"].items()
    ]
    rows.append(["mean", "", *(f"{metrics['macro'][name]:.2%}" for name in names)])
    return Table(["class", "digits", "precision", "recall", "F1"], rows)
