"""Digits beyond MNIST's test set: of the same archives, by other hands, and MNIST's own writer by writer."""

import numpy as np
import torch
from jaxtyping import Bool, Int64

from study.generalisation.cells import Cell, Part, cell_or_reason, share_cell
from study.generalisation.subject import Subject, load_test_set
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.handwriting import read_digit
from utils.image_set import ImageSet
from utils.paths import drawings_folder
from utils.statistics import TAILS
from utils.writers import NUM_MNIST_DIGITS, mnist_writers

NUM_RESAMPLES = 1000
WORST_SHARE = 0.1  # of the writers


def further_digits(subject: Subject) -> Part:
    """Test digits of the archives that MNIST's come from: QMNIST's 50,000 that MNIST left out, and EMNIST's 40,000."""
    return Part(
        {
            "QMNIST's other 50,000": cell_or_reason(lambda: _further(subject, "qmnist", NUM_MNIST_DIGITS["test"])),
            "EMNIST digits": cell_or_reason(lambda: _further(subject, "emnist_digits", 0)),
        }
    )


def _further(subject: Subject, dataset: str, first: int) -> Cell:
    whole = load_test_set(dataset)
    return share_cell(subject.is_right(whole.subset(torch.arange(first, len(whole)), whole.name), dataset))


def usps(subject: Subject) -> Part:
    """USPS's 2,007 test digits."""
    return Part({"USPS": cell_or_reason(lambda: share_cell(subject.is_right(load_test_set("usps"))))})


def other_hands(subject: Subject) -> Part:
    """USPS's postal digits, and all 1,797 that scikit-learn carries; in MNIST's form, none learned from."""
    return Part(
        {
            **usps(subject).cells,
            "scikit-learn's digits": cell_or_reason(lambda: share_cell(subject.is_right(_bundled(subject)))),
        }
    )


def drawings(subject: Subject) -> Part:
    """The drawings that were saved on the drawing page, in MNIST's form."""
    return Part({"saved drawings": cell_or_reason(lambda: share_cell(subject.is_right(saved_drawings())))})


def _bundled(subject: Subject) -> ImageSet:
    if subject.run.config()["train"].get("dataset") == "digits":
        raise UserError("this network learned from some of them")
    parts = [load_dataset("digits", split) for split in ("train", "test")]
    return ImageSet("digits", torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


def saved_drawings() -> ImageSet:
    """The drawings in runs/drawings/, in MNIST's form. Raises UserError where there is none that can be read."""
    images, labels = [], []
    for file in sorted(drawings_folder().glob("[0-9]-*.png")):
        try:
            images.append(torch.from_numpy(read_digit(file)))
        except UserError:
            continue  # a damaged drawing is no reason to do without the others
        labels.append(int(file.name[0]))
    if not images:
        raise UserError("there is no saved drawing yet: draw some and say what they are, with 'mnist draw'")
    return ImageSet("drawings", torch.stack(images), torch.tensor(labels))


def writers(subject: Subject) -> Part:
    """Accuracy writer by writer of the test digits, and the worst tenth of the writers. Who is among these was chosen
    by the same answers, so the cell after it says what the worst tenth would be if all writers were alike."""
    found = mnist_writers()
    if found is None:
        reason = "QMNIST's labels are missing: set MNIST_STUDY_MIRROR to a folder that holds qmnist_labels/"
        return Part({"worst tenth of the writers": Cell(None, missing=reason)})
    ids, codes = np.unique(found["test"], return_inverse=True)
    right = subject.test_answers.is_right
    accuracies, generator = _accuracies(codes, right), np.random.default_rng(0)
    resampled, alike = [], []
    for _ in range(NUM_RESAMPLES):
        resampled.append(_worst_tenth(generator.choice(accuracies, len(ids))))
        alike.append(_worst_tenth(_accuracies(codes, generator.permutation(right))))
    low, high = (float(end) for end in np.quantile(resampled, TAILS))
    chance_low, chance_high = (float(end) for end in np.quantile(alike, TAILS))
    return Part(
        {
            "worst tenth of the writers": Cell(_worst_tenth(accuracies), low, high, len(ids)),
            "the same if all writers were alike": Cell(float(np.mean(alike)), chance_low, chance_high, len(ids)),
        },
        {"accuracies": np.sort(accuracies).tolist()},
    )


def _accuracies(codes: Int64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> np.ndarray:
    return np.bincount(codes, right) / np.bincount(codes)


def _worst_tenth(accuracies: np.ndarray) -> float:
    """The mean accuracy of the tenth of the writers with the lowest."""
    return float(np.sort(accuracies)[: max(1, round(WORST_SHARE * len(accuracies)))].mean())
