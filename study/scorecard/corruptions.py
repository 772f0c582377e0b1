"""Corruption robustness: accuracy under each registered corruption of the test digits, with mean and median over those
of MNIST-C (Mu and Gilmer 2019, arXiv 1906.02337). MNIST-C's published files are used if they are in data/, else the
corruptions are generated with seed 0.

Every accuracy exists a second time, for the network with adapted batch normalisation: each batch of corrupted digits is
normalised with its own mean and variance (Schneider et al. 2020, arXiv 2006.16971). A network may fail under fog only
because the mean of a layer has moved, which these accuracies show.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import nn

from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result
from utils.data import ImageSet
from utils.data.mnist_c import CORRUPTIONS, MNIST_C, load_corrupted
from utils.data.splits import stratified_sample
from utils.errors import UserError
from utils.evaluation import predict
from utils.files import data_folder
from utils.statistics import cluster_bootstrap, percentile_interval

NUM_SAMPLED = 1000


def corruption_accuracy(evaluator: Evaluator, name: str, is_adapted: bool = False) -> MetricResult:
    """Accuracy on all test digits under one corruption."""
    return fraction_result(_correct_under(evaluator, name, None, is_adapted), evaluator.test_set.writers)


def accuracy_over_corruptions(
    evaluator: Evaluator, statistic: Callable[..., np.ndarray], num_digits: int | None = None, is_adapted: bool = False
) -> MetricResult:
    """The mean or the median of the accuracies under MNIST-C on a stratified sample of the digits (None: all), with the
    bootstrap interval over writers."""
    is_correct = np.stack([_correct_under(evaluator, name, num_digits, is_adapted) for name in MNIST_C])
    digits = evaluator.test_set if num_digits is None else evaluator.sample(num_digits)
    draws = cluster_bootstrap(is_correct, None if digits.writers is None else digits.writers.numpy())
    interval = percentile_interval(statistic(draws, axis=1))
    return MetricResult(float(statistic(is_correct.mean(1))), *interval, len(digits))


def _correct_under(evaluator: Evaluator, name: str, num_digits: int | None, is_adapted: bool) -> Bool[np.ndarray, " n"]:
    def compute() -> Bool[np.ndarray, " n"]:
        digits = corrupted_digits(name)[0]
        if num_digits is not None:
            digits = stratified_sample(digits, num_digits)
        model = evaluator.model
        if is_adapted:
            model = evaluator.once("with batch statistics", lambda: with_batch_statistics(evaluator.model))
        return predict(model, digits, evaluator.device).is_correct

    return evaluator.once(("corruption", name, num_digits, is_adapted), compute)


def with_batch_statistics(model: nn.Module) -> nn.Module:
    """A copy of the model in which batch normalisation uses the statistics of the batch that it is applied to. Raises
    UserError if the model has no batch normalisation."""
    adapted = copy.deepcopy(model)
    layers = [layer for layer in adapted.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise UserError("the network has no batch normalisation, so there are no statistics to adapt")
    for layer in layers:
        layer.running_mean = layer.running_var = None  # PyTorch then takes those of the batch
    return adapted


def mean_ranks(accuracies: Float[np.ndarray, "networks corruptions"]) -> Float[np.ndarray, " networks"]:
    """The rank of each network among the networks, 1 for the best, averaged over the corruptions. Every corruption
    counts equally, while two corruptions with large differences decide the mean accuracy."""
    ranks: Float[np.ndarray, "networks corruptions"] = rankdata(-accuracies, axis=0)
    return ranks.mean(1)


def ranks_of(results: Sequence[dict[str, MetricResult]]) -> list[float]:
    """The mean rank of each network under MNIST-C, from the results of their scorecards; empty for fewer than two
    networks, and if a result is missing."""
    table = [[card[f"corruption_{name}"].value for name in MNIST_C if f"corruption_{name}" in card] for card in results]
    if len(results) < 2 or any(len(row) < len(MNIST_C) or None in row for row in table):
        return []
    return mean_ranks(np.array(table, np.float64)).tolist()


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


GROUP, ADAPTED = "Corruption robustness", "Corruption robustness with adapted batch statistics"
_PARTS = ((False, "", GROUP), (True, "_adapted", ADAPTED))
METRICS = [
    *(
        Metric(f"corruption_{name}{ending}", name.replace("_", " "), 2, group,
               partial(corruption_accuracy, name=name, is_adapted=is_adapted), published_files)
        for is_adapted, ending, group in _PARTS
        for name in CORRUPTIONS
    ),
    *(
        Metric(f"corruptions_{statistic.__name__}{ending}{f'_{count}' if count else ''}",
               f"{statistic.__name__} of MNIST-C's {len(MNIST_C)} corruptions{f', {count:,} digits' if count else ''}",
               2, group,
               partial(accuracy_over_corruptions, statistic=statistic, num_digits=count, is_adapted=is_adapted),
               published_files)
        for is_adapted, ending, group in _PARTS
        for statistic in (np.mean, np.median)
        for count in (None, NUM_SAMPLED)
    ),
]  # fmt: skip
CURVES = [Curve("corruption_sources", 1, corruption_sources, published_files)]
