"""How long it takes to a good network: fast_conv's settings over several seeds, and PyTorch's own MNIST example.

    python benchmarks/time_to_accuracy.py [--seeds 5]

Each training is a process of its own. Its time runs from the loading of the data to the last epoch's weights on disk,
with validation, checkpoints and TensorBoard; imports are left out and shown apart. The example, which has none of
these, is timed without its judging. Writes benchmarks/output/time_to_accuracy.json.
"""

import argparse
import json
import statistics
import time
from typing import Any

STARTED = time.perf_counter()

import sklearn.model_selection  # noqa: E402, F401 - imports are timed, those too that come late
import torch._dynamo  # noqa: E402, F401 - imported late, by torch when it makes its first optimizer
from tqdm import tqdm  # noqa: E402

from benchmarks.results import DEVICE, at_least_one, in_a_process, runs_to_throw_away, spread, write  # noqa: E402
from trainers.generic_trainers.basic_trainer import LAST_KEYS  # noqa: E402
from trainers.generic_trainers.training_run import train  # noqa: E402
from trainers.run_recipe import TrainCommand  # noqa: E402
from trainers.specific_trainers.fast_conv_trainer import RECIPE  # noqa: E402
from utils.checkpoints import load_checkpoint  # noqa: E402
from utils.command_line import parse_command_line  # noqa: E402
from utils.datasets import load_dataset  # noqa: E402
from utils.statistics import mean_interval  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - STARTED
SETTINGS = ("--num-epochs 1 --train-size 40000", "--num-epochs 3", "--num-epochs 8")
TARGETS = (0.99, 0.995, 0.9965)  # the example is trained to the first


def train_one(setting: str, seed: int) -> dict[str, float]:
    """One training of fast_conv in this process."""
    flags = [*setting.split(), "--seed", str(seed)]
    recipe = parse_command_line(TrainCommand, flags, "fast_conv", None, TrainCommand(RECIPE)).recipe
    with runs_to_throw_away():
        run, summary = train(recipe)
        last = load_checkpoint(run.last_checkpoint, LAST_KEYS)
    return {
        "import_seconds": IMPORT_SECONDS,
        "seconds": last["seconds"],
        "train_seconds": summary["train_seconds"],
        "val_accuracy": summary["val_accuracy"],
        "test_accuracy": summary["test_accuracy"],
    }


def _mean(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


def markdown(results: dict[str, list[dict[str, Any]]], example: dict[str, Any]) -> str:
    """The table of the README: mean accuracy with its 95 % interval, median seconds with range; mean seconds below."""
    lines = [
        "| recipe | n | test accuracy | seconds, data loading included | of these training | imports, seconds |",
        "|---|---|---|---|---|---|",
    ]
    for setting, runs in results.items():
        mean, half_width = mean_interval([run["test_accuracy"] for run in runs])
        seconds, training, imports = (
            spread([run[key] for run in runs], 1) for key in ("seconds", "train_seconds", "import_seconds")
        )
        lines.append(
            f"| `mnist train fast_conv {setting}` | {len(runs)} | {mean:.2%} ± {half_width:.2%} "
            f"| {seconds} | {training} | {imports} |"
        )
    reached, num_epochs_needed = example["test_accuracies"][-1], len(example["test_accuracies"])
    lines.append(
        f"| PyTorch's example, {num_epochs_needed} epochs | 1 | {reached:.2%} | {example['seconds']:.0f} | | |"
    )
    lines.append("")
    for target in TARGETS:
        times = [_mean(runs, "seconds") for runs in results.values() if _mean(runs, "test_accuracy") >= target]
        if not times:
            lines.append(f"A mean of {target:.2%}: not reached by these settings.")
        elif target == TARGETS[0]:
            ratio = example["seconds"] / min(times)
            lines.append(f"A mean of {target:.2%}: {min(times):.1f} s, {ratio:.0f} times as quick as the example.")
        else:
            lines.append(f"A mean of {target:.2%}: {min(times):.1f} s.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=at_least_one, default=5)
    parser.add_argument("--one", nargs=2, metavar=("SETTING", "SEED"), help="a single training, here")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train_one(options.one[0], int(options.one[1]))))
        return
    load_dataset("mnist", "train")  # fetched now, not within a measurement
    results: dict[str, list[dict[str, Any]]] = {setting: [] for setting in SETTINGS}
    turns = [(seed, setting) for seed in range(options.seeds) for setting in SETTINGS]
    for seed, setting in tqdm(turns, desc="fast_conv", disable=None, leave=False):
        results[setting].append(in_a_process("benchmarks.time_to_accuracy", "--one", setting, str(seed)))
    example = in_a_process("benchmarks.peers.pytorch_example", "--accuracy", str(TARGETS[0]))
    table = markdown(results, example)
    write("time_to_accuracy", {"device": str(DEVICE), "settings": results, "example": example, "table": table})
    print(table)


if __name__ == "__main__":
    main()
