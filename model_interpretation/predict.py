"""The digits of runs and the predictions for them: whole splits and single digits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from models.registry import load_ensemble, load_trained
from utils.data import ImageSet, load_dataset, load_training_sets
from utils.data.datasets import class_names
from utils.data.digit_preprocessing import read_digit
from utils.errors import UserError, printable
from utils.evaluation import Score, ShiftAverage, predict_logits, score
from utils.figures import elided, terminal_picture
from utils.predictions import Predictions
from utils.run import Run
from utils.runtime import choose_device

BAR_WIDTH = 40  # characters of a probability of 1
MAX_NAME = 30  # characters of a class name


def load_run_split(run: Run, split: str) -> ImageSet:
    """The `train`, `validation` or `test` digits of a run; `train` are the digits that the run was trained on.

    Raises UserError if the run's recipe or data set cannot be read.
    """
    return load_shared_split([run], split)


def load_shared_split(runs: Sequence[Run], split: str) -> ImageSet:
    """The digits of a split that several runs share. Raises UserError if the runs have different digits."""
    recipes = [run.recipe for run in runs]
    sources = {(r.dataset, r.validation_size, r.train_size, r.validation) for r in recipes}
    if len({source[0] if split == "test" else source for source in sources}) > 1:
        raise UserError(f"these runs have different {split} digits: {sorted(sources)}")
    dataset, validation_size, train_size, validation = next(iter(sources))
    if split == "test":
        return load_dataset(dataset, "test")
    train_set, validation_set = load_training_sets(dataset, validation_size, train_size, validation)
    return train_set if split == "train" else validation_set


def load_test_predictions(run: Run, test_set: ImageSet) -> Predictions:
    """The stored test predictions of a run. Raises UserError if they are missing or belong to other digits."""
    predictions = run.predictions("test")
    if not np.array_equal(predictions.labels, test_set.labels.numpy()):
        raise UserError(f"the test predictions of run {run.name} belong to other digits than today's {test_set.name}")
    return predictions


@dataclass(frozen=True)
class ChosenDigit:
    """One digit, of a data set or of a picture file."""

    image: UInt8[Tensor, "28 28"]
    title: str
    """Such as `test digit no. 947` or `photo.jpg`."""
    slug: str
    """The digit as a part of a folder name, such as `test-947` or `image-photo`."""


def chosen_digit(run: Run, split: str, index: int | None, picture: Path | None) -> ChosenDigit:
    """The digit of a picture file, or of the run's split: at an index or, by default, at random.

    Raises UserError for both an index and a picture, for an index out of range and for an unreadable picture.
    """
    if picture is not None:
        if index is not None:
            raise UserError("--id and --image choose two digits: leave one of them out")
        image = torch.from_numpy(read_digit(picture))
        return ChosenDigit(image, printable(picture.name), f"image-{printable(picture.stem)}")
    image_set = load_run_split(run, split)
    index = image_set.chosen_index(index)
    return ChosenDigit(image_set.images[index], f"{split} digit no. {index}", f"{split}-{index}")


def evaluate_runs(
    runs: Sequence[Run], split: str = "test", dataset: str | None = None, device: str = "auto", shifts: int = 0
) -> Score:
    """Prints and returns accuracy and loss in fp32 on a split of the runs' data set, or of another one.

    Several runs are evaluated as an ensemble: the mean of their probabilities is the prediction. With `shifts`, each
    probability is also the mean over all shifts of the image by up to so many pixels.
    """
    chosen = choose_device(device)
    model = load_ensemble(runs, chosen)
    if shifts:
        model = ShiftAverage(model, shifts)
    image_set = load_dataset(dataset, split) if dataset else load_shared_split(runs, split)
    result = score(predict_logits(model, image_set.images, chosen, progress=image_set.name), image_set.labels)
    ensemble = f"ensemble of {len(runs)} networks, " if len(runs) > 1 else ""
    averaged = f"mean over {(2 * shifts + 1) ** 2} shifts, " if shifts else ""
    print(f"{image_set.name}: {ensemble}{averaged}{result}")
    return result


def predict_digit(
    run: Run, index: int | None, split: str, dataset: str | None = None, display: bool = False, device: str = "auto"
) -> None:
    """Prints the prediction for one digit, by default a random one, with the probability of each class.

    The digit is of the run's data set, or of another one. `display` also draws the digit in the terminal.
    """
    chosen = choose_device(device)
    model = load_trained(run, chosen)
    is_held_out = split == "validation" and dataset is None
    image_set = load_run_split(run, split) if is_held_out else load_dataset(dataset or run.recipe.dataset, split)
    index = image_set.chosen_index(index)
    probabilities = predict_logits(model, image_set.images[index : index + 1], chosen)[0].softmax(0).cpu()
    if display:
        print(terminal_picture(image_set.images[index]))
    names = [elided(name, MAX_NAME) for name in class_names(run.recipe.dataset)]
    predicted, label = int(probabilities.argmax()), image_set.class_names[int(image_set.labels[index])]
    print(
        f"{split} digit no. {index}: {run.name} predicts {names[predicted]} with {probabilities[predicted]:.2%}; "
        f"the label is {elided(label, MAX_NAME)}"
    )
    print(probability_bars(probabilities, names))


def probability_bars(probabilities: Float[Tensor, " classes"], names: Sequence[str]) -> str:
    """One line per class: name, probability and bar."""
    width = max(map(len, names))
    return "\n".join(
        f"  {name:{width}}  {probability:7.2%}  {'█' * round(probability * BAR_WIDTH)}".rstrip()
        for name, probability in zip(names, probabilities.tolist(), strict=True)
    )
