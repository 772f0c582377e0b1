"""What a training shows while it runs: a bar over all steps and a line an epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean

from tqdm import tqdm

from utils.run_folder import EpochMetrics

SHOWN = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


class Progress:
    """An observer of the trainer: it only looks. Without a terminal there are the lines alone."""

    def __init__(self, num_epochs: int) -> None:
        self.num_epochs = num_epochs
        self.steps: tqdm | None = None

    @contextmanager
    def bar(self, steps_per_epoch: int, num_epochs_done: int) -> Iterator[None]:
        """Shows the bar while the training goes on in the `with` block."""
        total = self.num_epochs * steps_per_epoch
        done = num_epochs_done * steps_per_epoch
        with tqdm(total=total, initial=done, unit="step", disable=None, leave=False, mininterval=0.2) as self.steps:
            yield

    def step_done(self) -> None:
        if self.steps is not None:
            self.steps.update()

    def epoch_done(self, row: EpochMetrics) -> None:
        self.epochs_done([row])

    def epochs_done(self, rows: list[EpochMetrics]) -> None:
        """A line for the same epoch of one or several networks: their means, and the time of all."""
        if not rows:
            return
        mean = {name: fmean(getattr(row, name) for row in rows) for name in SHOWN}
        together = f"  mean of {len(rows)}" if len(rows) > 1 else ""
        tqdm.write(
            f"epoch {rows[0].epoch:3d}/{self.num_epochs}{together}  "
            f"loss {mean['train_loss']:.4f}  accuracy {mean['train_accuracy']:.2%}  "
            f"validation loss {mean['val_loss']:.4f}  accuracy {mean['val_accuracy']:.2%}  "
            f"{sum(row.epoch_seconds for row in rows):.1f} s"
        )
