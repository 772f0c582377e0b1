"""What sweeps cost besides training: time outside the runs by either engine, and how runs/ behaves as it grows.

python benchmarks/sweep_scale.py      # five minutes; Ray's line where Ray is installed
"""

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.results import CPU, at_least_one, runs_to_throw_away, write
from study.sweeps.engines import Engine, LocalEngine
from study.sweeps.job import Job
from trainers.recipe import Recipe, TrainConfig
from utils.errors import exit_on_user_error
from utils.paths import runs_folder

RECORDED = (10, 1_000, 10_000)  # runs whose listing is timed
RECKONED = 100_000  # and those for which it is reckoned from the last two
FIRST = 2  # runs that are left out: the engine is still starting


def measure_engine(engine: Engine, count: int) -> dict[str, float]:
    """Seconds a run and, of these, outside it: the gap between two outcomes less what the later one took."""
    rates = [1e-3 * 1.002**number for number in range(count)]
    configs = [TrainConfig(dataset="digits", num_epochs=1, learning_rate=rate) for rate in rates]
    jobs = [Job(Recipe("linear", config), (0,)) for config in configs]
    seconds, gaps = [], []
    before = time.perf_counter()
    for outcome in engine.run(jobs, float("inf")):
        now = time.perf_counter()
        seconds.append(outcome.seconds)
        gaps.append(now - before - outcome.seconds)
        before = now
    engine.close()
    trained = [job.run(0).summary()["train_seconds"] for job in jobs]
    return {
        "run": statistics.median(seconds[FIRST:]),
        "training": statistics.median(trained[FIRST:]),
        "outside": statistics.fmean(gaps[FIRST:]),
    }


def measure_listing(count: int, original: Path) -> dict[str, float]:
    """Seconds of `mnist runs` and of the comparison's page with so many runs recorded, in groups of five seeds."""
    with runs_to_throw_away():
        for number in range(count):
            folder = runs_folder() / f"linear-{number // 5:06x}-s{number % 5}"
            shutil.copytree(original, folder)
            train = asdict(TrainConfig(dataset="digits", learning_rate=1e-4 * (1 + number // 5), seed=number % 5))
            (folder / "config.json").write_text(json.dumps({"model": "linear", "train": train}))
            summary = json.loads((folder / "summary.json").read_text())
            (folder / "summary.json").write_text(json.dumps({**summary, "seed": number % 5}))
        size = sum(file.stat().st_size for file in runs_folder().rglob("*") if file.is_file())
        page = ["compare", "--output", str(runs_folder().parent / "out")]
        return {"count": count, "runs": _seconds(["runs"]), "compare": _seconds(page), "megabytes": size / 1e6}


def _seconds(arguments: list[str]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mnist", *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def engines_table(measured: dict[str, dict[str, float]]) -> str:
    lines = [
        "| engine | a run of `linear`, one epoch, ms | of that training, ms | outside it, ms | of 10,000 runs, s |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {1000 * values['run']:.0f} | {1000 * values['training']:.0f} | {1000 * values['outside']:.1f} "
        f"| {10_000 * values['outside']:.0f} (reckoned) |"
        for name, values in measured.items()
    ]
    return "\n".join(lines)


def listing_table(measured: list[dict[str, float]]) -> str:
    lines = [
        "| runs recorded | `mnist runs`, s | `mnist compare` with its page, s | `runs/` of `linear`, MB |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {values['count']:,} | {values['runs']:.1f} | {values['compare']:.1f} | {values['megabytes']:,.0f} |"
        for values in measured
    ]
    few, many = measured[-2:]
    share = (RECKONED - few["count"]) / (many["count"] - few["count"])
    runs, compare, megabytes = (few[key] + share * (many[key] - few[key]) for key in ("runs", "compare", "megabytes"))
    lines.append(f"| {RECKONED:,} (reckoned, in proportion) | {runs:.0f} | {compare:.0f} | {megabytes:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=at_least_one, default=200)
    count = parser.parse_args().runs
    if count <= FIRST:
        parser.error(f"--runs: expected more than {FIRST}")
    engines: dict[str, dict[str, float]] = {}
    with exit_on_user_error():
        with runs_to_throw_away():
            engines["local"] = measure_engine(LocalEngine(), count)
            original = shutil.copytree(next(runs_folder().iterdir()), Path(runs_folder().parent / "original"))
            listing: list[Any] = [measure_listing(number, original) for number in RECORDED]
        if importlib.util.find_spec("ray"):
            from study.sweeps.ray_engine import RayEngine, Resources

            with runs_to_throw_away():
                engines["ray"] = measure_engine(RayEngine(None, Resources(None, 0)), count)
    write("sweep_engines", {"measured": engines, "table": engines_table(engines)}, CPU)
    write("sweep_listing", {"measured": listing, "table": listing_table(listing)}, CPU)
    print(f"{engines_table(engines)}\n\n{listing_table(listing)}")


if __name__ == "__main__":
    main()
