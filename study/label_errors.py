"""The hardest MNIST test digits: how many networks are wrong on each, and whether human raters rejected the label.

No ceiling of the accuracy follows. Raters saw only about 100 of the 10,000 digits, those whose labels models doubted
most. The number of digits that all networks get wrong falls with every further network.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model_interpretation.metrics import CONTESTED_TEST_DIGITS, NUM_RATED_TEST_DIGITS
from model_interpretation.predict import load_test_predictions
from study.comparison.groups import RunGroup, group_runs
from study.figures import panel
from study.scorecard import finished_mnist_runs
from trainers.recipes import recipe_label, training_command
from utils.data import ImageSet, load_dataset
from utils.document import Block, Command, Document, Facts, Section, Table, Text, picture_of
from utils.errors import UserError
from utils.figures import digit_grid_figure, figure_style
from utils.files import shown, study_folder, write_whole
from utils.outside import read_json
from utils.predictions import Predictions
from utils.run import Run
from utils.track import track

RESULTS = "label_errors.json"
MIN_VAL_ACCURACY = 0.99  # the mistakes of weaker networks say little about the digits
NUM_SUBSETS = 200
NUM_SHOWN = 48
DESCRIPTIONS = {
    "hardest_digits": "The hardest test digits: number, label, most frequent wrong prediction, fraction of networks "
    "that misclassify it; * marks a label that human raters rejected",
    "missed_by_all": "Number of digits that all of k randomly chosen networks get wrong",
}


@dataclass(frozen=True)
class LabelErrors:
    """The mistakes of many accurate networks on every MNIST test digit."""

    test_set: ImageSet
    runs_by_recipe: dict[str, list[Run]]
    """The runs whose predictions were used, by the recipe's label."""
    error_rate: Float64[np.ndarray, " n"]
    """Per digit: the fraction of networks that are wrong, every recipe with equal weight."""
    most_frequent_error: Int64[np.ndarray, " n"]
    """Per digit: the most frequent wrong prediction; -1 if no network is wrong."""
    num_missed_by_all: list[float]
    """Element k - 1: number of digits that all of k networks get wrong, the mean over random subsets."""
    ensemble_accuracy: float
    """Accuracy of the mean of all probabilities, every recipe with equal weight."""

    @property
    def hardest_first(self) -> Int64[np.ndarray, " n"]:
        """Indices of all digits."""
        return np.argsort(-self.error_rate, kind="stable")

    def to_json(self) -> dict[str, Any]:
        """The content of label_errors.json: the runs, counts, and the digits that at least half of the networks get
        wrong."""
        hard = [int(index) for index in self.hardest_first if self.error_rate[index] >= 0.5]
        contested = self.error_rate[list(CONTESTED_TEST_DIGITS)]
        names = [run.name for runs in self.runs_by_recipe.values() for run in runs]
        return {
            "command": shlex.join(["mnist", "label-errors", *names]),
            "training_commands": [
                training_command(runs[0].recipe, [run.recipe.seed for run in runs])
                for runs in self.runs_by_recipe.values()
            ],
            "num_networks": len(names),
            "runs_by_recipe": {recipe: [run.name for run in runs] for recipe, runs in self.runs_by_recipe.items()},
            "min_val_accuracy": MIN_VAL_ACCURACY,
            "num_digits": len(self.error_rate),
            "mean_num_wrong": float(self.error_rate.sum()),
            "num_wrong_in_all_networks": int((self.error_rate == 1).sum()),
            "num_wrong_in_all_networks_and_contested": int((contested == 1).sum()),
            "num_wrong_in_half_of_networks": len(hard),
            "num_wrong_in_any_network": int((self.error_rate > 0).sum()),
            "num_rated": NUM_RATED_TEST_DIGITS,
            "num_contested": len(contested),
            "contested_error_rate": float(contested.mean()),
            "ensemble_accuracy": self.ensemble_accuracy,
            "num_missed_by_all": self.num_missed_by_all,
            "hard_digits": [
                {
                    "index": index,
                    "label": int(self.test_set.labels[index]),
                    "error_rate": float(self.error_rate[index]),
                    "most_frequent_error": int(self.most_frequent_error[index]),
                    "contested": index in CONTESTED_TEST_DIGITS,
                }
                for index in hard
            ],
        }


