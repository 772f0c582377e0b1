"""The README's table of results: each trainer as it stands, over several seeds.

    python benchmarks/trainer_results.py [--trainers linear fc fast_conv conv] [--seeds 0 1 2]

Trains what is missing as runs/results-TRAINER-sSEED, prints the table, writes benchmarks/output/trainer_results.json.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from typing import Any

from benchmarks.results import write
from trainers.recipe import Recipe
from trainers.train_command import recipe_of_trainer, trainer_names
from utils.errors import UserError, exit_on_user_error
from utils.paths import runs_folder, shown
from utils.run_folder import RunFolder
from utils.statistics import mean_interval


def trained_summary(trainer: str, seed: int) -> dict[str, Any]:
    """The summary of this trainer's run with this seed, trained now if there is none."""
    run = RunFolder(runs_folder() / f"results-{trainer}-s{seed}")
    recipe = recipe_of_trainer(trainer)
    wanted = replace(recipe, train=replace(recipe.train, seed=seed))
    if run.path.exists() and Recipe.from_json(run.config()) != wanted:
        raise UserError(f"{shown(run.path)} is of another recipe than {trainer}_trainer.py has now: move it away first")
    if not run.is_finished:
        go_on = ["--resume", str(run.path)] if run.last_checkpoint.exists() else ["--run-name", run.path.name]
        command = [sys.executable, "-m", "mnist", "train", trainer, "--seed", str(seed), *go_on]
        subprocess.run(command, check=True)
    return run.summary()


def table_row(trainer: str, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, with the half-widths of their 95 % intervals."""
    accuracy, accuracy_interval = mean_interval([summary["test_accuracy"] for summary in summaries])
    seconds, seconds_interval = mean_interval([summary["train_seconds"] for summary in summaries])
    in_all, in_all_interval = mean_interval([summary["total_seconds"] for summary in summaries])
    return {
        "trainer": f"{trainer}_trainer.py",
        "model": summaries[0]["model"],
        "num_parameters": summaries[0]["num_parameters"],
        "num_epochs_run": [summary["num_epochs_run"] for summary in summaries],
        "precision": summaries[0]["precision"],
        "num_seeds": len(summaries),
        "test_accuracy": accuracy,
        "test_accuracy_interval": accuracy_interval,
        "train_seconds": seconds,
        "train_seconds_interval": seconds_interval,
        "total_seconds": in_all,
        "total_seconds_interval": in_all_interval,
        "test_num_correct": [summary["test_num_correct"] for summary in summaries],
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the README."""
    lines = [
        "| trainer | parameters | epochs | seeds | test accuracy | seconds of training | seconds in all |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        epochs = "-".join(str(n) for n in sorted({min(row["num_epochs_run"]), max(row["num_epochs_run"])}))
        lines.append(
            f"| `{row['trainer']}` | {row['num_parameters']:,} | {epochs} | {row['num_seeds']} "
            f"| {row['test_accuracy']:.2%} ± {row['test_accuracy_interval']:.2%} "
            f"| {row['train_seconds']:.0f} ± {row['train_seconds_interval']:.0f} "
            f"| {row['total_seconds']:.0f} ± {row['total_seconds_interval']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainers", nargs="+", default=["linear", "fc", "fast_conv", "conv"], choices=trainer_names())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    rows = []
    with exit_on_user_error():
        for trainer in options.trainers:
            rows.append(table_row(trainer, [trained_summary(trainer, seed) for seed in options.seeds]))
    write("trainer_results", {"rows": rows, "table": markdown(rows)})
    print(f"\n{markdown(rows)}")


if __name__ == "__main__":
    main()
