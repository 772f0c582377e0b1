"""What the trainer costs over a bare loop: the same tensors, the same operations, no platform.

    python benchmarks/trainer_overhead.py [--pairs 5]

For each trainer an epoch of each in turn, pair by pair. `training` is the epoch's steps alone; `whole epoch` adds
validation on both sides, and on ours metrics.jsonl, checkpoints, TensorBoard and the progress bar.
Writes benchmarks/output/trainer_overhead.json.
"""

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.results import CPU, at_least_one, runs_to_throw_away, spread, write
from models.registry import build_model
from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.progress import Progress
from trainers.generic_trainers.tensorboard_log import TensorBoardLog
from trainers.specific_trainers import conv_trainer, fc_trainer
from utils.augmentation import transform
from utils.datasets import load_training_sets
from utils.devices import choose_precision, memory_format
from utils.image_set import ImageSet
from utils.run_folder import RunFolder

# Enough digits for an epoch of some seconds.
CASES = {"fc_trainer.py": (fc_trainer.RECIPE, 55_000), "conv_trainer.py": (conv_trainer.RECIPE, 11_000)}


class BareLoop:
    """What somebody would write by hand for this recipe, as fast as they can."""

    def __init__(self, trainer: BasicTrainer, train_set: ImageSet, validation_set: ImageSet, model_name: str) -> None:
        self.images, self.labels = train_set.images, train_set.labels
        self.val_images, self.val_labels = validation_set.images, validation_set.labels
        self.batch_size = trainer.config.batch_size
        self.bf16 = trainer.precision == "bf16"
        self.augmentation = trainer.augmentation
        self.model = build_model(model_name)
        self.model = self.model.to(memory_format=memory_format(self.model))
        self.optimizer = torch.optim.Adam(self.model.parameters(), trainer.config.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(0)

    def train_epoch(self) -> None:
        self.model.train()
        maps = self.augmentation.draw(len(self.labels), self.generator).split(self.batch_size)
        for index, batch_maps in zip(torch.randperm(len(self.labels)).split(self.batch_size), maps, strict=True):
            images = transform(self.images.index_select(0, index).unsqueeze(1).float().div_(255), batch_maps)
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
    """Seconds of an epoch here and in the bare loop, in turn, after one of each that does not count."""
    recipe, num_digits = CASES[name]
    config = replace(recipe.train, num_epochs=num_pairs + 1, device="cpu")
    whole, validation_set = load_training_sets(config.dataset, config.validation_size)
    train_set = whole.subset(torch.arange(num_digits), "benchmark")
    model = build_model(recipe.model)
    run = RunFolder.create(f"overhead-{recipe.model}", recipe.model, 0)
    trainer = BasicTrainer(
        model, config, train_set, validation_set, run, CPU, choose_precision(config.precision, CPU, model)
    )
    progress = Progress(config.num_epochs)
    trainer.observers = (progress, TensorBoardLog(run, []))
    bare = BareLoop(trainer, train_set, validation_set, recipe.model)
    pairs = []
    with progress.bar(trainer.steps_per_epoch, 0):
        for _ in range(num_pairs + 1):
            started = time.perf_counter()
            bare.train_epoch()
            trained = time.perf_counter()
            bare.validate()
            validated = time.perf_counter()
            trainer.fit_epoch()
            pairs.append(
                {
                    "bare_training": trained - started,
                    "bare_epoch": validated - started,
                    "our_training": trainer.rows[-1].epoch_seconds,
                    "our_epoch": time.perf_counter() - validated,
                }
            )
    pairs = pairs[1:]
    return {
        "trainer": name,
        "num_digits": num_digits,
        "pairs": pairs,
        "training_ratio": sorted(pair["our_training"] / pair["bare_training"] for pair in pairs),
        "epoch_ratio": sorted(pair["our_epoch"] / pair["bare_epoch"] for pair in pairs),
    }


def markdown(results: list[dict[str, Any]]) -> str:
    """The table of the README: medians, with the range of the pairs' ratios."""
    lines = [
        "| trainer | bare loop, s an epoch | training, ours / bare | whole epoch, ours / bare |",
        "|---|---|---|---|",
    ]
    for result in results:
        bare = statistics.median(pair["bare_training"] for pair in result["pairs"])
        ratios = [spread(values) for values in (result["training_ratio"], result["epoch_ratio"])]
        lines.append(f"| `{result['trainer']}`, {result['num_digits']:,} digits | {bare:.2f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=at_least_one, default=5)
    num_pairs = parser.parse_args().pairs
    with runs_to_throw_away():
        results = [measure(name, num_pairs) for name in CASES]
    write("trainer_overhead", {"results": results, "table": markdown(results)}, CPU)
    print(markdown(results))


if __name__ == "__main__":
    main()