def find_label_errors(runs: Sequence[Run], named: bool = False) -> LabelErrors:
    """The mistakes of the networks whose recipe reaches `MIN_VAL_ACCURACY`, every recipe with equal weight.

    Runs with damaged predictions are left out with a message, or raise UserError if the user named the runs. Raises
    UserError if no run is left.
    """
    groups = _accurate_groups(runs)
    test_set = load_dataset("mnist", "test")
    found = _load_predictions(groups, test_set, named)
    by_recipe = {recipe: list(members.values()) for recipe, members in found.items()}
    all_predictions = [predictions for members in by_recipe.values() for predictions in members]
    num_errors_as = np.zeros((len(test_set), 10))  # per digit and wrong class
    for predictions in all_predictions:
        num_errors_as[np.arange(len(test_set)), predictions.predicted] += ~predictions.is_correct
    probabilities = [np.mean([each.probabilities for each in members], axis=0) for members in by_recipe.values()]
    ensemble = np.mean(probabilities, axis=0).argmax(1)
    return LabelErrors(
        test_set,
        {recipe: list(members) for recipe, members in found.items()},
        np.mean([np.mean([~each.is_correct for each in members], axis=0) for members in by_recipe.values()], axis=0),
        np.where(num_errors_as.any(1), num_errors_as.argmax(1), -1),
        _num_missed_by_all(np.array([~predictions.is_correct for predictions in all_predictions])),
        float((ensemble == test_set.labels.numpy()).mean()),
    )


def _accurate_groups(runs: Sequence[Run]) -> list[RunGroup]:
    groups, _ = group_runs(run for run in runs if not run.problem and run.recipe.dataset == "mnist")
    accurate = [group for group in groups if group.mean_interval("val_accuracy")[0] >= MIN_VAL_ACCURACY]
    if not accurate:
        raise UserError(
            "no run is accurate enough: expected a finished MNIST run of a recipe with a validation accuracy of "
            f"{MIN_VAL_ACCURACY:.0%} or more; 'mnist train fast_conv' creates one"
        )
    return accurate


def _load_predictions(groups: Sequence[RunGroup], test_set: ImageSet, named: bool) -> dict[str, dict[Run, Predictions]]:
    """The readable test predictions of each recipe, by the recipe's label and the run."""
    found: dict[str, dict[Run, Predictions]] = {}
    for group in track(groups, desc="recipes"):
        for run in group.runs:
            try:
                predictions = load_test_predictions(run, test_set)
                found.setdefault(recipe_label(group.recipe), {})[run] = predictions
            except UserError as error:
                if named:
                    raise
                print(f"left out: {error}", file=sys.stderr)
    if not found:
        raise UserError("none of these runs has readable predictions: 'mnist train fast_conv' creates such a run")
    return found


def _num_missed_by_all(wrong: Bool[np.ndarray, "networks n"]) -> list[float]:
    generator, counts = np.random.default_rng(0), np.zeros(len(wrong))
    for _ in range(NUM_SUBSETS):
        counts += np.logical_and.accumulate(wrong[generator.permutation(len(wrong))]).sum(1)
    return [float(count) for count in counts / NUM_SUBSETS]


def label_errors_folder() -> Path:
    return study_folder() / "label_errors"


def study_label_errors(runs: Sequence[Run]) -> None:
    """Prints the label errors of these runs and writes label_errors.json, the pictures and a page; without runs, of all
    finished MNIST runs, which is the study that the report shows. The results name the runs that were used."""
    named = bool(runs)
    runs = runs or finished_mnist_runs()
    if not runs:
        raise UserError("there is no finished MNIST run yet: 'mnist train fast_conv' creates one")
    folder = label_errors_folder() / "named_runs" if named else label_errors_folder()
    errors = find_label_errors(runs, named)
    values = errors.to_json()
    document = label_errors_document(errors, values)
    write_whole(folder / RESULTS, json.dumps(values, indent=1).encode())
    document.write_pictures(folder)
    document.write_html(folder / "label_errors.html")
    print("\n".join([*sentences(values), f"page: {shown(folder / 'label_errors.html')}"]))


def read_label_errors() -> dict[str, Any] | None:
    """The content of label_errors.json; None if the study has not been made. Raises UserError for a damaged file."""
    file = label_errors_folder() / RESULTS
    if not file.exists():
        return None
    try:
        values: dict[str, Any] = read_json(file)
        sentences(values)  # needs all that the report shows
        return values
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{shown(file)} is damaged ({error}): 'mnist label-errors' writes it again") from None


