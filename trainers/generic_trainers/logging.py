"""The output of training: callbacks, the progress bar, the profiler, and the final report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, schedule
from tqdm import tqdm

from models.registry import num_parameters
from trainers.recipes import recipe_label
from utils.data.csv_digits import CsvName
from utils.files import program, shown
from utils.recipe import Execution, Recipe
from utils.run import EpochMetrics, Run
from utils.statistics import total_interval


@runtime_checkable
class Callback(Protocol):
    """Observes training. A callback can stop training only by raising an exception."""

    def step_done(self) -> None: ...

    def epoch_done(self, metrics: EpochMetrics) -> None: ...


class Progress:
    """A bar over all steps and a line per epoch. Silent until `shown`; without a terminal only the lines appear."""

    FIELDS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")

    def __init__(self, num_epochs: int, steps_per_epoch: int) -> None:
        self.num_epochs = num_epochs
        self.steps_per_epoch = steps_per_epoch
        self.bar: tqdm | None = None

    @contextmanager
    def shown(self, num_epochs_done: int = 0) -> Iterator[None]:
        """Shows the progress during the `with` block."""
        total, done = (num * self.steps_per_epoch for num in (self.num_epochs, num_epochs_done))
        with tqdm(total=total, initial=done, unit="step", disable=None, leave=False, mininterval=0.2) as self.bar:
            yield
        self.bar = None

    def step_done(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def epoch_done(self, metrics: EpochMetrics) -> None:
        self.epochs_done([metrics])

    def epochs_done(self, all_metrics: Sequence[EpochMetrics]) -> None:
        """A line for the same epoch of one or more networks: mean values and total time."""
        if self.bar is None or not all_metrics:
            return
        mean = {name: fmean(getattr(metrics, name) for metrics in all_metrics) for name in self.FIELDS}
        together = f"  mean of {len(all_metrics)}" if len(all_metrics) > 1 else ""
        tqdm.write(
            f"epoch {all_metrics[0].epoch:3d}/{self.num_epochs}{together}  "
            f"loss {mean['train_loss']:.4f}  accuracy {mean['train_accuracy']:.2%}  "
            f"validation loss {mean['val_loss']:.4f}  accuracy {mean['val_accuracy']:.2%}  "
            f"{sum(metrics.epoch_seconds for metrics in all_metrics):.1f} s"
        )


class Profiler:
    """A callback that records the operations of some steps as trace.json in the run, which https://ui.perfetto.dev
    shows."""

    WAIT, WARMUP, RECORDED = 2, 3, 20  # steps

    def __init__(self, run: Run, device: torch.device) -> None:
        self.path = run.path / "trace.json"
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        steps = schedule(wait=self.WAIT, warmup=self.WARMUP, active=self.RECORDED, repeat=1)
        self.profile = profile(activities=kinds, schedule=steps, on_trace_ready=self._save, record_shapes=True)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Records during the `with` block."""
        with self.profile:
            yield
        saved = self.path.exists()
        few = f"no profile: fewer than {self.WAIT + self.WARMUP + 1} steps"
        tqdm.write(f"profile: {shown(self.path)}, shown by https://ui.perfetto.dev" if saved else few)

    def step_done(self) -> None:
        self.profile.step()

    def epoch_done(self, metrics: EpochMetrics) -> None:
        pass

    def _save(self, recorded: profile) -> None:
        recorded.export_chrome_trace(str(self.path))


def describe_training(
    recipe: Recipe, model: nn.Module, execution: Execution, num_images: int, num_networks: int = 1
) -> str:
    """One line with the resolved execution, printed before training starts."""
    networks = f"{num_networks} networks of " if num_networks > 1 else ""
    backend = "by NumPy " if recipe.backend == "numpy" else ""
    plural = "" if execution.threads == 1 else "s"
    threads = f" ({execution.threads} thread{plural})" if execution.device == "cpu" else ""
    compiled = "" if execution.compile == "none" else f", {execution.compile}"
    label = recipe_label(recipe)
    name = label if recipe.model in label else f"{label} ({recipe.model})"
    return (
        f"{name}: {networks}{num_parameters(model):,} parameters, "
        f"{execution.precision} {backend}on {execution.device}{threads}{compiled}, {num_images:,} training images"
    )


# The final report.


def report_run(run: Run) -> None:
    """Prints the result of a finished run and where to look at it."""
    report_result(run)
    print(f"run: {shown(run.path)}\ncurves and pictures: {program('mnist')} tensorboard")


def report_result(run: Run) -> None:
    """Prints the evaluated epoch, the time and the accuracy."""
    summary = run.summary
    reason = "last epoch" if run.recipe.checkpoint == "last" else "best validation"
    print(
        f"kept epoch {summary.best_epoch} of {summary.num_epochs_run} ({reason}), "
        f"{summary.train_seconds:.1f} s of training, {summary.total_seconds:.1f} s in total\n"
        f"{_accuracy(run)}, loss {summary.test_loss:.4f}"
    )


def report_seed(run: Run) -> None:
    """Prints the result of one of several seeds."""
    print(f"seed {run.recipe.seed:>4}  {_accuracy(run)}  {shown(run.path)}")


def report_seeds(runs: Sequence[Run]) -> None:
    """Prints the mean accuracy of several seeds, with the total interval if there are enough."""
    if len(runs) > 1:
        predictions = [run.predictions("test") for run in runs]
        interval = total_interval(np.stack([it.is_correct for it in predictions]), predictions[0].writers)
        ends = f" ({interval.low:.2%} to {interval.high:.2%})" if interval.has_enough_seeds else ""
        seconds = sum(run.summary.train_seconds for run in runs)
        print(f"mean {_test_set(runs[0])} accuracy of {len(runs)} seeds {interval.value:.2%}{ends}, "
              f"{seconds:.1f} s of training")  # fmt: skip


def _accuracy(run: Run) -> str:
    predictions = run.predictions("test")
    num_correct, num_images = predictions.is_correct.sum(), len(predictions.labels)
    return f"{_test_set(run)} accuracy {predictions.accuracy:.2%} ({num_correct:,} of {num_images:,} correct)"


def _test_set(run: Run) -> str:
    """`held-out` if the test digits are a part of the labelled digits in CSV files, else `test`."""
    dataset = run.recipe.dataset
    return "held-out" if dataset.startswith("csv:") and not CsvName.parse(dataset).test_files else "test"
