"""Metrics, confusion matrices, mistakes, calibration and history of runs: pictures, metrics.json, report.html and
TensorBoard figures for each run."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from model_interpretation.metrics import CONTESTED_TEST_DIGITS, classification_metrics
from model_interpretation.predict import load_run_split, load_test_predictions
from model_interpretation.prediction_figures import curve_figures, interval_label, prediction_figures
from models.registry import load_trained
from utils.data import ImageSet
from utils.document import (
    Block,
    Columns,
    Digit,
    DigitMatrix,
    Document,
    Facts,
    MatrixCell,
    Picture,
    Section,
    Table,
    Text,
    picture_of,
)
from utils.errors import UserError
from utils.evaluation import predict
from utils.event_files import png_value, replace_events
from utils.figures import as_png, elided
from utils.files import shown, write_whole
from utils.navigation import REPORT
from utils.predictions import Predictions
from utils.run import Run
from utils.run_pages import write_overview
from utils.runtime import choose_device
from utils.track import track

SPLITS = ("train", "test")
NUM_DIGITS_SHOWN = 40
MAX_NAME = 30  # characters of a class name in a table
MAX_MATRIX_DIGITS, MAX_CELL_DIGITS = 800, 24  # in a confusion matrix: their picture stays below 300 KB
MAX_CLASSES_SIDE_BY_SIDE = 12  # larger confusion matrices are one below the other
# Kind of figure -> heading.
HEADINGS = {
    "class_metrics": "Recall and precision",
    "worst_mistakes": "The most confident mistakes",
    "least_confident_correct": "The least confident correct predictions",
    "reliability": "Calibration",
}
GRID_CAPTION = "Each {split} digit with its number from 0, {classes} and the confidence; {order}."
# Kind of figure -> caption.
CAPTIONS = {
    "confusion_matrix": "The number of {split} digits of each class that are predicted as each class; the colour shows "
    "the mistakes.",
    "class_metrics": "Recall: the fraction of the {split} digits of a class that are predicted as this class. "
    "Precision: the fraction of the predictions of a class that are correct. Lines: {interval}.",
    "worst_mistakes": GRID_CAPTION.format(
        split="{split}", classes="true class ≠ predicted class", order="the most confident mistake first"
    ),
    "least_confident_correct": GRID_CAPTION.format(
        split="{split}", classes="true class = predicted class", order="the least confident first"
    ),
    "reliability": "Above: accuracy of the {split} digits in bins of equal confidence, with its {interval}; points "
    "above the dashed line are more accurate than confident. Below: the number of digits per bin.",
    "loss": "Cross-entropy per epoch, without label smoothing. Training: during the epoch, on augmented digits. "
    "Validation: after the epoch.",
    "accuracy": "Accuracy per epoch. Training: during the epoch, on augmented digits. Validation: after the epoch.",
}
# Key in metrics.json -> label and format.
HEADLINES = {
    "accuracy_without_contested": ("accuracy without contested labels", "{:.2%}"),
    "top_2_accuracy": ("top-2 accuracy", "{:.2%}"),
    "negative_log_likelihood": ("negative log likelihood, nats", "{:.4f}"),
    "brier_score": ("Brier score, 0 to 2", "{:.4f}"),
    "ece": ("expected calibration error", "{:.2%}"),
    "r2": ("R2 of predicted against true digit", "{:.4f}"),
}
METRIC_MEANINGS = (
    "Top-2 accuracy: the label is among the two most probable classes. Negative log likelihood: the mean of -ln(p), p "
    "being the probability of the label; 0 is perfect, 2.303 is guessing among ten classes. Brier score: the squared "
    "distance of the probabilities from the label; 0 is perfect. Expected calibration error: the mean gap between "
    "confidence and accuracy. R2 treats the digits as numbers, for comparison with other projects. The glossary of the "
    "documentation, docs/glossary.md, explains all words."
)


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

    Writes metrics.json, report.html and a picture per figure into `output/RUN` and the figures to TensorBoard; prints
    the metrics. Returns the metrics, one key per split. Raises UserError for an unfinished or damaged run.
    """
    epoch, history = run.summary.best_epoch, run.metrics
    if not history:
        raise UserError(f"run {run.name} has no epochs in metrics.jsonl: it is damaged")
    metrics: dict[str, Any] = {}
    figures: dict[str, Figure] = {}
    matrices: dict[str, DigitMatrix] = {}
    captions: dict[str, str] = {}
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
            captions[f"{split}_{name}"] = CAPTIONS[name].format(
                split="training" if split == "train" else split, interval=interval_label(predictions)
            )
        matrices[split] = confusion_block(predictions, image_set)
    for name, figure in curve_figures(history, epoch).items():
        figures[name], captions[name] = figure, CAPTIONS[name]
    folder = output / run.name
    write_whole(folder / "metrics.json", f"{json.dumps({'run': run.name, **metrics}, indent=2)}\n".encode())
    pictures = {name: picture_of(figure, captions[name], name) for name, figure in figures.items()}
    for picture in pictures.values():
        write_whole(folder / picture.file_name, picture.content)
    report_document(run, metrics, matrices, pictures).write_html(folder / REPORT, folder)
    write_overview(folder)
    values = [
        png_value(f"interpretation/{name}", as_png(figure) if pictures[name].is_svg else pictures[name].content)
        for name, figure in figures.items()
    ]
    replace_events(run.path, "interpretation", values, epoch)
    lines = [f"  {name:45}" + "".join(f"{value:>20}" for value in values)
             for name, *values in [["", *metrics], *headline_rows(metrics)]]  # fmt: skip
    split = list(metrics)[-1]
    lines += [
        f"  {mistakes_text(metrics[split], matrices[split])}",
        f"  report and pictures: {shown(folder / REPORT)}\n",
    ]
    track.write("\n".join([run.name, *lines]))
    return metrics


