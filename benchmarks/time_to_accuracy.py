"""Time to a good network: the recipe fast_conv with fewer epochs, over several seeds, and PyTorch's MNIST example.

    python -m benchmarks.time_to_accuracy [--seeds 5]

Each training run is a fresh process. Its time covers data loading, training, validation, checkpoints and TensorBoard,
up to the last checkpoint; imports are listed separately. The time of the example excludes its evaluation.
Writes benchmarks/output/time_to_accuracy.json.
"""

import json
import statistics
import time
from typing import Any

STARTED = time.perf_counter()

import sklearn.model_selection  # noqa: E402, F401 - the platform imports it late; here it is timed too
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from benchmarks.results import (  # noqa: E402
    DEVICE,
    in_a_process,
    markdown_table,
    runs_to_throw_away,
    script_parser,
    spread,
    write,
)
from trainers.train import train  # noqa: E402
from utils.data import load_dataset  # noqa: E402
from utils.statistics import mean_interval  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - STARTED
# Options of `mnist train fast_conv` -> the same as changes of the recipe.
SETTINGS: dict[str, dict[str, Any]] = {
    "--num-epochs 1 --train-size 40000": {"num_epochs": 1, "train_size": 40_000},
    "--num-epochs 3": {"num_epochs": 3},
    "--num-epochs 8": {"num_epochs": 8},
}
TARGETS = (0.99, 0.995, 0.9965)  # the example stops at the first


def train_one(setting: str, seed: int) -> dict[str, float]:
    """One training run of fast_conv in this process."""
    with runs_to_throw_away():
        run = train("fast_conv", seed=seed, **SETTINGS[setting])
        return {
            "import_seconds": IMPORT_SECONDS,
            "seconds": torch.load(run.last_checkpoint, weights_only=True)["seconds"],
            "train_seconds": run.summary.train_seconds,
            "val_accuracy": run.summary.val_accuracy,
            "test_accuracy": run.summary.test_accuracy,
        }


def markdown(values: dict[str, Any]) -> str:
    """The table of the README: mean accuracy with 95 % confidence interval, median seconds with range. Below it, the
    mean seconds of the fastest setting that reaches each target."""
    rows, means = [], []
    for setting, runs in values["settings"].items():
        columns = {key: [run[key] for run in runs] for key in runs[0]}
        times = [spread(columns[key], 1) for key in ("seconds", "train_seconds", "import_seconds")]
        accuracy, margin = mean_interval(columns["test_accuracy"])
        rows.append([f"`mnist train fast_conv {setting}`", str(len(runs)), f"{accuracy:.2%} ± {margin:.2%}", *times])
        means.append((statistics.fmean(columns["seconds"]), accuracy))
    example = values["example"]
    accuracies, seconds = example["test_accuracies"], example["seconds"]
    name = f"PyTorch's example, {len(accuracies)} epochs"
    rows.append([name, "1", f"{accuracies[-1]:.2%}", f"{seconds:.0f}", "", ""])
    lines = []
    for target in TARGETS:
        fastest = min((time for time, accuracy in means if accuracy >= target), default=None)
        found = "not reached by these settings" if fastest is None else f"{fastest:.1f} s"
        if fastest is not None and target == TARGETS[0]:
            found += f", {seconds / fastest:.0f} times faster than the example"
        lines.append(f"Mean accuracy {target:.2%}: {found}.")
    header = ("recipe", "n", "test accuracy", "seconds with data loading", "training, s", "imports, s")
    return "\n".join([markdown_table(header, rows), "", *lines])


def main() -> None:
    parser = script_parser(__doc__, seeds=5)
    parser.add_argument("--one", nargs=2, metavar=("SETTING", "SEED"), help="a single training run in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train_one(options.one[0], int(options.one[1]))))
        return
    load_dataset("mnist", "train")  # downloaded before the first measurement
    results: dict[str, list[dict[str, Any]]] = {setting: [] for setting in SETTINGS}
    turns = [(seed, setting) for seed in range(options.seeds) for setting in SETTINGS]
    for seed, setting in tqdm(turns, desc="fast_conv", disable=None, leave=False):
        results[setting].append(in_a_process("benchmarks.time_to_accuracy", "--one", setting, str(seed)))
    example = in_a_process("benchmarks.pytorch_example", "--accuracy", str(TARGETS[0]))
    values = {"device": str(DEVICE), "settings": results, "example": example}
    write("time_to_accuracy", values)
    print(markdown(values))


if __name__ == "__main__":
    main()
