"""Corruption robustness: accuracy under each registered corruption of the test digits, and the mean over those of
MNIST-C (Mu and Gilmer 2019, arXiv 1906.02337). MNIST-C's published files are used if they are in data/, else the
corruptions are generated with seed 0."""

import functools
from functools import partial

import numpy as np
from jaxtyping import Bool

from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result, mean_result
from utils.data import ImageSet
from utils.data.mnist_c import CORRUPTIONS, MNIST_C, load_corrupted
from utils.data.splits import stratified_sample
from utils.files import data_folder

NUM_SAMPLED = 1000


def corruption_accuracy(evaluator: Evaluator, name: str) -> MetricResult:
    """Accuracy on all test digits under one corruption."""
    return fraction_result(_correct_under(evaluator, name, len(evaluator.test_set)))


def mean_accuracy(evaluator: Evaluator, num_digits: int | None = None) -> MetricResult:
    """The mean over MNIST-C on a stratified sample of the digits (None: all), with the bootstrap interval over
    digits."""
    num_digits = num_digits or len(evaluator.test_set)
    return mean_result(np.mean([_correct_under(evaluator, name, num_digits) for name in MNIST_C], axis=0))


def _correct_under(evaluator: Evaluator, name: str, num_digits: int) -> Bool[np.ndarray, " n"]:
    return evaluator.once(
        ("corruption", name, num_digits),
        lambda: evaluator.is_correct(stratified_sample(corrupted_digits(name)[0], num_digits)),
    )


def corruption_sources(_evaluator: Evaluator) -> list[str]:
    """Where the corrupted digits come from."""
    return sorted({corrupted_digits(name)[1] for name in MNIST_C})


@functools.cache
def corrupted_digits(name: str) -> tuple[ImageSet, str]:
    """The result of `load_corrupted`, kept in memory for further models: 8 MB per corruption."""
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
        for name in CORRUPTIONS
    ),
    Metric("corruptions_mean", f"mean over MNIST-C's {len(MNIST_C)} corruptions", 1, GROUP, mean_accuracy,
           published_files),
    Metric(f"corruptions_mean_{NUM_SAMPLED}", f"mean over MNIST-C's {len(MNIST_C)} corruptions, {NUM_SAMPLED:,} digits",
           1, GROUP, partial(mean_accuracy, num_digits=NUM_SAMPLED), published_files),
]  # fmt: skip
CURVES = [Curve("corruption_sources", 1, corruption_sources, published_files)]
