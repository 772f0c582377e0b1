"""Whether two networks differ on the same digits: McNemar's exact test and a paired bootstrap."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from utils.answers import Answers
from utils.errors import UserError
from utils.statistics import mcnemar_exact, paired_bootstrap


@dataclass(frozen=True)
class PairedComparison:
    """Two networks, or the votes of two groups of networks, on the same digits."""

    num_digits: int
    only_first_right: Int64[np.ndarray, " k"]
    """Indices of the digits that only the first names right."""
    only_second_right: Int64[np.ndarray, " m"]
    p_value: float
    """McNemar's exact test: how likely so uneven a split of these digits is if both err equally often."""
    difference: float
    """Mean accuracy of the first minus that of the second."""
    difference_interval: tuple[float, float]
    """95 % percentile interval of the difference, by the paired bootstrap over the digits."""


def compare_answers(first: list[Answers], second: list[Answers]) -> tuple[PairedComparison, tuple[Answers, Answers]]:
    """Compares two groups of answers; a single run is a group of one. Also gives the vote of each group.

    McNemar's test takes the votes; the bootstrap takes the share of each group's networks that name a digit right.
    Raises UserError where the digits are not the same.
    """
    labels = first[0].labels
    if any(len(answers.labels) != len(labels) or (answers.labels != labels).any() for answers in [*first, *second]):
        raise UserError("these runs were judged on different test digits, so they cannot be compared digit by digit")
    votes = vote(first), vote(second)
    share_right = [np.mean([answers.is_right for answers in group], axis=0) for group in (first, second)]
    difference = share_right[0] - share_right[1]
    comparison = PairedComparison(
        num_digits=len(labels),
        only_first_right=np.flatnonzero(votes[0].is_right & ~votes[1].is_right),
        only_second_right=np.flatnonzero(votes[1].is_right & ~votes[0].is_right),
        p_value=mcnemar_exact(votes[0].is_right, votes[1].is_right),
        difference=float(difference.mean()),
        difference_interval=paired_bootstrap(difference),
    )
    return comparison, votes


def vote(group: list[Answers]) -> Answers:
    """The answers of the networks' mean probabilities, as one network's."""
    probabilities = np.mean([answers.probabilities for answers in group], axis=0)
    return Answers(np.log(probabilities.clip(1e-30)).astype(np.float32), group[0].labels)
