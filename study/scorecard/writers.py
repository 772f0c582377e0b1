"""How much the accuracy differs between the writers of MNIST's test digits: 297 people, students and Census staff."""

import math

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from study.scorecard.evaluator import Evaluator, Metric, MetricResult, fraction_result
from utils.data.writers import is_student
from utils.errors import UserError
from utils.statistics import beta_binomial_std, design_effect


def writers_of(evaluator: Evaluator) -> Int64[Tensor, " n"]:
    """The writers of the test digits. Raises UserError if they are unknown."""
    if evaluator.test_set.writers is None:
        raise UserError("the writers of these test digits are unknown: they are not the published 10,000 of MNIST")
    return evaluator.test_set.writers


def students_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on the digits of high-school students, who wrote the first 5,001 test digits."""
    return _accuracy_of(evaluator, of_students=True)


def staff_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy on the digits of Census Bureau staff, who wrote the other 4,999."""
    return _accuracy_of(evaluator, of_students=False)


def _accuracy_of(evaluator: Evaluator, of_students: bool) -> MetricResult:
    writers = writers_of(evaluator)
    chosen = is_student(writers.numpy()) == of_students
    return fraction_result(evaluator.test_predictions.is_correct[chosen], writers[chosen])


def writers_std(evaluator: Evaluator) -> MetricResult:
    """The standard deviation of the writers' own accuracies, beyond what chance adds to accuracies of 34 digits each:
    maximum likelihood of a beta-binomial distribution, with its profile-likelihood interval."""
    codes = np.unique(writers_of(evaluator).numpy(), return_inverse=True)[1]
    num_wrong = np.bincount(codes[~evaluator.test_predictions.is_correct], minlength=codes.max() + 1)
    std, low, high = beta_binomial_std(num_wrong, np.bincount(codes))
    if high == 0:
        raise UserError("all predictions are equally right, so that writers cannot differ")
    return MetricResult(std, low, high, len(num_wrong))


def accuracy_design_effect(evaluator: Evaluator) -> MetricResult:
    """The variance of the test accuracy over its variance if all digits were by different writers (Kish 1965)."""
    writers = writers_of(evaluator).numpy()
    effect, low, high = design_effect(evaluator.test_predictions.is_correct, writers)
    if math.isnan(effect):
        raise UserError("all predictions are equally right, so that there is no variance to compare")
    return MetricResult(effect, low, high, len(np.unique(writers)), "number")


GROUP = "Writers"
METRICS = [
    Metric("students_accuracy", "test accuracy, digits by students", 1, GROUP, students_accuracy),
    Metric("staff_accuracy", "test accuracy, digits by Census staff", 1, GROUP, staff_accuracy),
    Metric("writers_std", "standard deviation of the writers' accuracies", 1, GROUP, writers_std),
    Metric("design_effect", "design effect of the writers on the test accuracy", 1, GROUP, accuracy_design_effect),
]
