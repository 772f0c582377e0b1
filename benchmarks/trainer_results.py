"""Results and training times of every registered recipe over several seeds.

    python -m benchmarks.trainer_results [--recipes linear fc fast_conv] [--seeds 0 1 2]

Trains missing runs as runs/results-RECIPE-sSEED, prints the table and writes benchmarks/output/trainer_results.json.
Recipes that are not listed keep their previous row.
"""

from typing import Any

from benchmarks.results import finished_runs, markdown_table, read, script_parser, write
from study.comparison.groups import percent
from trainers.recipes import get_recipe, recipe_names
from utils.errors import exit_on_user_error
from utils.run import Run
from utils.statistics import mean_interval

VALIDATION = {"random": "random", "writers": "by other writers"}
DEFAULT = [name for name in recipe_names() if name != "resnet18"]  # an epoch takes 15 minutes on a CPU


def result_row(recipe: str, runs: list[Run]) -> dict[str, Any]:
    """Means over the seeds with the margins of their 95 % confidence intervals."""
    summaries = [run.summary for run in runs]
    row: dict[str, Any] = {
        "recipe": recipe,
        "date": max(run.environment["started"][:10] for run in runs),
        "model": summaries[0].model,
        "num_parameters": summaries[0].num_parameters,
        "num_epochs_run": [summary.num_epochs_run for summary in summaries],
        "precision": summaries[0].precision,
        "validation": runs[0].recipe.validation,
        "num_seeds": len(summaries),
        "test_num_correct": [summary.test_num_correct for summary in summaries],
    }
    for field in ("test_accuracy", "train_seconds", "total_seconds"):
        row[field], row[f"{field}_interval"] = mean_interval([getattr(summary, field) for summary in summaries])
    return row


def markdown(values: dict[str, Any]) -> str:
    """A row per recipe, sorted by the number of parameters. `VALIDATION` has the words for the validation digits."""
    header = (
        "recipe", "parameters", "epochs", "seeds", "validation digits", "test accuracy", "training, s", "total, s",
        "measured",
    )  # fmt: skip
    rows = [
        [
            f"`{row['recipe']}`",
            f"{row['num_parameters']:,}",
            "-".join(str(n) for n in sorted({min(row["num_epochs_run"]), max(row["num_epochs_run"])})),
            str(row["num_seeds"]),
            VALIDATION[row["validation"]],
            percent(row["test_accuracy"], row["test_accuracy_interval"]),
            f"{row['train_seconds']:.0f} ± {row['train_seconds_interval']:.0f}",
            f"{row['total_seconds']:.0f} ± {row['total_seconds_interval']:.0f}",
            row["date"],
        ]
        for row in sorted(values["rows"], key=lambda row: (row["num_parameters"], row["recipe"]))
    ]
    return markdown_table(header, rows)


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--recipes", nargs="+", default=DEFAULT, choices=recipe_names())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    if len(set(options.seeds)) < 2:
        parser.error("--seeds: expected at least two, for a confidence interval")
    with exit_on_user_error():
        rows = {row["recipe"]: row for row in read("trainer_results")["rows"]}
        for recipe in options.recipes:
            rows[recipe] = result_row(recipe, finished_runs(get_recipe(recipe), f"results-{recipe}", options.seeds))
    values = {"rows": list(rows.values())}
    write("trainer_results", values)
    print(f"\n{markdown(values)}")


if __name__ == "__main__":
    main()
