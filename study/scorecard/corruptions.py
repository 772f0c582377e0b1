"""Corruption robustness: accuracy on MNIST-C, fifteen corruptions of the test digits (Mu and Gilmer 2019, arXiv
1906.02337). The published files are read if they are in data/, else the corruptions are generated with seed 0."""

import functools
from functools import partial

import numpy as np
from jaxtyping import Bool

from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result, mean_result
from utils.data import ImageSet
from utils.data.mnist_c import CORRUPTIONS, load_corrupted
from utils.data.splits import stratified_sample
from utils.files import data_folder

NAMES = tuple(CORRUPTIONS)
NUM_SAMPLED = 1000


def corruption_accuracy(evaluator: Evaluator, name: str) -> MetricResult:
    """Accuracy on all test digits under one corruption."""
    return fraction_result(_correct_under(evaluator, name, len(evaluator.test_set)))


def mean_accuracy(evaluator: Evaluator) -> MetricResult:
    """The mean over the corruptions, with the bootstrap interval over digits."""
    return _mean_result(evaluator, len(evaluator.test_set))


def mean_accuracy_of_sample(evaluator: Evaluator) -> MetricResult:
    """The mean over the corruptions on a stratified sample of the digits."""
    return _mean_result(evaluator, NUM_SAMPLED)


def _mean_result(evaluator: Evaluator, num_digits: int) -> MetricResult:
    return mean_result(np.mean([_correct_under(evaluator, name, num_digits) for name in NAMES], axis=0))


def _correct_under(evaluator: Evaluator, name: str, num_digits: int) -> Bool[np.ndarray, " n"]:
    return evaluator.once(
        ("corruption", name, num_digits),
        lambda: evaluator.is_correct(stratified_sample(corrupted_digits(name)[0], num_digits)),
    )


def corruption_sources(_evaluator: Evaluator) -> list[str]:
    """Where the corrupted digits come from."""
    return sorted({corrupted_digits(name)[1] for name in NAMES})


@functools.cache
def corrupted_digits(name: str) -> tuple[ImageSet, str]:
    """As `load_corrupted`, in memory for the models that follow: 8 MB per corruption."""
    return load_corrupted(name)


def published_files() -> list[str]:
    """The published MNIST-C files in data/."""
    files = (path for pattern in ("mnist_c/**/*", "mnist_c.zip*") for path in data_folder().glob(pattern))
    return sorted(path.relative_to(data_folder()).as_posix() for path in files)


GROUP = "Corruption robustness"
METRICS = [
    *(
        Metric(f"corruption_{name}", name.replace("_", " "), 1, GROUP, partial(corruption_accuracy, name=name),
               published_files)
        for name in NAMES
    ),
    Metric("corruptions_mean", f"mean over {len(NAMES)} corruptions", 1, GROUP, mean_accuracy, published_files),
    Metric(f"corruptions_mean_{NUM_SAMPLED}", f"mean over {len(NAMES)} corruptions, {NUM_SAMPLED:,} digits each", 1,
           GROUP, mean_accuracy_of_sample, published_files),
]  # fmt: skip
CURVES = [Curve("corruption_sources", 1, corruption_sources, published_files)]
