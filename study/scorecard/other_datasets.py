"""Accuracy on digits that are not in MNIST's test set."""

from functools import partial

import torch

from study.scorecard.evaluator import Evaluator, Metric, MetricResult, fraction_result, load_test_set
from utils.data import ImageSet, load_dataset
from utils.data.digit_preprocessing import read_digit
from utils.errors import UserError
from utils.files import drawings_folder

NUM_IN_MNIST = 10_000  # QMNIST's test digits begin with those of MNIST


def qmnist_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on the 50,000 QMNIST test digits that MNIST left out; the first 10,000 are MNIST's."""
    whole = load_test_set("qmnist")
    others = whole.subset(torch.arange(NUM_IN_MNIST, len(whole)), whole.name)
    return fraction_result(evaluator.is_correct(others, "qmnist"), others.writers)


def dataset_accuracy(evaluator: Evaluator, dataset: str) -> MetricResult:
    """Accuracy on the test split of a data set."""
    return fraction_result(evaluator.is_correct(load_test_set(dataset), dataset))


def sklearn_digits_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on all 1,797 digits of scikit-learn. Raises UserError for a model that was trained on them."""
    if evaluator.run is not None and evaluator.run.recipe.dataset == "digits":
        raise UserError("this model was trained on some of them")
    parts = [load_dataset("digits", split) for split in ("train", "test")]
    images, labels = torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
    return fraction_result(evaluator.is_correct(ImageSet("digits", images, labels)))


def drawings_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on the digits that were saved on the drawing page."""
    return fraction_result(evaluator.is_correct(saved_drawings()))


def drawing_files() -> list[str]:
    return sorted(path.name for path in drawings_folder().glob("[0-9]-*.png"))


def saved_drawings() -> ImageSet:
    """The drawings in runs/drawings/, converted to MNIST's form. Raises UserError if none can be read."""
    images, labels = [], []
    for name in drawing_files():
        try:
            images.append(torch.from_numpy(read_digit(drawings_folder() / name)))
        except UserError:
            continue  # a damaged drawing does not stop the others
        labels.append(int(name[0]))
    if not images:
        raise UserError("there are no saved drawings yet: draw digits and save them with their labels in 'mnist draw'")
    return ImageSet("drawings", torch.stack(images), torch.tensor(labels))


GROUP = "Other data sets"
METRICS = [
    Metric("qmnist_accuracy", "QMNIST, the 50,000 digits not in MNIST", 2, GROUP, qmnist_accuracy),
    Metric("emnist_digits_accuracy", "EMNIST digits", 1, GROUP, partial(dataset_accuracy, dataset="emnist_digits")),
    Metric("usps_accuracy", "USPS", 1, GROUP, partial(dataset_accuracy, dataset="usps")),
    Metric("sklearn_digits_accuracy", "scikit-learn digits", 1, GROUP, sklearn_digits_accuracy),
    Metric("drawings_accuracy", "saved drawings", 1, GROUP, drawings_accuracy, drawing_files),
]
