"""Compares runs: a table over seeds; for two groups their difference on the same images, over seeds and writers."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from matplotlib.figure import Figure

from model_interpretation.predict import load_run_split
from study.comparison.groups import (
    GROUP_HEADER,
    RunGroup,
    by_dataset,
    csv_table,
    group_rows,
    group_runs,
    latex_table,
    mean_difference,
    plain_table,
)
from study.comparison.page import comparison_document
from utils.data import ImageSet
from utils.document import Block, Columns, Text, picture_of
from utils.errors import UserError
from utils.figures import predictions_figure
from utils.files import shown, write_whole
from utils.predictions import Predictions
from utils.run import Run
from utils.statistics import MIN_SEEDS, Interval, mcnemar_exact, p_value_text

MAX_IMAGES_SHOWN = 25
MAX_NAME_LENGTH = 100  # of the files of a comparison


@dataclass(frozen=True)
class PairedComparison:
    """Two networks, or two groups of networks, on the same test images."""

    labels: tuple[str, str]
    sizes: tuple[int, int]
    """Number of networks in each group."""
    num_writers: int
    """0 if the writers of the images are unknown."""
    difference: Interval
    """Mean accuracy of the first group minus that of the second, over seeds and writers."""
    votes: tuple[Predictions, Predictions]
    """The mean probabilities of as many networks from each group, as predictions of one network."""
    p_value: float | None
    """McNemar's exact test on the votes, two-sided; None for groups of different sizes."""

    @property
    def only_first_correct(self) -> Int64[np.ndarray, " k"]:
        """Indices of the images on which only the first vote is correct."""
        return np.flatnonzero(self.votes[0].is_correct & ~self.votes[1].is_correct)

    @property
    def only_second_correct(self) -> Int64[np.ndarray, " m"]:
        return np.flatnonzero(self.votes[1].is_correct & ~self.votes[0].is_correct)

    def sentences(self) -> list[str]:
        first, second = (f'"{label}"' for label in self.labels)
        difference = self.difference
        points, low, high = (100 * value for value in (difference.value, difference.low, difference.high))
        images = f"{len(self.votes[0].labels):,} images"
        clusters = f"{images} by {self.num_writers} writers" if self.num_writers else f"{images} as independent images"
        networks = "two networks" if self.sizes == (1, 1) else f"seeds: {self.sizes[0]} of A, {self.sizes[1]} of B"
        texts = [
            f"A is {first}. B is {second}. The test accuracy of A minus that of B is {points:+.2f} percentage points, "
            f"95 % confidence interval {low:+.2f} to {high:+.2f}, {p_value_text(difference.p_value)} "
            f"({networks}, {clusters})."
        ]
        if self.sizes == (1, 1):
            texts.append(
                "The interval holds for these two networks on other images. Two networks are too few seeds for a claim "
                f"about their recipes: expected at least {MIN_SEEDS} of each."
            )
        elif not difference.has_enough_seeds:
            texts.append(
                f"Too few seeds for a claim (A: {self.sizes[0]}, B: {self.sizes[1]}): expected at least {MIN_SEEDS} of "
                "each recipe."
            )
        if self.p_value is None:
            return [*texts, f"McNemar's test needs groups of equal size, not {self.sizes[0]} and {self.sizes[1]}."]
        voters = "" if max(self.sizes) == 1 else f"The {self.sizes[0]} networks of each group vote on every image. "
        texts.append(
            f"{voters}A is correct and B is wrong on {_images(len(self.only_first_correct))}; B is correct and A is "
            f"wrong on {_images(len(self.only_second_correct))}: McNemar's exact test {p_value_text(self.p_value)}."
        )
        return texts

    def figures(self, test_set: ImageSet) -> dict[str, Figure]:
        """By title: the images that only one of the two predicts correctly, with the wrong prediction of the other."""
        first, second = (f'"{label}"' for label in self.labels)
        sides = (
            (f"Only A, {first}, is correct; predictions of B, {second}", self.votes[1], self.only_first_correct),
            (f"Only B, {second}, is correct; predictions of A, {first}", self.votes[0], self.only_second_correct),
        )
        return {
            title: predictions_figure(wrong, indices[:MAX_IMAGES_SHOWN], test_set, title)
            for title, wrong, indices in sides
            if len(indices)
        }


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number:,} images"


