"""The README's table of results: each trainer as it stands, over several seeds.

    python benchmarks/trainer_results.py [--trainers linear fc fast_conv] [--seeds 0 1 2]

Trains what is missing as runs/results-TRAINER-sSEED, prints the table, writes benchmarks/output/trainer_results.json.
Trainers that are not named keep the row that was measured before.
"""

import argparse
from typing import Any

from benchmarks.results import read, write
from benchmarks.trained_runs import finished_summaries
from trainers.train_command import recipe_of_trainer, trainer_names
from utils.errors import exit_on_user_error
from utils.statistics import mean_interval

DEFAULT = [name for name in trainer_names() if name != "resnet18"]  # which takes a CPU a quarter of an hour an epoch


def table_row(trainer: str, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, with the half-widths of their 95 % intervals."""
    accuracy, accuracy_interval = mean_interval([summary["test_accuracy"] for summary in summaries])
    seconds, seconds_interval = mean_interval([summary["train_seconds"] for summary in summaries])
    in_all, in_all_interval = mean_interval([summary["total_seconds"] for summary in summaries])
    return {
        "trainer": f"{trainer}_trainer.py",
        "date": max(summary["date"] for summary in summaries),
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
    """The table of the README, small networks first."""
    lines = [
        "| trainer | parameters | epochs | seeds | test accuracy | seconds of training | seconds in all | measured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["num_parameters"], row["trainer"])):
        epochs = "-".join(str(n) for n in sorted({min(row["num_epochs_run"]), max(row["num_epochs_run"])}))
        lines.append(
            f"| `{row['trainer']}` | {row['num_parameters']:,} | {epochs} | {row['num_seeds']} "
            f"| {row['test_accuracy']:.2%} ± {row['test_accuracy_interval']:.2%} "
            f"| {row['train_seconds']:.0f} ± {row['train_seconds_interval']:.0f} "
            f"| {row['total_seconds']:.0f} ± {row['total_seconds_interval']:.0f} | {row['date']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainers", nargs="+", default=DEFAULT, choices=trainer_names())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    if len(set(options.seeds)) < 2:
        parser.error("--seeds: at least two, for an interval")
    with exit_on_user_error():
        rows = {row["trainer"]: row for row in read("trainer_results")["rows"]}
        for trainer in options.trainers:
            summaries = finished_summaries(recipe_of_trainer(trainer), f"results-{trainer}", options.seeds)
            rows[f"{trainer}_trainer.py"] = table_row(trainer, summaries)
    table = markdown(list(rows.values()))
    write("trainer_results", {"rows": list(rows.values()), "table": table})
    print(f"\n{table}")


if __name__ == "__main__":
    main()
