"""The cost of sweeps besides training: time outside the runs with each executor, and commands over many runs.

python -m benchmarks.sweep_scale      # five minutes; Ray is included if it is installed
"""

import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.results import CPU, markdown_table, runs_to_throw_away, script_parser, write
from study.sweeps.executors import Executor, LocalExecutor
from study.sweeps.job import Job
from utils.errors import exit_on_user_error
from utils.files import runs_folder
from utils.recipe import Recipe
from utils.run import Run

RECORDED = (10, 1_000, 10_000)  # numbers of runs with a measurement
EXTRAPOLATED = 100_000  # number of runs with an extrapolation from the last two measurements
NUM_WARM_UP = 2  # first runs of an executor, which do not count


def measure_executor(executor: Executor, count: int) -> dict[str, float]:
    """Seconds of a run, of its training, and outside it: the time between two outcomes minus the later run's time."""
    recipe = Recipe("linear", dataset="digits", num_epochs=1)
    jobs = [Job(replace(recipe, learning_rate=1e-3 * 1.002**number), (0,)) for number in range(count)]
    seconds, gaps = [], []
    before = time.perf_counter()
    for outcome in executor.run(jobs, float("inf")):
        now = time.perf_counter()
        seconds.append(outcome.seconds)
        gaps.append(now - before - outcome.seconds)
        before = now
    executor.close()
    training = [job.run(0).summary.train_seconds for job in jobs]
    return {
        "run": statistics.median(seconds[NUM_WARM_UP:]),
        "training": statistics.median(training[NUM_WARM_UP:]),
        "outside": statistics.fmean(gaps[NUM_WARM_UP:]),
    }


def measure_listing(count: int, original: Run) -> dict[str, float]:
    """Seconds of `mnist runs` and `mnist compare` with this number of runs, in groups of five seeds."""
    with runs_to_throw_away():
        for number in range(count):
            group, seed = divmod(number, 5)
            folder = runs_folder() / f"linear-{group:06x}-s{seed}"
            shutil.copytree(original.path, folder)
            recipe = Recipe("linear", dataset="digits", learning_rate=1e-4 * (1 + group), seed=seed)
            (folder / "config.json").write_text(json.dumps(recipe.to_json()))
            (folder / "summary.json").write_text(json.dumps({**asdict(original.summary), "seed": seed}))
        size = sum(file.stat().st_size for file in runs_folder().rglob("*") if file.is_file())
        compare = ["compare", "--output", str(runs_folder().parent / "out")]
        return {"count": count, "runs": _seconds(["runs"]), "compare": _seconds(compare), "megabytes": size / 1e6}


def _seconds(arguments: list[str]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mnist", *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def executors_table(values: dict[str, Any]) -> str:
    header = ("executor", "a run of `linear`, one epoch, ms", "its training, ms", "outside the run, ms",
              "outside 10,000 runs, s")  # fmt: skip
    rows = []
    for name, seconds in values["executors"].items():
        run, training, outside = (1000 * seconds[part] for part in ("run", "training", "outside"))
        rows.append([name, f"{run:.0f}", f"{training:.0f}", f"{outside:.1f}", f"{10 * outside:.0f} (extrapolated)"])
    return markdown_table(header, rows)


def listing_table(values: dict[str, Any]) -> str:
    """One row per number of runs, and a linear extrapolation of the last two."""
    header = ("runs", "`mnist runs`, s", "`mnist compare` with its page, s", "`runs/` of `linear`, MB")
    measured = [[row[key] for key in ("count", "runs", "compare", "megabytes")] for row in values["listing"]]
    rows = [[f"{count:,}", f"{runs:.1f}", f"{compare:.1f}", f"{size:,.0f}"] for count, runs, compare, size in measured]
    few, many = measured[-2:]
    share = (EXTRAPOLATED - few[0]) / (many[0] - few[0])
    further = [f"{low + share * (high - low):,.0f}" for low, high in zip(few[1:], many[1:], strict=True)]
    return markdown_table(header, [*rows, [f"{EXTRAPOLATED:,} (linear extrapolation)", *further]])


def main() -> None:
    parser = script_parser(__doc__, runs=200)
    count = parser.parse_args().runs
    if count <= NUM_WARM_UP:
        parser.error(f"--runs: expected more than {NUM_WARM_UP}")
    executors: dict[str, dict[str, float]] = {}
    with exit_on_user_error():
        with runs_to_throw_away():
            executors["local"] = measure_executor(LocalExecutor(), count)
            copy = shutil.copytree(Run.finished()[0].path, runs_folder().parent / "original")
            listing: list[Any] = [measure_listing(number, Run(Path(copy))) for number in RECORDED]
        if importlib.util.find_spec("ray"):
            from study.sweeps.ray_executor import RayExecutor, Resources

            with runs_to_throw_away():
                executors["ray"] = measure_executor(RayExecutor(None, Resources(None, 0)), count)
    values = {"executors": executors, "listing": listing}
    write("sweep_scale", values, CPU)
    print(f"{executors_table(values)}\n\n{listing_table(values)}")


if __name__ == "__main__":
    main()
