"""Accuracy on digits that are not in MNIST's test set, and writer by writer of MNIST's test set."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from study.scorecard.evaluator import Evaluator, Metric, MetricResult, fraction_result, load_test_set
from utils.data import ImageSet, load_dataset
from utils.data.datasets import NUM_MNIST_DIGITS, mnist_writers
from utils.data.digit_preprocessing import read_digit
from utils.errors import UserError
from utils.files import drawings_folder
from utils.statistics import TAILS

NUM_RESAMPLES = 1000
WORST_FRACTION = 0.1  # of the writers


def qmnist_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on the 50,000 QMNIST test digits that MNIST left out; the first 10,000 are MNIST's."""
    whole = load_test_set("qmnist")
    others = whole.subset(torch.arange(NUM_MNIST_DIGITS["test"], len(whole)), whole.name)
    return fraction_result(evaluator.is_correct(others, "qmnist"))


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


def worst_writers_accuracy(evaluator: Evaluator) -> MetricResult:
    """The mean accuracy of the tenth of the test digits' writers with the lowest accuracy, with the bootstrap interval
    over writers. The same predictions choose these writers, so compare it with `worst_writers_expected_accuracy`."""
    return _worst_writers(evaluator)[0]


def worst_writers_expected_accuracy(evaluator: Evaluator) -> MetricResult:
    """The value of `worst_writers_accuracy` if all writers were equally easy, from permutations over the digits."""
    return _worst_writers(evaluator)[1]


def _worst_writers(evaluator: Evaluator) -> tuple[MetricResult, MetricResult]:
    writers = mnist_writers()
    if writers is None:
        raise UserError("QMNIST's labels are missing: set MNIST_STUDY_MIRROR to a folder that holds qmnist_labels/")
    is_correct = evaluator.test_predictions.is_correct
    return evaluator.once("worst writers", lambda: worst_writers(writers["test"], is_correct))


def worst_writers(
    writers: Int64[np.ndarray, " n"], is_correct: Bool[np.ndarray, " n"]
) -> tuple[MetricResult, MetricResult]:
    """The accuracy of the worst tenth of the writers, and the same if all writers were equally easy."""
    ids, codes = np.unique(writers, return_inverse=True)
    accuracies, generator = _accuracy_by_writer(codes, is_correct), np.random.default_rng(0)
    resampled, permuted = [], []
    for _ in range(NUM_RESAMPLES):
        resampled.append(_worst_tenth(generator.choice(accuracies, len(ids))))
        permuted.append(_worst_tenth(_accuracy_by_writer(codes, generator.permutation(is_correct))))
    low, high = (float(end) for end in np.quantile(resampled, TAILS))
    expected_low, expected_high = (float(end) for end in np.quantile(permuted, TAILS))
    return (
        MetricResult(_worst_tenth(accuracies), low, high, len(ids)),
        MetricResult(float(np.mean(permuted)), expected_low, expected_high, len(ids)),
    )


def _accuracy_by_writer(
    codes: Int64[np.ndarray, " n"], is_correct: Bool[np.ndarray, " n"]
) -> Float64[np.ndarray, " writers"]:
    return np.bincount(codes, is_correct) / np.bincount(codes)


def _worst_tenth(accuracies: Float64[np.ndarray, " writers"]) -> float:
    """The mean accuracy of the tenth of the writers with the lowest accuracy."""
    return float(np.sort(accuracies)[: max(1, round(WORST_FRACTION * len(accuracies)))].mean())


GROUP, WRITERS = "Other data sets", "Writers"
METRICS = [
    Metric("qmnist_accuracy", "QMNIST, the 50,000 digits not in MNIST", 1, GROUP, qmnist_accuracy),
    Metric("emnist_digits_accuracy", "EMNIST digits", 1, GROUP, partial(dataset_accuracy, dataset="emnist_digits")),
    Metric("usps_accuracy", "USPS", 1, GROUP, partial(dataset_accuracy, dataset="usps")),
    Metric("sklearn_digits_accuracy", "scikit-learn digits", 1, GROUP, sklearn_digits_accuracy),
    Metric("drawings_accuracy", "saved drawings", 1, GROUP, drawings_accuracy, drawing_files),
    Metric("worst_writers_accuracy", "worst tenth of the writers", 1, WRITERS, worst_writers_accuracy),
    Metric("worst_writers_expected_accuracy", "worst tenth of the writers, expected by chance", 1, WRITERS,
           worst_writers_expected_accuracy),
]  # fmt: skip
