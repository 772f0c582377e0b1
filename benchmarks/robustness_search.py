"""The search of the recipe robust_conv: validation metrics of runs, one row per run.

    python -m benchmarks.robustness_search RUN [RUN ...] [--pictures]

Every row holds what decides between recipes: accuracy on clean, moved and corrupted validation digits, under other
papers and pens and under a cheap attack; how well non-digits are detected; calibration; training time. No test digit is
read. `gap` says in one number how far a run is from the targets: the mean, over the columns with a target, of how many
times the error must be halved. benchmarks/ROBUSTNESS_LOG.md has the protocol.

Prints the rows and a line of targets, and writes benchmarks/output/robustness_search.json, which keeps the rows of
other runs. A measured network is not measured again. --pictures writes the corruptions and the non-digits as pictures.
"""

import math
import operator
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.results import OUTPUT, markdown_table, read, script_parser, write
from study.scorecard import MetricResult
from study.scorecard.ood import SCORE_LABELS
from study.scorecard.validation import NON_DIGITS, RADIUS, SharedImages, validation_results
from utils.data.further_corruptions import FURTHER_CORRUPTIONS
from utils.errors import UserError, exit_on_user_error
from utils.figures import save_figure, tiled_figure
from utils.files import shown
from utils.run import Run, runs_by_recipe
from utils.track import track

NAME = "robustness_search"
SCORE = "knn"  # of the columns `far` and `near`, fixed in advance
NUM_SHOWN = 12  # digits per row of the pictures
NAME_WIDTH = 40  # characters
# Column -> id of its metric and the target. The other columns are computed from several metrics.
COLUMNS: dict[str, tuple[str, float]] = {
    "clean": ("accuracy", 0.994),
    "shift": ("shift_4px", 0.99),
    "rot40": ("rotation_40", 0.98),
    "x0.7": ("scale_0.7", 0.985),
    "x1.3": ("scale_1.3", 0.985),
    "worst": ("worst_case", 0.96),
    "corr": ("corruptions_mean", 0.965),
    "lowest": ("", 0.88),
    "inv": ("corruption_inverse", 0.97),
    "grey": ("grey_paper", 0.98),
    "low": ("low_contrast", 0.98),
    "thin": ("thin_strokes", 0.95),
    "occl": ("occluded", 0.92),
    "pgd": (f"pgd_linf_{RADIUS}", 0.85),
    "far": ("", 0.99),
    "near": ("", 0.95),
    "ece": ("ece", 0.005),
}
LOWER_IS_BETTER = ("ece",)
TRADED = ("clean", "worst", "corr", "pgd")  # columns of the front


Row = dict[str, float | None]  # column -> value; None if it cannot be measured for this network


def row_of(results: Mapping[str, MetricResult]) -> Row:
    """The value of each column, and the gap."""
    values = {id_: result.value for id_, result in results.items()}
    computed = {
        "lowest": lowest(values[f"corruption_{name}"] for name in FURTHER_CORRUPTIONS),
        "far": lowest(values[f"ood_{kind}_{SCORE}"] for kind, (is_near, _) in NON_DIGITS.items() if not is_near),
        "near": lowest(values[f"ood_{kind}_{SCORE}"] for kind, (is_near, _) in NON_DIGITS.items() if is_near),
    }
    row = {column: values[id_] if id_ else computed[column] for column, (id_, _) in COLUMNS.items()}
    return {**row, "gap": gap(row)}


