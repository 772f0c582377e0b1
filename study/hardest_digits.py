"""What no network gets: for each test digit the share of networks that are wrong, and what that says of the ceiling."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from tqdm import tqdm

from model_interpretation.classification_metrics import CONTESTED_TEST_DIGITS
from study.comparison.groups import Group, group_runs
from study.comparison.run_records import RunRecord
from study.recipe_names import recipe_label
from trainers.recipe import Recipe
from utils.answers import Answers, load_answers
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.image_set import ImageSet

ABLE = 0.99  # validation accuracy: what weaker networks get wrong says little of the digits
NUM_SUBSETS = 200


@dataclass(frozen=True)
class Limits:
    """What the able networks answered to each test digit."""

    test_set: ImageSet
    recipes: dict[str, int]
    """The able recipes, with how many networks of each."""
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
        return sum(self.recipes.values())

    def to_json(self) -> dict[str, Any]:
        """What limits.json holds: counts, and the digits that half of the networks or more get wrong."""
        hard = [int(index) for index in self.by_hardness if self.share_wrong[index] >= 0.5]
        contested = self.share_wrong[list(CONTESTED_TEST_DIGITS)]
        everywhere = int((self.share_wrong == 1).sum())
        return {
            "num_networks": self.num_networks,
            "recipes": self.recipes,
            "able_from_validation_accuracy": ABLE,
            "num_digits": len(self.share_wrong),
            "mean_num_wrong": float(self.share_wrong.sum()),
            "wrong_in_every_network": everywhere,
            "wrong_in_every_network_and_contested": int((contested == 1).sum()),
            "wrong_in_half_or_more": len(hard),
            "wrong_in_some_network": int((self.share_wrong > 0).sum()),
            "contested": len(CONTESTED_TEST_DIGITS),
            "contested_share_wrong": float(contested.mean()),
            "accuracy_of_choosing_the_right_network": 1 - everywhere / len(self.share_wrong),
            "share_of_uncontested_labels": 1 - len(CONTESTED_TEST_DIGITS) / len(self.share_wrong),
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


def able_groups(records: Sequence[RunRecord]) -> list[Group]:
    """The recipes of MNIST whose seeds are, on average, right on enough of their validation digits.

    Raises UserError where there is none.
    """
    ours = [record for record in records if record.is_finished and record.config["train"].get("dataset") == "mnist"]
    groups = [group for group in group_runs(ours)[0] if group.mean_interval("val_accuracy")[0] >= ABLE]
    if not groups:
        raise UserError(
            f"no recipe of these {len(records)} runs is finished, of MNIST, and right on {ABLE:.0%} of its validation "
            "digits: 'mnist train fast_conv' makes one"
        )
    return groups


def read_answers(groups: Sequence[Group], test_set: ImageSet, were_named: bool) -> list[tuple[Group, list[Answers]]]:
    """What the networks of each recipe answered.

    A run whose predictions are damaged is left out with a line that says so, or, where the runs were named, raises
    UserError.
    """
    found = []
    for group in tqdm(groups, desc="recipes", disable=None, leave=False):
        members = []
        for record in group.records:
            try:
                answers = load_answers(record.run.test_predictions)
                if not np.array_equal(answers.labels, test_set.labels.numpy()):
                    raise UserError(
                        f"the predictions of run {record.name} are of other digits than {test_set.name} has"
                    )
            except UserError as error:
                if were_named:
                    raise
                print(f"left out: {error}", file=sys.stderr)
                continue
            members.append(answers)
        if members:
            found.append((group, members))
    if not found:
        raise UserError("none of these runs has predictions that can be read")
    return found


def find_limits(records: Sequence[RunRecord], were_named: bool) -> Limits:
    """What the able networks of these runs get wrong, each recipe with equal weight. Raises UserError for none."""
    test_set = load_dataset("mnist", "test")
    found = read_answers(able_groups(records), test_set, were_named)
    by_recipe = [members for _, members in found]
    every = [each for members in by_recipe for each in members]
    taken_for = np.zeros((len(test_set), 10))
    for each in every:
        taken_for[np.arange(len(test_set)), each.predicted] += ~each.is_right
    probabilities = [np.mean([each.probabilities for each in members], axis=0) for members in by_recipe]
    vote = np.mean(probabilities, axis=0).argmax(1)
    return Limits(
        test_set,
        {recipe_label(Recipe.from_json(group.records[0].config)): len(members) for group, members in found},
        np.mean([np.mean([~each.is_right for each in members], axis=0) for members in by_recipe], axis=0),
        np.where(taken_for.any(1), taken_for.argmax(1), -1),
        _missed_by_all_of(np.array([~each.is_right for each in every])),
        float((vote == test_set.labels.numpy()).mean()),
    )


def _missed_by_all_of(wrong: Bool[np.ndarray, "networks n"]) -> list[float]:
    generator, counts = np.random.default_rng(0), np.zeros(len(wrong))
    for _ in range(NUM_SUBSETS):
        counts += np.logical_and.accumulate(wrong[generator.permutation(len(wrong))]).sum(1)
    return [float(count) for count in counts / NUM_SUBSETS]
