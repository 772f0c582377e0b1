"""Runs of the NumPy backend (`mnist scratch`), and weights in the layout of a NumPy project (`mnist weights`)."""

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_score

from models.model_string import parse
from models.numpy_models.weights_file import read_weights, weights_file_name, write_weights
from models.registry import BEST_KEYS, load_trained
from trainers.generic_trainers.numpy_trainer import numpy_logits, numpy_twin
from trainers.train import import_weights
from utils.checkpoints import load_checkpoint
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import score
from utils.figures import COLORS, figure_style, plain_log_ticks, save_figure, set_title
from utils.files import shown
from utils.recipe import Recipe
from utils.run import Run

SCRATCH_RECIPE = Recipe(backend="numpy", num_epochs=5, schedule="cosine")
LOSS_PICTURE = "loss_per_epoch.png"
EXAMPLE = "C(8,5)-P2-C(16,3)-P2-FC128-FC10"


def report_numpy_run(run: Run) -> None:
    """Prints the precision of each class and the final loss, and draws the loss of each epoch."""
    predictions = run.predictions("test")
    labels, predicted = predictions.labels, predictions.predicted
    precisions = precision_score(labels, predicted, labels=range(10), average=None, zero_division=0)
    by_class = "  ".join(f"{digit}: {precision:.2%}" for digit, precision in enumerate(precisions))
    # Each error is a false negative in one of ten one-against-rest tables and a false positive in another.
    misleading = 1 - 2 * (1 - predictions.accuracy) / 10
    print(
        f"precision {precisions.mean():.2%}, by predicted class\n  {by_class}\n"
        f"(over ten one-against-rest tables, 'accuracy' would be {misleading:.2%}, inflated by true negatives)\n"
        f"loss at the end of training {run.metrics[-1].train_loss:.4f}"
    )
    save_figure(_loss_figure(run), run.path / LOSS_PICTURE)
    print(f"mean and median loss per epoch: {shown(run.path / LOSS_PICTURE)}")


@figure_style()
def _loss_figure(run: Run) -> Figure:
    """Mean and median training loss over the epochs."""
    metrics = run.metrics
    epochs = [row.epoch for row in metrics]
    medians = [math.nan if row.median_train_loss is None else row.median_train_loss for row in metrics]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(epochs, [row.train_loss for row in metrics], "o-", color=COLORS[0], label="mean")
    axes.plot(epochs, medians, "o-", color=COLORS[1], label="median")
    axes.set(xlabel="epoch", ylabel="training loss, nats", yscale="log")
    plain_log_ticks(axes)
    set_title(figure, f"{run.recipe.model}: mean training loss {metrics[-1].train_loss:.4f} at the end")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def evaluate_by_numpy(run: Run) -> None:
    """Evaluates a run of a model string on its test set with the NumPy network, and prints the errors per class."""
    network = numpy_twin(load_trained(run))
    test_set = load_dataset(run.recipe.dataset, "test")
    logits = numpy_logits(network, test_set.images)
    is_wrong = logits.argmax(1) != test_set.labels
    print(f"{test_set.name} by NumPy: {score(logits, test_set.labels)}")
    for label, name in enumerate(test_set.class_names):
        of_class = test_set.labels == label
        print(f"  {name}  {int(is_wrong[of_class].sum()):4} of {int(of_class.sum()):,} wrong")


def import_weights_file(file: Path, run_name: str | None = None, dataset: str = "mnist") -> Run:
    """Imports weights in the layout of the NumPy project CNN-MNIST as a finished run, evaluated on the data set.

    That project does not standardise pixels, so the first layer of the run's network does not either.
    """
    model_string, arrays = read_weights(file)
    weights = {f"layers.{name}": torch.from_numpy(array) for name, array in arrays.items()}
    weights |= {"layers.standardize.mean": torch.tensor(0.0), "layers.standardize.std": torch.tensor(1.0)}
    return import_weights(Recipe(str(model_string), dataset), weights, file.name, run_name)


def export_weights_file(run: Run, folder: Path) -> Path:
    """Writes a run's weights in the layout of the NumPy project CNN-MNIST as float64. The standardisation of the pixels
    goes into the first weights, so that pixels in [0, 1] give the same logits.

    Raises UserError if the model is not a model string of that layout or if the file exists.
    """
    try:
        model_string = parse(run.recipe.model)
    except UserError:
        raise UserError(
            f"{shown(run.path)} is a run of {run.recipe.model}: expected a model string such as {EXAMPLE}"
        ) from None
    state = load_checkpoint(run.best_checkpoint, BEST_KEYS)["model"]
    arrays = {name.removeprefix("layers."): tensor.double().numpy() for name, tensor in state.items()}
    file = folder / weights_file_name(model_string)
    if file.exists():
        raise UserError(f"{file} exists and is not overwritten: move it, or choose another folder")
    write_weights(file, model_string, arrays)
    return file