def lowest(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else min(value for value in known if value is not None)


def gap(row: Mapping[str, float | None]) -> float | None:
    """How often the error must be halved to reach its target, averaged over the columns; 0 if all targets are met."""
    halvings = []
    for column, (_, target) in COLUMNS.items():
        value = row[column]
        if value is None:
            return None
        error, allowed = (value, target) if column in LOWER_IS_BETTER else (1 - value, 1 - target)
        halvings.append(math.log2(max(error, allowed) / allowed))
    return sum(halvings) / len(halvings)


def measured_rows(runs: Sequence[Run], device: str = "auto") -> list[dict[str, Any]]:
    """The row of each run with its details: all metrics with their intervals, recipe and training time.

    Raises UserError for a run that cannot be measured, and for runs with different validation digits.
    """
    shared = SharedImages(runs)
    rows = []
    for run in track(runs, desc="runs"):
        results = validation_results(run, shared, device)
        summary = run.summary
        rows.append(
            {
                "run": run.name,
                "columns": row_of(results),
                "train_seconds": summary.train_seconds,
                "num_parameters": summary.num_parameters,
                "recipe": run.recipe.to_json(),
                "metrics": {id_: [it.value, it.ci_low, it.ci_high, it.n] for id_, it in results.items()},
            }
        )
    return rows


def means_by_recipe(runs: Sequence[Run], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each recipe with several runs, a row of means that is named after its first run."""
    by_name = {row["run"]: row for row in rows}
    means = []
    for group in runs_by_recipe(runs)[0]:
        if len(group) > 1:
            columns = pd.DataFrame([by_name[run.name]["columns"] for run in group], dtype=float).mean(skipna=False)
            seconds = statistics.mean(by_name[run.name]["train_seconds"] for run in group)
            mean = {column: None if math.isnan(value) else value for column, value in columns.items()}
            means.append({"run": f"mean of {len(group)}: {group[0].name}", "columns": mean, "train_seconds": seconds})
    return means


def front(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows that no other row equals or exceeds on all of clean accuracy, worst case, corruptions and attack."""
    points = {row["run"]: [row["columns"][column] or 0.0 for column in TRADED] for row in rows}
    return [
        name
        for name, values in points.items()
        if not any(values != others and all(map(operator.le, values, others)) for others in points.values())
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per row, in percent, and the line of targets."""
    return aligned(lines_of(rows, digits=2))


def markdown(values: Mapping[str, Any]) -> str:
    """The table of ROBUSTNESS_LOG.md."""
    header, *lines = lines_of(values["rows"], digits=1)
    return markdown_table(header, lines)


def lines_of(rows: Sequence[Mapping[str, Any]], digits: int) -> list[list[str]]:
    lines = [["run", *COLUMNS, "gap", "s"]]
    lines.append(["target", *(f"{100 * target:.1f}" for _, target in COLUMNS.values()), "0", ""])
    for row in rows:
        name = row["run"] if len(row["run"]) <= NAME_WIDTH else f"{row['run'][: NAME_WIDTH - 1]}…"
        cells = [percent(row["columns"][column], digits) for column in COLUMNS]
        lines.append([name, *cells, as_text(row["columns"]["gap"], 2), f"{row['train_seconds']:.0f}"])
    return lines


def details(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per corruption, and per kind of non-digits and score; one column per run, numbered as in the table."""
    names = [f"corruption_{name}" for name in FURTHER_CORRUPTIONS]
    names += [f"ood_{kind}_{score}" for kind in NON_DIGITS for score in SCORE_LABELS]
    cells = [[name.replace("_", " "), *(percent(row["metrics"][name][0], 2) for row in rows)] for name in names]
    return aligned([["", *(f"run {number}" for number in range(1, len(rows) + 1))], *cells])


def as_text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int) -> str:
    return as_text(None if value is None else 100 * value, digits)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def text(cells: Sequence[str]) -> str:
        numbers = [cell.rjust(width) for cell, width in zip(cells[1:], others, strict=True)]
        return "  ".join([cells[0].ljust(first), *numbers])

    return "\n".join(map(text, lines))


def save(rows: Sequence[dict[str, Any]]) -> None:
    """Adds the rows to the result file. A row of an earlier run of the same name is replaced."""
    try:
        earlier = read(NAME)["rows"]
    except UserError:
        earlier = []
    new = {row["run"] for row in rows}
    write(NAME, {"rows": [*(row for row in earlier if row["run"] not in new), *rows]})


def pictures(shared: SharedImages) -> dict[str, Figure]:
    """The first validation digits under each further corruption, and the first images of each kind of non-digits."""
    clean = shared.digits.images[:NUM_SHOWN]
    corrupted = [clean, *(shared.of(name)[:NUM_SHOWN] for name in FURTHER_CORRUPTIONS)]
    kinds = [shared.of(kind)[:NUM_SHOWN] for kind in NON_DIGITS]
    return {
        "further_corruptions": _grid(corrupted, ["clean", *FURTHER_CORRUPTIONS], "The further corruptions of MNIST-C"),
        "non_digits": _grid(kinds, list(NON_DIGITS), "Non-digits of the search, in no recipe and no scorecard"),
    }


def _grid(rows: Sequence[torch.Tensor], names: Sequence[str], title: str) -> Figure:
    tiles = torch.cat(list(rows)).numpy().astype("float32") / 255
    row_names = [name.split("_")[0] if len(name) > 14 else name.replace("_", " ") for name in names]
    return tiled_figure(tiles, None, NUM_SHOWN, title, "gray", (0, 1), 0.55, row_names=row_names)


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder or name")
    parser.add_argument("--pictures", action="store_true", help="also write the images as pictures")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with exit_on_user_error():
        runs = [Run.find(name) for name in options.runs]
        rows = measured_rows(runs, options.device)
        save(rows)
        if options.pictures:
            for name, figure in pictures(SharedImages(runs)).items():
                save_figure(figure, OUTPUT / f"{name}.png")
    print(f"{details(rows)}\n\n{table([*rows, *means_by_recipe(runs, rows)])}")
    print(f"\nOn the front of {', '.join(TRADED)}: {', '.join(front(rows))}")
    print(f"AUROC of {SCORE_LABELS[SCORE]}; all values with intervals: {shown(OUTPUT / f'{NAME}.json')}")


if __name__ == "__main__":
    main()
