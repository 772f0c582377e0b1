"""The NumPy backend against torch: the same networks, the same batches of 64, fp32 on the CPU.

    python -m benchmarks.numpy_backend [--rounds 3]

An epoch is the training steps on the 55,000 training images, scaled to 60,000; both backends take turns. Afterwards
each backend trains for five epochs. Writes benchmarks/output/numpy_backend.json.
"""

import statistics
from typing import Any

from benchmarks.results import CPU, markdown_table, runs_to_throw_away, script_parser, spread, write
from trainers.train import train
from utils.recipe import Backend, Execution, Recipe

MODELS = ("C(8,5)-P2-C(16,3)-P2-FC128-FC10", "C(16,3)-P2-C(32,3)-P2-C(64,3)-P2-FC512-FC10")
BACKENDS: tuple[Backend, ...] = ("numpy", "torch")
NUM_EPOCHS = 5
NUM_DIGITS = 60_000


def trained(model: str, backend: Backend, num_epochs: int) -> dict[str, Any]:
    """Seconds of each epoch of 60,000 images, and the test accuracy."""
    recipe = Recipe(model, backend=backend, num_epochs=num_epochs, schedule="cosine")
    with runs_to_throw_away():
        run = train(recipe, execution=Execution(device="cpu", precision="fp32"))
        seconds = [NUM_DIGITS / row.images_per_second for row in run.metrics]
        return {"seconds": seconds, "test_accuracy": run.summary.test_accuracy}


def measure(model: str, num_rounds: int) -> dict[str, Any]:
    """`num_rounds` times one epoch of each backend in turn, then the long training runs."""
    seconds: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    for _ in range(num_rounds):
        for backend in BACKENDS:
            seconds[backend] += trained(model, backend, 1)["seconds"]
    accuracies = {backend: trained(model, backend, NUM_EPOCHS)["test_accuracy"] for backend in BACKENDS}
    return {"model": model, "seconds": seconds, "test_accuracy": accuracies}


def markdown(values: dict[str, Any]) -> str:
    """The table of the README."""
    accuracy = f"test accuracy after {NUM_EPOCHS} epochs: NumPy"
    rows = []
    for result in values["results"]:
        ours, theirs = (result["seconds"][backend] for backend in BACKENDS)
        ratio = statistics.median(ours) / statistics.median(theirs)
        accuracies = [f"{result['test_accuracy'][backend]:.2%}" for backend in BACKENDS]
        rows.append([f"`{result['model']}`", spread(ours), spread(theirs), f"{ratio:.1f}", *accuracies])
    return markdown_table(("network", "NumPy, s per epoch", "torch, s per epoch", "ratio", accuracy, "torch"), rows)


def main() -> None:
    num_rounds = script_parser(__doc__, rounds=3).parse_args().rounds
    values = {"results": [measure(model, num_rounds) for model in MODELS]}
    write("numpy_backend", values, CPU)
    print(f"\n{markdown(values)}")


if __name__ == "__main__":
    main()
