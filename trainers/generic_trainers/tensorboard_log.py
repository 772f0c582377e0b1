"""What a run shows in TensorBoard: a view of metrics.jsonl, with graph, hyperparameters and pictures."""

import dataclasses
import warnings
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from models.first_layer_filters import first_layer_filters
from trainers.recipe import Recipe
from utils.answers import Answers
from utils.figures import answers_figure, confusion_matrix_figure, filters_figure
from utils.image_set import ImageSet
from utils.run_folder import EpochMetrics, RunFolder

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
FINAL_FIGURES = ("test_accuracy", "test_loss", "best_val_accuracy", "train_seconds", "num_parameters")
NUM_MISTAKES = 32


class TensorBoardLog:
    """Writes the events of one run into its folder. An observer of the trainer: it only looks."""

    def __init__(self, run: RunFolder, rows_so_far: list[EpochMetrics]) -> None:
        """Goes on after these rows: the last is written again, for a killed process may have left it out,
        and what it left of later epochs is purged."""
        self.writer = SummaryWriter(str(run.path), purge_step=rows_so_far[-1].epoch if rows_so_far else None)
        for row in rows_so_far[-1:]:
            self.epoch_done(row)

    def begin(self, model: nn.Module, device: torch.device) -> None:
        """The page layout and the network's graph."""
        self.writer.add_custom_scalars(LAYOUT)
        was_training, dtype = model.training, next(model.parameters()).dtype
        model.eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, which TensorBoard's graph still stands on
            self.writer.add_graph(model, torch.zeros(1, 1, 28, 28, device=device, dtype=dtype))
        model.train(was_training)

    def step_done(self) -> None:
        pass

    def epoch_done(self, row: EpochMetrics) -> None:
        for tag, field in TAGS.items():
            self.writer.add_scalar(tag, getattr(row, field), row.epoch)
        self.writer.flush()

    def finish(
        self, recipe: Recipe, summary: dict[str, Any], model: nn.Module, test_set: ImageSet, answers: Answers
    ) -> None:
        """Hyperparameters with the final figures, in the run's own folder, and the pictures."""
        figures = {f"final/{name}": float(summary[name]) for name in FINAL_FIGURES}
        for event in hparams({"model": recipe.model, **dataclasses.asdict(recipe.train)}, figures):
            self.writer._get_file_writer().add_summary(event)  # add_hparams would make an extra run
        for tag, value in figures.items():
            self.writer.add_scalar(tag, value, summary["num_epochs_run"])
        for tag, figure in final_pictures(model, test_set, answers).items():
            self.writer.add_figure(tag, figure, summary["best_epoch"])
        self.writer.close()


def final_pictures(model: nn.Module, test_set: ImageSet, answers: Answers) -> dict[str, Figure]:
    """Tag -> picture; no picture of mistakes where there are none, none of filters where no layer sees the pixels."""
    pictures = {"test/confusion_matrix": confusion_matrix_figure(answers, test_set.class_names, test_set.name)}
    mistakes = answers.worst_mistakes(NUM_MISTAKES)
    if len(mistakes):
        pictures["test/worst_mistakes"] = answers_figure(answers, mistakes, test_set)
    filters = first_layer_filters(model)
    if filters is not None:
        pictures["filters/first_layer"] = filters_figure(filters, "first-layer weights")
    return pictures
