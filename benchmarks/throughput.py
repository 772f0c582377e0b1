"""Digits judged a second, and networks trained an hour: together against one after the other.

    python benchmarks/throughput.py [--rounds 3]

Writes benchmarks/output/throughput.json.
"""

import argparse
import contextlib
import io
import statistics
import time
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from benchmarks.results import DEVICE, at_least_one, runs_to_throw_away, spread, write
from models.registry import build_model
from trainers.generic_trainers import training_run
from trainers.recipe import Recipe
from trainers.specific_trainers import fc_trainer, linear_trainer
from utils.datasets import load_dataset
from utils.devices import memory_format, synchronize
from utils.evaluation import predict_logits

MODELS = ("linear", "standard_fc", "two_conv", "fast_conv", "standard_conv")
TRAINERS = {"linear_trainer.py": linear_trainer.RECIPE, "fc_trainer.py": fc_trainer.RECIPE}
NUM_SEEDS = 32 if DEVICE.type == "cuda" else 8
NUM_EPOCHS = 2


def images_per_second(model_name: str, num_rounds: int) -> list[float]:
    """Test digits whose logits are had in a second, fp32, pixels to float included."""
    model = build_model(model_name).to(DEVICE)
    model = model.to(memory_format=memory_format(model))
    images = load_dataset("mnist", "test").images.to(DEVICE)
    speeds = []
    for _ in range(num_rounds + 1):
        started = time.perf_counter()
        predict_logits(model, images, DEVICE)
        synchronize(DEVICE)
        speeds.append(len(images) / (time.perf_counter() - started))
    return speeds[1:]


def seconds_of(recipe: Recipe, stacked: bool) -> float:
    """Wall clock of all seeds in one process, with the loading of the data and all that a run writes."""
    size = contextlib.nullcontext() if stacked else patch.object(training_run, "stack_size", return_value=1)
    started = time.perf_counter()
    with size, runs_to_throw_away(), contextlib.redirect_stdout(io.StringIO()):
        training_run.train_seeds(recipe, range(NUM_SEEDS))
    return time.perf_counter() - started


def seeds_at_once(name: str, num_rounds: int) -> dict[str, Any]:
    """The same seeds together and one after the other, in turn."""
    recipe = Recipe(TRAINERS[name].model, replace(TRAINERS[name].train, num_epochs=NUM_EPOCHS))
    rounds = [
        {"together": seconds_of(recipe, stacked=True), "alone": seconds_of(recipe, stacked=False)}
        for _ in range(num_rounds)
    ]
    return {"trainer": name, "num_seeds": NUM_SEEDS, "num_epochs": NUM_EPOCHS, "rounds": rounds}


def markdown(inference: dict[str, list[float]], seeds: list[dict[str, Any]]) -> str:
    """The tables of the README."""
    lines = ["| network | digits a second, fp32 |", "|---|---|"]
    lines += [f"| `{name}` | {statistics.median(speeds):,.0f} |" for name, speeds in inference.items()]
    lines += [
        "",
        f"| {NUM_SEEDS} seeds, {NUM_EPOCHS} epochs each | networks an hour, together | one at a time | ratio |",
        "|---|---|---|---|",
    ]
    for result in seeds:
        hourly = {
            way: statistics.median(3600 * result["num_seeds"] / one[way] for one in result["rounds"])
            for way in ("together", "alone")
        }
        ratios = spread([one["alone"] / one["together"] for one in result["rounds"]])
        lines.append(f"| `{result['trainer']}` | {hourly['together']:,.0f} | {hourly['alone']:,.0f} | {ratios} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=at_least_one, default=3)
    num_rounds = parser.parse_args().rounds
    inference = {name: images_per_second(name, num_rounds) for name in MODELS}
    seeds = [seeds_at_once(name, num_rounds) for name in TRAINERS]
    table = markdown(inference, seeds)
    write("throughput", {"device": str(DEVICE), "inference": inference, "seeds": seeds, "table": table})
    print(table)


if __name__ == "__main__":
    main()
