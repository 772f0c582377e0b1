"""Overhead of BasicTrainer over a bare training loop with the same tensors and the same operations.

    python -m benchmarks.trainer_overhead [--pairs 5]

For each recipe, an epoch of the bare loop and an epoch of the trainer alternate. `training` counts only the steps;
`whole epoch` adds validation on both sides, and for the trainer metrics.jsonl, checkpoints, TensorBoard and the
progress bar. TensorBoard's part is also measured alone, as seconds of the processor: per epoch, and once per run.
Writes benchmarks/output/trainer_overhead.json.
"""

import statistics
import time
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.results import CPU, markdown_table, runs_to_throw_away, script_parser, spread, write
from models.registry import build_model
from trainers import BasicTrainer, Execution
from trainers.generic_trainers.tensorboard_log import TensorBoardLog
from trainers.recipes import get_recipe
from trainers.train import DataSplits, evaluate_and_write, initial_model
from utils.data.datasets import ImageSet, load_dataset, load_training_sets
from utils.run import EpochMetrics, Run
from utils.runtime import describe_environment, memory_format

CASES = {"fc": 55_000, "conv": 11_000}  # recipe -> training images, enough for an epoch of a few seconds
PARTS = ("training", "epoch")  # of a pair of measurements


class TimedLog(TensorBoardLog):
    """Measures the processor time of TensorBoard's events."""

    def __init__(self, trainer: BasicTrainer, run: Run) -> None:
        started = time.process_time()
        super().__init__(run, trainer.execution, trainer.model, trainer)
        self.run_seconds = time.process_time() - started
        self.epoch_seconds: list[float] = []

    def epoch_done(self, metrics: EpochMetrics) -> None:
        started = time.process_time()
        super().epoch_done(metrics)
        self.epoch_seconds.append(time.process_time() - started)

    def finish(self, *arguments: Any) -> None:
        started = time.process_time()
        super().finish(*arguments)
        self.run_seconds += time.process_time() - started


class BareLoop:
    """A fast hand-written loop for the trainer's recipe."""

    def __init__(self, trainer: BasicTrainer, train_set: ImageSet, validation_set: ImageSet) -> None:
        self.images, self.labels = train_set.images, train_set.labels
        self.val_images, self.val_labels = validation_set.images, validation_set.labels
        self.batch_size = trainer.recipe.batch_size
        self.bf16 = trainer.execution.precision == "bf16"
        self.augmentation = trainer.augmentation
        self.model = build_model(trainer.recipe.model)
        self.model = self.model.to(memory_format=memory_format(self.model))
        self.optimizer = torch.optim.Adam(self.model.parameters(), trainer.recipe.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(0)

    def train_epoch(self) -> None:
        self.model.train()
        maps = self.augmentation.draw_maps(len(self.labels), self.generator).split(self.batch_size)
        for index, batch_maps in zip(torch.randperm(len(self.labels)).split(self.batch_size), maps, strict=True):
            pixels = self.images.index_select(0, index).unsqueeze(1).float().div_(255)
            images = self.augmentation.apply(pixels, batch_maps, self.generator)
            self.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                logits = self.model(images)
            F.cross_entropy(logits.float(), self.labels.index_select(0, index)).backward()
            self.optimizer.step()

    @torch.no_grad()
    def validate(self) -> float:
        self.model.eval()
        num_correct = 0
        for images, labels in zip(self.val_images.split(500), self.val_labels.split(500), strict=True):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                logits = self.model(images.unsqueeze(1).float().div_(255))
            num_correct += int((logits.argmax(1) == labels).sum())
        return num_correct / len(self.val_labels)


def measure(name: str, num_pairs: int) -> dict[str, Any]:
    """Seconds per epoch of the bare loop and of the trainer, in turn, after a first pair that is discarded."""
    num_images = CASES[name]
    recipe = replace(get_recipe(name), num_epochs=num_pairs + 1)
    whole, validation_set = load_training_sets(recipe.dataset, recipe.validation_size, validation=recipe.validation)
    train_set = whole.subset(torch.arange(num_images), "benchmark")
    trainer = BasicTrainer(initial_model(recipe), train_set, validation_set, recipe, Execution(device="cpu"))
    trainer.run = Run.create(f"overhead-{name}", recipe, describe_environment(trainer.execution))
    log = TimedLog(trainer, trainer.run)
    trainer.callbacks.append(log)
    bare = BareLoop(trainer, train_set, validation_set)
    pairs = []
    with trainer.progress.shown():
        for _ in range(num_pairs + 1):
            started = time.perf_counter()
            bare.train_epoch()
            trained = time.perf_counter()
            bare.validate()
            validated = time.perf_counter()
            metrics = trainer.train_epoch()
            pairs.append(
                {
                    "bare_training": trained - started,
                    "bare_epoch": validated - started,
                    "our_training": metrics.epoch_seconds,
                    "our_epoch": time.perf_counter() - validated,
                }
            )
    splits = DataSplits(train_set, validation_set, load_dataset(recipe.dataset, "test"))
    evaluate_and_write(trainer.run, trainer.metrics, splits, trainer.execution, log, trainer.seconds)
    tensorboard = {"epoch": statistics.median(log.epoch_seconds), "run": log.run_seconds}
    return {"recipe": name, "num_digits": num_images, "pairs": pairs[1:], "tensorboard_seconds": tensorboard}


def markdown(values: dict[str, Any]) -> str:
    """The table of the README: medians, and the ratios of the pairs with their range."""
    header = ["recipe", "bare loop, s per epoch", "training, ours / bare", "whole epoch, ours / bare"]
    rows = []
    for result in values["results"]:
        pairs = result["pairs"]
        bare = statistics.median(pair["bare_training"] for pair in pairs)
        ratios = [spread([pair[f"our_{part}"] / pair[f"bare_{part}"] for pair in pairs]) for part in PARTS]
        rows.append([f"`{result['recipe']}`, {result['num_digits']:,} digits", f"{bare:.2f}", *ratios])
    if all("tensorboard_seconds" in result for result in values["results"]):  # not measured before 2026-11-21
        header += ["TensorBoard, ms per epoch", "TensorBoard, ms per run"]
        for row, result in zip(rows, values["results"], strict=True):
            row += [f"{1000 * result['tensorboard_seconds'][part]:.1f}" for part in ("epoch", "run")]
    return markdown_table(header, rows)


def main() -> None:
    num_pairs = script_parser(__doc__, pairs=5).parse_args().pairs
    with runs_to_throw_away():
        values = {"results": [measure(name, num_pairs) for name in CASES]}
    write("trainer_overhead", values, CPU)
    print(markdown(values))


if __name__ == "__main__":
    main()
