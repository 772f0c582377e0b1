"""What a run shows in TensorBoard: a view of metrics.jsonl, with graph, hyperparameters and pictures."""

import dataclasses
import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from trainers.recipe import Recipe
from utils.figures import confusion_matrix_figure, digit_grid_figure, filters_figure
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
MAX_FILTERS = 64


class TensorBoardLog:
    """Writes the events of one run into its folder. An observer of the trainer: it only looks."""

    def __init__(self, run: RunFolder, num_epochs_done: int = 0) -> None:
        """Events of later epochs that a killed process left behind are purged."""
        self.writer = SummaryWriter(str(run.path), purge_step=num_epochs_done + 1 if num_epochs_done else None)

    def begin(self, model: nn.Module, device: torch.device) -> None:
        """The page layout and the network's graph."""
        self.writer.add_custom_scalars(LAYOUT)
        was_training = model.training
        model.eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, which TensorBoard's graph still stands on
            self.writer.add_graph(model, torch.zeros(1, 1, 28, 28, device=device))
        model.train(was_training)

    def step_done(self) -> None:
        pass

    def epoch_done(self, row: EpochMetrics) -> None:
        for tag, field in TAGS.items():
            self.writer.add_scalar(tag, getattr(row, field), row.epoch)
        self.writer.flush()

    def finish(
        self,
        recipe: Recipe,
        summary: dict[str, Any],
        model: nn.Module,
        test_set: ImageSet,
        logits: Float[np.ndarray, "n 10"],
    ) -> None:
        """Hyperparameters with the final figures, in the run's own folder, and the pictures."""
        figures = {f"final/{name}": float(summary[name]) for name in FINAL_FIGURES}
        for event in hparams({"model": recipe.model, **dataclasses.asdict(recipe.train)}, figures):
            self.writer._get_file_writer().add_summary(event)  # add_hparams would make an extra run
        for tag, value in figures.items():
            self.writer.add_scalar(tag, value, summary["num_epochs_run"])
        self.add_pictures(model, test_set, logits, summary["best_epoch"])
        self.writer.close()

    def add_pictures(self, model: nn.Module, test_set: ImageSet, logits: Float[np.ndarray, "n 10"], epoch: int) -> None:
        labels = test_set.labels.numpy()
        predicted = logits.argmax(axis=1)
        pictures = {
            "test/confusion_matrix": confusion_matrix_figure(
                labels, predicted, test_set.class_names, f"{test_set.name}: {(labels != predicted).sum()} mistakes"
            )
        }
        confidence = torch.from_numpy(logits).softmax(dim=1).amax(dim=1).numpy()
        worst = worst_mistakes(labels, predicted, confidence)
        if len(worst):
            captions = [f"{labels[i]} != {predicted[i]}, {confidence[i]:.0%}" for i in worst]
            pictures["test/worst_mistakes"] = digit_grid_figure(test_set.images[worst], captions)
        filters = first_layer_filters(model)
        if filters is not None:
            pictures["filters/first_layer"] = filters_figure(filters, "first-layer weights")
        for tag, figure in pictures.items():
            self.writer.add_figure(tag, figure, epoch)


def worst_mistakes(
    labels: Int64[np.ndarray, " n"], predicted: Int64[np.ndarray, " n"], confidence: Float[np.ndarray, " n"]
) -> Int64[np.ndarray, " m"]:
    """Indices of the wrong answers, the surest first, at most NUM_MISTAKES."""
    wrong = np.flatnonzero(labels != predicted)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_MISTAKES]


def first_layer_filters(model: nn.Module) -> Float[np.ndarray, "filters height width"] | None:
    """The weights that look at the pixels, as pictures; None for a network that has no such layer."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().float().cpu().numpy()[:MAX_FILTERS, 0]
        if isinstance(module, nn.Linear):
            return module.weight.detach().float().cpu().numpy()[:MAX_FILTERS].reshape(-1, 28, 28)
    return None
