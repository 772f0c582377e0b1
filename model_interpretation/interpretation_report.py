"""One page on one run: report.html."""

from typing import Any

from matplotlib.figure import Figure

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


def report_page(run: RunFolder, metrics: dict[str, Any], pictures: dict[str, Figure]) -> str:
    """All metrics and all pictures; `metrics` has a split a key, `pictures` a file name a key."""
    summary = run.read_json("summary.json")
    body = [
        f"<p>{summary['model']}: {summary['num_parameters']:,} parameters, seed {summary['seed']}, "
        f"{summary['num_epochs_run']} epochs in {summary['train_seconds']:.0f} s on {summary['device']} "
        f"({summary['precision']}); epoch {summary['best_epoch']} was the best by validation.</p>",
        table(["", *metrics], headline_rows(metrics)),
    ]
    for split, figures in metrics.items():
        body += [f"<h2>{split}: class by class</h2>", table(*_class_table(figures))]
    body.append("<h2>Pictures</h2>")
    body += [f"<p>{caption(name)}</p>{picture(figure, caption(name))}" for name, figure in pictures.items()]
    return page(f"Run {run.path.name}", "\n".join(body))


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


def _class_table(figures: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    header = ["class", "digits", "precision", "recall", "F1"]
    measures = ("precision", "recall", "f1")
    rows = [
        [name, f"{part['num_digits']:,}", *(f"{part[measure]:.2%}" for measure in measures)]
        for name, part in figures["classes"].items()
    ]
    rows.append(["mean", "", *(f"{figures['macro'][measure]:.2%}" for measure in measures)])
    return header, rows


def caption(file_name: str) -> str:
    """`test_worst_mistakes` -> `test: worst mistakes`."""
    split, _, rest = file_name.partition("_")
    return f"{split}: {rest.replace('_', ' ')}" if rest else split
