"""Inference speed in images per second, and networks trained per hour: several seeds together or one after the other.

    python -m benchmarks.throughput [--rounds 3]

Writes benchmarks/output/throughput.json.
"""

import contextlib
import io
import statistics
import time
from dataclasses import replace
from typing import Any

from benchmarks.results import DEVICE, markdown_table, runs_to_throw_away, script_parser, spread, write
from models import build_model
from trainers.recipes import get_recipe
from trainers.train import load_splits, train_seeds
from utils.data import load_dataset
from utils.evaluation import predict_logits
from utils.recipe import Recipe
from utils.runtime import memory_format, synchronize

MODELS = ("linear", "standard_fc", "two_conv", "fast_conv", "standard_conv")
RECIPES = ("linear", "fc")
NUM_SEEDS = 32 if DEVICE.type == "cuda" else 8
NUM_EPOCHS = 2


def images_per_second(model_name: str, num_rounds: int) -> list[float]:
    """Speed of the logits of the test set in fp32, including the conversion of pixels to float."""
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


def training_seconds(recipe: Recipe, together: bool) -> float:
    """Wall-clock time of all seeds in one process, including data loading and all files of the runs."""
    started = time.perf_counter()
    with runs_to_throw_away(), contextlib.redirect_stdout(io.StringIO()):
        splits = load_splits(recipe)
        batches = [range(NUM_SEEDS)] if together else [[seed] for seed in range(NUM_SEEDS)]
        for seeds in batches:
            train_seeds(recipe, seeds, splits=splits)
    return time.perf_counter() - started


def measure_seeds(name: str, num_rounds: int) -> dict[str, Any]:
    """The same seeds of a registered recipe, trained together and one after the other, in turn."""
    recipe = replace(get_recipe(name), num_epochs=NUM_EPOCHS)
    rounds = [
        {"together": training_seconds(recipe, together=True), "alone": training_seconds(recipe, together=False)}
        for _ in range(num_rounds)
    ]
    return {"recipe": name, "num_seeds": NUM_SEEDS, "num_epochs": NUM_EPOCHS, "rounds": rounds}


def markdown(values: dict[str, Any]) -> str:
    """The tables of the README."""
    inference = [[f"`{name}`", f"{statistics.median(speeds):,.0f}"] for name, speeds in values["inference"].items()]
    training = []
    for result in values["seeds"]:
        hourly = [
            f"{statistics.median(3600 * result['num_seeds'] / one[way] for one in result['rounds']):,.0f}"
            for way in ("together", "alone")
        ]
        ratios = spread([one["alone"] / one["together"] for one in result["rounds"]])
        training.append([f"`{result['recipe']}`", *hourly, ratios])
    seeds = f"{values['seeds'][0]['num_seeds']} seeds, {values['seeds'][0]['num_epochs']} epochs each"
    header = (seeds, "networks per hour, together", "one after the other", "ratio")
    return markdown_table(("network", "images per second, fp32"), inference) + "\n\n" + markdown_table(header, training)


def main() -> None:
    num_rounds = script_parser(__doc__, rounds=3).parse_args().rounds
    inference = {name: images_per_second(name, num_rounds) for name in MODELS}
    seeds = [measure_seeds(name, num_rounds) for name in RECIPES]
    values = {"device": str(DEVICE), "inference": inference, "seeds": seeds}
    write("throughput", values)
    print(markdown(values))


if __name__ == "__main__":
    main()
