"""Compares runs: a table over seeds; for two groups McNemar's exact test and a paired bootstrap on the same images."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from matplotlib.figure import Figure
from tqdm import tqdm

from model_interpretation.predict import load_run_split
from study.comparison.figures import comparison_document
from study.comparison.groups import (
    GROUP_HEADER,
    RunGroup,
    csv_table,
    group_rows,
    group_runs,
    latex_table,
    plain_table,
)
from utils.data import ImageSet
from utils.document import Block, Columns, Text, picture_of
from utils.errors import UserError
from utils.figures import predictions_figure
from utils.files import shown, write_whole
from utils.predictions import Predictions
from utils.run import Run
from utils.statistics import mcnemar_exact, paired_bootstrap

MAX_IMAGES_SHOWN = 25


@dataclass(frozen=True)
class PairedComparison:
    """Two networks, or two groups of networks, on the same test images."""

    labels: tuple[str, str]
    votes: tuple[Predictions, Predictions]
    """The mean probabilities of each group as predictions of one network."""
    p_value: float
    """McNemar's exact test on the votes, two-sided: the probability of a split of the disagreements at least as uneven
    if both sides have the same error rate."""
    difference: float
    """Mean accuracy of the first group minus that of the second."""
    ci_low: float
    """95 % percentile interval of the difference, by the paired bootstrap over the images."""
    ci_high: float

    @property
    def only_first_correct(self) -> Int64[np.ndarray, " k"]:
        """Indices of the images on which only the first vote is correct."""
        return np.flatnonzero(self.votes[0].is_correct & ~self.votes[1].is_correct)

    @property
    def only_second_correct(self) -> Int64[np.ndarray, " m"]:
        return np.flatnonzero(self.votes[1].is_correct & ~self.votes[0].is_correct)

    def sentences(self) -> list[str]:
        first, second = self.labels
        points, low, high = (100 * value for value in (self.difference, self.ci_low, self.ci_high))
        return [
            f"{first} minus {second}: {points:+.2f} percentage points of test accuracy, 95 % confidence interval "
            f"{low:+.2f} to {high:+.2f} (paired bootstrap over {len(self.votes[0].labels):,} images).",
            f"Only the first is correct on {len(self.only_first_correct)} images, only the second on "
            f"{len(self.only_second_correct)} (a group votes by its mean probabilities): McNemar's exact test "
            f"p = {self.p_value:.3g}.",
        ]

    def figures(self, test_set: ImageSet) -> dict[str, Figure]:
        """By title: the images that only one of the two predicts correctly, with the wrong prediction of the other."""
        first, second = self.labels
        sides = (
            (f"Only {first} is correct; predictions of {second}", self.votes[1], self.only_first_correct),
            (f"Only {second} is correct; predictions of {first}", self.votes[0], self.only_second_correct),
        )
        return {
            title: predictions_figure(wrong, indices[:MAX_IMAGES_SHOWN], test_set, title)
            for title, wrong, indices in sides
            if len(indices)
        }


def compare_predictions(
    first: list[Predictions], second: list[Predictions], labels: tuple[str, str] = ("first", "second")
) -> PairedComparison:
    """Compares the predictions of two groups of networks; a single network is a group of one.

    McNemar's test compares the votes. The bootstrap resamples, per image, the fraction of each group's networks that
    are correct. Raises UserError if the images differ.
    """
    truth = first[0].labels
    if any(not np.array_equal(predictions.labels, truth) for predictions in [*first, *second]):
        raise UserError("these runs have different test images, so they cannot be compared image by image")
    votes = vote(first), vote(second)
    fraction_correct = [np.mean([predictions.is_correct for predictions in group], axis=0) for group in (first, second)]
    difference = fraction_correct[0] - fraction_correct[1]
    p_value = mcnemar_exact(votes[0].is_correct, votes[1].is_correct)
    return PairedComparison(labels, votes, p_value, float(difference.mean()), *paired_bootstrap(difference))


def vote(group: list[Predictions]) -> Predictions:
    """The mean probabilities of these networks as predictions of one network."""
    probabilities = np.mean([predictions.probabilities for predictions in group], axis=0)
    return Predictions(np.log(probabilities.clip(1e-30)).astype(np.float32), group[0].labels)


def compare(runs: Sequence[Run], output: Path, named: bool = False) -> None:
    """Prints a table of these runs grouped by recipe, and writes it as comparison.html, .csv and .tex to `output`.

    Two groups, or the two runs of a single group, are also compared image by image. `named` says that the user chose
    the runs. Raises UserError if no run is finished, or if the user named two runs that cannot be compared.
    """
    distinct = list(dict.fromkeys(runs))
    for run in tqdm(distinct, desc="runs", disable=None, leave=False):
        if run.problem:
            print(f"left out: {run.name} ({run.problem})", file=sys.stderr)
    groups, superseded = group_runs(distinct)
    for run in superseded:
        print(f"left out: {run.name} (a later run has the same recipe and seed)", file=sys.stderr)
    if not groups:
        raise UserError("there is no finished run to compare yet: 'mnist train conv' creates one")
    lines, blocks = _pair_results(groups, named)
    if named and len(runs) == 2 and not lines:
        raise UserError("two runs can be compared if both are finished and differ in recipe or seed; these do not")
    write_whole(output / "comparison.csv", csv_table(groups).encode())
    write_whole(output / "comparison.tex", latex_table(groups).encode())
    comparison_document(distinct, groups, blocks).write_html(output / "comparison.html")
    print("\n".join([plain_table(GROUP_HEADER, group_rows(groups)), *lines]))
    print(f"page, CSV and LaTeX: {shown(output)}/comparison.html, .csv, .tex")


def _pair_results(groups: list[RunGroup], named: bool) -> tuple[list[str], list[Block]]:
    """Sentences and blocks of the page if there are exactly two groups, or two runs in a single group; else none.

    If the user named the runs, a failure raises UserError. Otherwise the sentences say why there is no comparison.
    """
    if len(groups) == 1 and len(groups[0].runs) == 2:
        groups = [RunGroup(run.name, [run]) for run in groups[0].runs]
    if len(groups) != 2:
        return [], []
    first, second = groups
    try:
        comparison = compare_predictions(
            [run.predictions() for run in first.runs],
            [run.predictions() for run in second.runs],
            (first.label, second.label),
        )
        figures = comparison.figures(load_run_split(first.runs[0], "test"))
    except UserError as error:
        if named:
            raise
        reason = f"not compared image by image: {error}"
        return [reason], [Text(reason)]
    lines = comparison.sentences()
    pictures = [picture_of(figure, title) for title, figure in figures.items()]
    return lines, [*map(Text, lines), Columns(pictures)]
