"""What no network gets: for each test digit the share of networks that are wrong, and what that says of the ceiling."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from matplotlib.figure import Figure
from tqdm import tqdm

from model_interpretation.classification_metrics import CONTESTED_TEST_DIGITS
from study.comparison.groups import Group, group_runs
from study.comparison.run_records import read_record
from utils.answers import load_answers
from utils.atomic_files import write_whole
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.figures import COLOURS, as_png, digit_grid_figure, plain_axes, save_figure
from utils.html_page import page, picture, table
from utils.image_set import ImageSet
from utils.paths import shown, study_folder
from utils.run_folder import RunFolder

RESULTS = "limits.json"
ABLE = 0.99  # validation accuracy: what weaker networks get wrong says little of the digits
NUM_SHOWN = 48
NUM_SUBSETS = 200


@dataclass(frozen=True)
class Limits:
    """What the able networks answered to each test digit."""

    test_set: ImageSet
    groups: list[Group]
    """Recipes of able networks."""
    share_wrong: Float64[np.ndarray, " n"]
    """Of the networks, each recipe with equal weight."""
    wrong_name: Int64[np.ndarray, " n"]
    """The most frequent wrong answer; -1 where there is none."""
    missed_by_all_of: list[float]
    """How many digits all of so many networks get wrong, from one network on: the mean over subsets."""
    vote_accuracy: float
    """Of the mean of all probabilities, each recipe with equal weight."""

    @property
    def by_hardness(self) -> Int64[np.ndarray, " n"]:
        """Indices, the hardest first."""
        return np.argsort(-self.share_wrong, kind="stable")

    @property
    def num_networks(self) -> int:
        return sum(len(group.records) for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """What limits.json holds: counts, and the digits that half of the networks or more get wrong."""
        hard = [int(index) for index in self.by_hardness if self.share_wrong[index] >= 0.5]
        contested = self.share_wrong[list(CONTESTED_TEST_DIGITS)]
        everywhere = int((self.share_wrong == 1).sum())
        return {
            "num_networks": self.num_networks,
            "recipes": {group.label: len(group.records) for group in self.groups},
            "able_from_validation_accuracy": ABLE,
            "num_digits": len(self.share_wrong),
            "mean_num_wrong": float(self.share_wrong.sum()),
            "wrong_in_every_network": everywhere,
            "wrong_in_every_network_and_contested": int((contested == 1).sum()),
            "wrong_in_half_or_more": len(hard),
            "wrong_in_some_network": int((self.share_wrong > 0).sum()),
            "contested": len(CONTESTED_TEST_DIGITS),
            "contested_share_wrong": float(contested.mean()),
            "ceiling_of_choosing_the_right_network": 1 - everywhere / len(self.share_wrong),
            "ceiling_of_uncontested_labels": 1 - len(CONTESTED_TEST_DIGITS) / len(self.share_wrong),
            "vote_accuracy": self.vote_accuracy,
            "missed_by_all_of": self.missed_by_all_of,
            "hard_digits": [
                {
                    "index": index,
                    "label": int(self.test_set.labels[index]),
                    "share_wrong": float(self.share_wrong[index]),
                    "mostly_taken_for": int(self.wrong_name[index]),
                    "contested": index in CONTESTED_TEST_DIGITS,
                }
                for index in hard
            ],
        }


def find_limits(runs: Sequence[RunFolder]) -> Limits:
    """Reads what the runs answered. Raises UserError where none of them is finished, able and of MNIST."""
    records = [read_record(run) for run in tqdm(runs, desc="runs", disable=None, leave=False)]
    able = [record for record in records if record.is_finished and record.summary["val_accuracy"] >= ABLE]
    test_set = load_dataset("mnist", "test")
    groups, _ = group_runs([record for record in able if record.config["train"]["dataset"] == "mnist"])
    if not groups:
        raise UserError(
            f"none of these {len(records)} runs is finished, of MNIST, and right on {ABLE:.0%} of its validation "
            "digits: 'mnist train fast_conv' makes one"
        )
    wrong, shares, probabilities = [], [], []
    taken_for = np.zeros((len(test_set), 10))
    for group in groups:
        answers = [load_answers(record.run.test_predictions) for record in group.records]
        for record, each in zip(group.records, answers, strict=True):
            if each.labels.tolist() != test_set.labels.tolist():
                raise UserError(f"the predictions of run {record.name} are of other digits than {test_set.name} has")
            taken_for[np.arange(len(test_set)), each.predicted] += ~each.is_right
        wrong += [~each.is_right for each in answers]
        shares.append(np.mean([~each.is_right for each in answers], axis=0))
        probabilities.append(np.mean([each.probabilities for each in answers], axis=0))
    vote = np.mean(probabilities, axis=0).argmax(1)
    return Limits(
        test_set,
        groups,
        np.mean(shares, axis=0),
        np.where(taken_for.any(1), taken_for.argmax(1), -1),
        _missed_by_all_of(np.array(wrong)),
        float((vote == test_set.labels.numpy()).mean()),
    )


def _missed_by_all_of(wrong: Bool[np.ndarray, "networks n"]) -> list[float]:
    generator, counts = np.random.default_rng(0), np.zeros(len(wrong))
    for _ in range(NUM_SUBSETS):
        counts += np.logical_and.accumulate(wrong[generator.permutation(len(wrong))]).sum(1)
    return [float(count) for count in counts / NUM_SUBSETS]


def write_limits(limits: Limits, command: str) -> None:
    """Prints what was found; writes limits.json, the pictures and a page."""
    values = {"command": command, **limits.to_json()}
    folder = limits_folder()
    write_whole(folder / RESULTS, json.dumps(values, indent=1).encode())
    figures = {"hardest_digits": hardest_figure(limits), "missed_by_all": missed_figure(limits)}
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")
    lines = describe(values)
    rows = [
        [
            str(digit["index"]),
            str(digit["label"]),
            f"{digit['share_wrong']:.0%}",
            str(digit["mostly_taken_for"]),
            "contested" if digit["contested"] else "",
        ]
        for digit in values["hard_digits"]
    ]
    body = [
        f"<p>Made by <code>{html.escape(command)}</code>.</p>",
        *(f"<p>{html.escape(line)}</p>" for line in lines),
        *(f"<div>{picture(as_png(figure), name)}</div>" for name, figure in figures.items()),
        "<h2>Digits that half of the networks or more get wrong</h2>",
        table(["test digit", "label", "networks wrong", "mostly taken for", "human raters"], rows),
    ]
    write_whole(folder / "limits.html", page("What no network gets", "\n".join(body)).encode())
    print("\n".join([*lines, f"page: {shown(folder / 'limits.html')}"]))


def limits_folder() -> Path:
    return study_folder() / "limits"


def describe(values: dict[str, Any]) -> list[str]:
    """What limits.json says, in sentences."""
    total, everywhere = values["num_digits"], values["wrong_in_every_network"]
    return [
        f"{values['num_networks']} networks of {len(values['recipes'])} recipes, all of them right on "
        f"{values['able_from_validation_accuracy']:.0%} of their validation digits or more, get "
        f"{values['mean_num_wrong']:.1f} of the {total:,} test digits wrong on average, each recipe with equal weight.",
        f"{values['wrong_in_some_network']:,} digits are wrong in some network, {values['wrong_in_half_or_more']} in "
        f"half of them or more, {everywhere} in every one. Whoever knew for each digit which of these networks to ask "
        f"would reach {values['ceiling_of_choosing_the_right_network']:.2%}; their mean probability reaches "
        f"{values['vote_accuracy']:.2%}.",
        f"Human raters contest {values['contested']} labels: without luck on those, "
        f"{values['ceiling_of_uncontested_labels']:.2%} is the ceiling. On these digits "
        f"{values['contested_share_wrong']:.0%} of the networks differ from the label, and "
        f"{values['wrong_in_every_network_and_contested']} of the {everywhere} that all get wrong are among them.",
    ]


def hardest_figure(limits: Limits) -> Figure:
    """The hardest digits, each with its label, what it is mostly taken for, and the share of networks that err."""
    indices = limits.by_hardness[:NUM_SHOWN]
    indices = indices[limits.share_wrong[indices] > 0]
    captions = [
        f"{int(limits.test_set.labels[index])} as {limits.wrong_name[index]}, {limits.share_wrong[index]:.0%}"
        + (" *" if index in CONTESTED_TEST_DIGITS else "")
        for index in indices
    ]
    title = "label as most frequent wrong answer, share of networks that are wrong; *: human raters contest the label"
    return digit_grid_figure(limits.test_set.images[indices], captions, columns=8, title=title)


def missed_figure(limits: Limits) -> Figure:
    """How many digits are left that no network gets, the more networks are asked."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = plain_axes(figure)
    numbers = range(1, len(limits.missed_by_all_of) + 1)
    axes.plot(numbers, limits.missed_by_all_of, color=COLOURS[0], marker="o", markersize=3)
    axes.set(xlabel="networks, chosen by chance", ylabel="digits that all of them get wrong", ylim=(0, None))
    return figure