def compare_predictions(
    first: list[Predictions], second: list[Predictions], labels: tuple[str, str] = ("first", "second")
) -> PairedComparison:
    """Compares the predictions of two groups of networks; a single network is a group of one.

    The difference of the mean accuracies is the one estimate, with an interval over seeds and writers. McNemar's test
    is added for groups of equal size: a vote of more networks makes fewer errors, so that the test would find a
    difference between groups of the same recipe. Raises UserError if the images differ.
    """
    difference = mean_difference(first, second)
    writers, sizes = first[0].writers, (len(first), len(second))
    votes = vote(first[: min(sizes)]), vote(second[: min(sizes)])
    p_value = mcnemar_exact(votes[0].is_correct, votes[1].is_correct) if sizes[0] == sizes[1] else None
    num_writers = 0 if writers is None else len(np.unique(writers))
    return PairedComparison(labels, sizes, num_writers, difference, votes, p_value)


def vote(group: list[Predictions]) -> Predictions:
    """The mean probabilities of these networks as predictions of one network."""
    probabilities = np.mean([predictions.probabilities for predictions in group], axis=0)
    return Predictions(np.log(probabilities.clip(1e-30)).astype(np.float32), group[0].labels)


def compare(runs: Sequence[Run], output: Path, named: bool = False) -> None:
    """Prints a table of these runs grouped by recipe, and writes it as HTML, CSV and LaTeX into the folder `output`.

    Two groups, or the two runs of a single group, are also compared image by image. `named` says that the user chose
    the runs: then their names are the name of the files, which otherwise is `comparison`. Raises UserError if no run is
    finished, or if the user chose two runs that cannot be compared.
    """
    distinct = list(dict.fromkeys(runs))
    groups, superseded = group_runs(distinct)
    left_out = [f"{run.name} ({run.problem})" for run in distinct if run.problem]
    left_out += [f"{run.name} (a later run has the same recipe and seed)" for run in superseded]
    if not groups:
        reason = f": {'; '.join(left_out)}" if left_out else " yet: 'mnist train conv' creates one"
        raise UserError(f"there is no finished run to compare{reason}")
    if named and len(runs) == 2 and len(distinct) - len(left_out) < 2:
        reason = f"{left_out[0]} is not usable" if left_out else "both names mean the same run"
        raise UserError(f"{reason}: expected two finished runs that differ in recipe or seed")
    for text in left_out:
        print(f"left out: {text}", file=sys.stderr)
    lines, blocks = _pair_results(groups, named)
    file = output / _file_name([run.name for run in distinct] if named else [])
    write_whole(file.with_name(f"{file.name}.csv"), csv_table(groups).encode())
    write_whole(file.with_name(f"{file.name}.tex"), latex_table(groups).encode())
    page = file.with_name(f"{file.name}.html")
    comparison_document(distinct, groups, blocks, page).write_html(page)
    parts = by_dataset(groups)
    for dataset, members in parts.items():
        heading = f"data set {dataset}\n" if len(parts) > 1 else ""
        print(f"{heading}{plain_table(GROUP_HEADER, group_rows(members))}")
    if any(len(group.runs) < MIN_SEEDS for group in groups):
        print(f"groups of fewer than {MIN_SEEDS} seeds have too few seeds for an interval")
    print("\n".join([*lines, f"page, CSV and LaTeX: {shown(file)}.html, .csv, .tex"]))


def _file_name(names: list[str]) -> str:
    """The name of a comparison's files, without suffix: another one for every choice of runs."""
    name = "-vs-".join(sorted(names)) or "comparison"
    if len(name) <= MAX_NAME_LENGTH:
        return name
    return f"{len(names)}-runs-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


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
        datasets = {first.recipe.dataset, second.recipe.dataset}
        if len(datasets) > 1:
            raise UserError(f"they have different data sets, {' and '.join(sorted(datasets))}")
        comparison = compare_predictions(first.predictions(), second.predictions(), (first.label, second.label))
        figures = comparison.figures(load_run_split(first.runs[0], "test"))
    except UserError as error:
        if named:
            raise UserError(f'cannot compare "{first.label}" with "{second.label}" image by image: {error}') from None
        reason = f"not compared image by image: {error}"
        return [reason], [Text(reason)]
    lines = comparison.sentences()
    pictures = [picture_of(figure, title) for title, figure in figures.items()]
    return lines, [*map(Text, lines), Columns(pictures)]
