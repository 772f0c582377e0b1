"""One page on one run: report.html."""

import html
from typing import Any

from model_interpretation.picture_page import OVERVIEW
from utils.html_page import page, picture, table
from utils.run_folder import RunFolder

# Name in metrics.json -> how it is called, and how it is written.
HEADLINES = {
    "accuracy": ("accuracy", "{:.2%}"),
    "uncontested_accuracy": ("accuracy on the labels that nobody contests", "{:.2%}"),
    "top_2_accuracy": ("top-2 accuracy", "{:.2%}"),
    "negative_log_likelihood": ("negative log likelihood, nats", "{:.4f}"),
    "brier_score": ("Brier score, 0 to 2", "{:.4f}"),
    "expected_calibration_error": ("expected calibration error", "{:.2%}"),
    "r2": ("R2 of predicted against true digit", "{:.4f}"),
}


def report_page(run: RunFolder, metrics: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """All metrics and all pictures, as PNG; `metrics` has a split a key, `pictures` a file name a key."""
    summary = run.summary()
    body = [
        f"<p>{html.escape(summary['model'])}: {summary['num_parameters']:,} parameters, seed {summary['seed']}, "
        f"{summary['num_epochs_run']} epochs in {summary['train_seconds']:.0f} s on {summary['device']} "
        f"({summary['precision']}); judged by its epoch {summary['best_epoch']}. "
        f'<a href="{OVERVIEW}">What the network sees</a></p>',
        table(["", *metrics], headline_rows(metrics)),
        _captioned("history", pictures["history"]),
        '<div class="pair">',
        *(f"<div><h2>{split}: class by class</h2>{_class_table(figures)}</div>" for split, figures in metrics.items()),
        "</div>",
    ]
    for kind in dict.fromkeys(name.partition("_")[2] for name in pictures if name != "history"):
        of_kind = [f"{split}_{kind}" for split in metrics if f"{split}_{kind}" in pictures]
        body += [f"<h2>{kind.replace('_', ' ')}</h2>", '<div class="pair">']
        body += [*(_captioned(name, pictures[name]) for name in of_kind), "</div>"]
    return page(f"Run {run.path.name}", "\n".join(body))


def _captioned(name: str, png: bytes) -> str:
    return f"<div>{picture(png, name.replace('_', ' '))}</div>"


def headline_rows(metrics: dict[str, Any]) -> list[list[str]]:
    """A line a measure, a column a split; measures that no split has are left out."""
    rows = []
    for key, (name, style) in HEADLINES.items():
        values = [style.format(figures[key]) if key in figures else "" for figures in metrics.values()]
        if any(values):
            rows.append([name, *values])
    intervals = ["{:.2%} to {:.2%}".format(*figures["accuracy_95_interval"]) for figures in metrics.values()]
    counts = [f"{figures['num_correct']:,} of {figures['num_digits']:,}" for figures in metrics.values()]
    return [rows[0], ["95 % interval of the accuracy", *intervals], ["right", *counts], *rows[1:]]


def _class_table(figures: dict[str, Any]) -> str:
    measures = ("precision", "recall", "f1")
    rows = [
        [name, f"{part['num_digits']:,}", *(f"{part[measure]:.2%}" for measure in measures)]
        for name, part in figures["classes"].items()
    ]
    rows.append(["mean", "", *(f"{figures['macro'][measure]:.2%}" for measure in measures)])
    return table(["class", "digits", "precision", "recall", "F1"], rows)
