"""What a training shows while it runs: a bar over all steps and a line an epoch."""

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from utils.run_folder import EpochMetrics


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
        tqdm.write(
            f"epoch {row.epoch:3d}/{self.num_epochs}  loss {row.train_loss:.4f}  accuracy {row.train_accuracy:.2%}  "
            f"validation loss {row.val_loss:.4f}  accuracy {row.val_accuracy:.2%}  {row.epoch_seconds:.1f} s"
        )
