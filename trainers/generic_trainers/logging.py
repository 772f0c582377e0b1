"""The output of training: callbacks, the progress bar, TensorBoard, and the final report."""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from statistics import fmean
from typing import Protocol, runtime_checkable

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from models.layers import first_layer_filters
from models.registry import num_parameters
from trainers.recipes import recipe_label
from utils.data.csv_digits import CsvName
from utils.data.datasets import ImageSet
from utils.figures import confusion_matrix_figure, filters_figure, predictions_figure
from utils.files import program, shown
from utils.predictions import Predictions
from utils.recipe import Execution, Recipe
from utils.run import EpochMetrics, Run, RunSummary
from utils.statistics import mean_interval


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
    print(f"run: {shown(run.path)}\ncurves and pictures: {program('tensorboard')} --logdir {shown(run.path.parent)}")


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
    """Prints the mean accuracy of several seeds with its confidence interval."""
    if len(runs) > 1:
        mean, half_width = mean_interval([run.summary.test_accuracy for run in runs])
        seconds = sum(run.summary.train_seconds for run in runs)
        print(f"mean {_test_set(runs[0])} accuracy of {len(runs)} seeds {mean:.2%} ± {half_width:.2%}, "
              f"{seconds:.1f} s of training")  # fmt: skip


def _accuracy(run: Run) -> str:
    predictions = run.predictions("test")
    num_correct, num_images = predictions.is_correct.sum(), len(predictions.labels)
    return f"{_test_set(run)} accuracy {predictions.accuracy:.2%} ({num_correct:,} of {num_images:,} right)"


def _test_set(run: Run) -> str:
    """`held-out` if the test digits are a part of the labelled digits in CSV files, else `test`."""
    dataset = run.recipe.dataset
    return "held-out" if dataset.startswith("csv:") and not CsvName.parse(dataset).test_files else "test"


# TensorBoard: a view of metrics.jsonl, with the model's graph, hyperparameters and pictures.


TAGS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/val": "val_accuracy",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "images_per_second": "images_per_second",
}
LAYOUT = {
    "training over validation": {
        "loss": ["Multiline", ["loss/train", "loss/val"]],
        "accuracy": ["Multiline", ["accuracy/train", "accuracy/val"]],
    },
    "optimization": {
        "learning rate": ["Multiline", ["learning_rate"]],
        "gradient norm": ["Multiline", ["grad_norm"]],
    },
}
FINAL_FIELDS = ("test_accuracy", "test_loss", "best_val_accuracy", "train_seconds", "num_parameters")
NUM_MISTAKES = 32


class TensorBoardLog:
    """A callback that writes the events of one run into its folder."""

    def __init__(self, run: Run, model: nn.Module, metrics_so_far: Sequence[EpochMetrics]) -> None:
        """A new run starts with the page layout and the model's graph. A resumed run writes its last epoch again, which
        a killed process may have left out, and purges what that process wrote of later epochs."""
        self.writer = SummaryWriter(str(run.path), purge_step=metrics_so_far[-1].epoch if metrics_so_far else None)
        if metrics_so_far:
            self.epoch_done(metrics_so_far[-1])
        else:
            self.writer.add_custom_scalars(LAYOUT)
            self._add_graph(model)

    def _add_graph(self, model: nn.Module) -> None:
        was_training, parameter = model.training, next(model.parameters())
        model.eval()
        with warnings.catch_warnings(), suppress(Exception):  # tracing fails in many ways; such a model has no graph
            warnings.simplefilter("ignore")  # TensorBoard traces the model, which torch has deprecated
            self.writer.add_graph(model, torch.zeros(1, 1, 28, 28, device=parameter.device, dtype=parameter.dtype))
        model.train(was_training)

    def step_done(self) -> None:
        pass

    def epoch_done(self, metrics: EpochMetrics) -> None:
        for tag, field in TAGS.items():
            self.writer.add_scalar(tag, getattr(metrics, field), metrics.epoch)
        self.writer.flush()

    def finish(
        self, recipe: Recipe, summary: RunSummary, model: nn.Module, test_set: ImageSet, predictions: Predictions
    ) -> None:
        """Writes the hyperparameters with the final results, and the pictures."""
        results = {f"final/{name}": float(getattr(summary, name)) for name in FINAL_FIELDS}
        for event in hparams(dataclasses.asdict(recipe), results):
            self.writer._get_file_writer().add_summary(event)  # SummaryWriter.add_hparams would make another run
        for tag, value in results.items():
            self.writer.add_scalar(tag, value, summary.num_epochs_run)
        for tag, figure in _final_pictures(model, test_set, predictions).items():
            self.writer.add_figure(tag, figure, summary.best_epoch)
        self.writer.close()


def _final_pictures(model: nn.Module, test_set: ImageSet, predictions: Predictions) -> dict[str, Figure]:
    """Tag -> picture. No mistakes or no filters of pixels: no picture of them."""
    pictures = {"test/confusion_matrix": confusion_matrix_figure(predictions, test_set.class_names, test_set.name)}
    mistakes = predictions.worst_mistakes(NUM_MISTAKES)
    if len(mistakes):
        pictures["test/worst_mistakes"] = predictions_figure(predictions, mistakes, test_set)
    filters = first_layer_filters(model)
    if filters is not None:
        pictures["filters/first_layer"] = filters_figure(filters, "first-layer weights")
    return pictures