def sentences(values: dict[str, Any]) -> list[str]:
    """The content of label_errors.json in three paragraphs."""
    total, num_missed = values["num_digits"], values["num_wrong_in_all_networks"]
    num_recipes = len(values["runs_by_recipe"])
    recipes = "1 recipe" if num_recipes == 1 else f"{num_recipes} recipes"
    return [
        f"{values['num_networks']} networks of {recipes} count, those of an ablation study included: all recipes with "
        f"a mean validation accuracy of {values['min_val_accuracy']:.0%} or more. They misclassify "
        f"{values['mean_num_wrong']:.1f} of the "
        f"{total:,} test digits on average, every recipe with equal weight. The mean of their probabilities reaches an "
        f"accuracy of {values['ensemble_accuracy']:.2%}.",
        f"{values['num_wrong_in_any_network']:,} digits are misclassified by at least one network, "
        f"{values['num_wrong_in_half_of_networks']} by half of the networks or more, {num_missed} by all. The last "
        "number falls with every further network, also of the same recipe, so it is no limit of the accuracy.",
        f"Human raters saw about {values['num_rated']} of the {total:,} digits, those whose labels models doubted "
        f"most, and rejected {values['num_contested']} labels (Northcutt et al. 2021). The other labels were never "
        "rated, so the number of wrong labels and the highest possible accuracy are unknown. On the "
        f"{values['num_contested']} digits, {values['contested_error_rate']:.0%} of the networks disagree with the "
        f"label on average. {values['num_wrong_in_all_networks_and_contested']} of the {num_missed} digits that all "
        "networks get wrong are among them.",
    ]


def label_errors_document(errors: LabelErrors, values: dict[str, Any]) -> Document:
    """The page of `values`, the content of label_errors.json."""
    rows = [
        [str(digit["index"]), str(digit["label"]), f"{digit['error_rate']:.0%}",
         str(digit["most_frequent_error"]), "rejected" if digit["contested"] else ""]
        for digit in values["hard_digits"]
    ]  # fmt: skip
    header = ["test digit", "label", "networks wrong", "most frequent wrong prediction", "human raters"]
    hardest, missed = (
        picture_of(figure(errors), DESCRIPTIONS[name], name)
        for name, figure in (("hardest_digits", _hardest_digits_figure), ("missed_by_all", _missed_by_all_figure))
    )
    blocks: list[Block] = [
        Section("The hardest test digits", [hardest]),
        Section("Digits that several networks miss", [missed]),
        Section("Digits that at least half of the networks get wrong", [Table(header, rows, sortable=True)]),
        Section(
            "Commands",
            [
                Text("These commands train the networks, if their runs do not exist, and repeat the study:"),
                Command([*values["training_commands"], values["command"]]),
            ],
        ),
    ]
    facts = [
        ("networks", str(values["num_networks"])),
        ("digits that all networks get wrong", str(values["num_wrong_in_all_networks"])),
        ("labels that human raters rejected", f"{values['num_contested']} of {values['num_rated']} rated"),
    ]
    summary: list[Block] = [Facts(facts), *map(Text, sentences(values))]
    return Document("Label errors and the hardest test digits", blocks, summary)


def _hardest_digits_figure(errors: LabelErrors) -> Figure:
    indices = errors.hardest_first[:NUM_SHOWN]
    indices = indices[errors.error_rate[indices] > 0]
    captions = [
        f"no. {index}{' *' if index in CONTESTED_TEST_DIGITS else ''}\n"
        f"{int(errors.test_set.labels[index])} as {errors.most_frequent_error[index]}, {errors.error_rate[index]:.0%}"
        for index in indices
    ]
    num_missed, num_shown_rejected = int((errors.error_rate == 1).sum()), len({*indices} & {*CONTESTED_TEST_DIGITS})
    title = (
        f"All networks misclassify {num_missed} digits; human raters rejected {num_shown_rejected} of the "
        f"{len(indices)} hardest labels (*)"
    )
    return digit_grid_figure(errors.test_set.images[indices], captions, columns=8, title=title)


@figure_style()
def _missed_by_all_figure(errors: LabelErrors) -> Figure:
    num_missed = errors.num_missed_by_all
    title = f"One network misses {num_missed[0]:.0f} digits; {num_missed[-1]:.0f} are missed by all {len(num_missed)}"
    figure, axes = panel(title)
    axes.plot(range(1, len(num_missed) + 1), num_missed, marker="o", markersize=3)
    axes.set(xlabel="randomly chosen networks", ylabel="digits that all of them get wrong", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