def confusion_block(predictions: Predictions, image_set: ImageSet) -> DigitMatrix:
    """The confusion matrix with digits of every cell: the most confident mistakes, the least confident correct ones."""
    names, num_classes = [elided(name, MAX_NAME) for name in image_set.class_names], len(image_set.class_names)
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (predictions.labels, predictions.predicted), 1)
    sizes = (size for size in range(MAX_CELL_DIGITS, 1, -1) if np.minimum(counts, size).sum() <= MAX_MATRIX_DIGITS)
    num_shown = next(sizes, 1)
    surprising = np.argsort(np.where(predictions.is_correct, predictions.confidence, -predictions.confidence))
    cells = {}
    for true, predicted in zip(*(part.tolist() for part in counts.nonzero()), strict=True):
        members = surprising[
            (predictions.labels == true)[surprising] & (predictions.predicted == predicted)[surprising]
        ]
        digits = [
            Digit(image_set.images[i].numpy(), f"no. {i}, {predictions.confidence[i]:.0%}")
            for i in members[:num_shown].tolist()
        ]
        order = "least confident first" if true == predicted else "most confident first"
        some = f"{len(members):,}" if len(members) <= num_shown else f"{len(digits)} of {len(members):,}"
        title = f"{names[true]} read as {names[predicted]}: {some}, {order}"
        cells[true, predicted] = MatrixCell(len(members), digits, title)
    num_wrong = int((~predictions.is_correct).sum())
    description = f"{image_set.name}: {num_wrong:,} of {len(predictions.labels):,} wrong"
    return DigitMatrix(description, "true", "predicted", names, names, cells, is_confusion=True)


def report_document(
    run: Run, metrics: dict[str, Any], matrices: dict[str, DigitMatrix], pictures: dict[str, Picture]
) -> Document:
    """The report page of a run. Keys of `metrics` and `matrices` are splits, keys of `pictures` are file names."""
    side_by_side = max(len(matrix.row_names) for matrix in matrices.values()) <= MAX_CLASSES_SIDE_BY_SIDE
    class_tables = [Section(split, [_class_table(metrics[split])]) for split in metrics]
    blocks: list[Block] = [
        Section("Metrics", [Table(["metric", *metrics], headline_rows(metrics)), Text(METRIC_MEANINGS)]),
        Section("Confusion matrices", [Columns([*matrices.values()])] if side_by_side else [*matrices.values()]),
        Section("Metrics per class", [Columns(class_tables)]),
    ]
    for kind, heading in HEADINGS.items():
        of_kind = [pictures[name] for split in metrics if (name := f"{split}_{kind}") in pictures]
        if of_kind:
            blocks.append(Section(heading, [Columns(of_kind)]))
    blocks.append(Section("History of the training", [Columns([pictures["loss"], pictures["accuracy"]])]))
    summary = _summary_blocks(run, metrics, matrices)
    return Document("Metrics and mistakes", blocks, summary, subject=f"Run {run.name}")


def _summary_blocks(run: Run, metrics: dict[str, Any], matrices: dict[str, DigitMatrix]) -> list[Block]:
    """The main results on the last split, usually the test set."""
    summary, split = run.summary, list(metrics)[-1]
    values, matrix = metrics[split], matrices[split]
    facts = [
        (f"{split} accuracy", f"{values['accuracy']:.2%}"),
        ("95 % confidence interval", f"{values['accuracy_ci_low']:.2%} to {values['accuracy_ci_high']:.2%}"),
        ("mistakes", f"{values['num_digits'] - values['num_correct']:,} of {values['num_digits']:,}"),
        ("parameters", f"{summary.num_parameters:,}"),
    ]
    training = (
        f"Model {summary.model}, seed {summary.seed}, data set {run.recipe.dataset}: {summary.num_epochs_run} "
        f"epoch{'s' if summary.num_epochs_run > 1 else ''} in {summary.train_seconds:.0f} s on {summary.device} "
        f"({summary.precision}). The final weights are those of epoch {summary.best_epoch}."
    )
    return [Facts(facts), Text(mistakes_text(values, matrix)), Text(training)]


def mistakes_text(values: dict[str, Any], matrix: DigitMatrix) -> str:
    """The hardest class and the most frequent mistake of a split, from its metrics and its confusion matrix."""
    recalls = {name: part["recall"] for name, part in values["classes"].items() if part["num_digits"]}
    hardest = min(recalls, key=recalls.__getitem__)
    text = f"The hardest class is {elided(hardest, MAX_NAME)}: {recalls[hardest]:.2%} of its digits are correct."
    mistakes = {place: cell.count for place, cell in matrix.cells.items() if place[0] != place[1]}
    if not mistakes:
        return text
    true, predicted = max(mistakes, key=mistakes.__getitem__)
    times = "once" if mistakes[true, predicted] == 1 else f"{mistakes[true, predicted]:,} times"
    return (
        f"{text} The most frequent mistake is {matrix.row_names[true]} read as {matrix.row_names[predicted]}, {times}."
    )


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
