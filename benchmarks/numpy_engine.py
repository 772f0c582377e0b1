"""The NumPy engine against torch: the same networks, the same batches of 64, fp32 on the CPU.

    python benchmarks/numpy_engine.py [--rounds 3]

Seconds of an epoch are those of its training steps on the 55,000 digits that are not held out, scaled to 60,000,
both engines in turn; then a training of five epochs by each, as 'mnist scratch train' does it.
Writes benchmarks/output/numpy_engine.json.
"""

import argparse
import statistics
from dataclasses import replace
from typing import Any

from benchmarks.results import CPU, at_least_one, runs_to_throw_away, spread, write
from trainers.generic_trainers.training_run import train
from trainers.recipe import Engine, Recipe
from trainers.scratch_command import CONFIG

MODELS = ("C(8,5)-P2-C(16,3)-P2-FC128-FC10", "C(16,3)-P2-C(32,3)-P2-C(64,3)-P2-FC512-FC10")
ENGINES: tuple[Engine, ...] = ("numpy", "torch")
NUM_EPOCHS = 5
NUM_DIGITS = 60_000


def trained(model: str, engine: Engine, num_epochs: int) -> dict[str, Any]:
    """Seconds of each epoch of 60,000 digits, and the test accuracy."""
    config = replace(CONFIG, engine=engine, num_epochs=num_epochs, device="cpu", precision="fp32")
    with runs_to_throw_away():
        run, summary = train(Recipe(model, config))
        seconds = [NUM_DIGITS / row.images_per_second for row in run.rows()]
    return {"seconds": seconds, "test_accuracy": summary["test_accuracy"]}


def measure(model: str, num_rounds: int) -> dict[str, Any]:
    """Both engines: an epoch of each in turn, `num_rounds` times, then the long trainings."""
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(num_rounds):
        for engine in ENGINES:
            seconds[engine] += trained(model, engine, 1)["seconds"]
    accuracies = {engine: trained(model, engine, NUM_EPOCHS)["test_accuracy"] for engine in ENGINES}
    return {"model": model, "seconds": seconds, "test_accuracy": accuracies}


def markdown(results: list[dict[str, Any]]) -> str:
    """The table of the README."""
    lines = [
        f"| network | NumPy, s an epoch | torch, s an epoch | ratio | test after {NUM_EPOCHS} epochs: NumPy | torch |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        ours, theirs = (result["seconds"][engine] for engine in ENGINES)
        ratio = statistics.median(ours) / statistics.median(theirs)
        accuracies = " | ".join(f"{result['test_accuracy'][engine]:.2%}" for engine in ENGINES)
        lines.append(f"| `{result['model']}` | {spread(ours)} | {spread(theirs)} | {ratio:.1f} | {accuracies} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=at_least_one, default=3)
    num_rounds = parser.parse_args().rounds
    results = [measure(model, num_rounds) for model in MODELS]
    write("numpy_engine", {"results": results, "table": markdown(results)}, CPU)
    print(f"\n{markdown(results)}")


if __name__ == "__main__":
    main()
