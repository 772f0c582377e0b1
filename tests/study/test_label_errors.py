"""Hardest digits and contested labels, computed from invented predictions."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_runs import make_run

from study.label_errors import find_label_errors, label_errors_folder, study_label_errors
from trainers.recipes import get_recipe, recipe_label
from utils.data import load_dataset
from utils.errors import UserError
from utils.predictions import Predictions
from utils.recipe import Recipe
from utils.run import Run

CONTESTED, UNCONTESTED, SOMETIMES = 947, 5, 9


def make_accurate_run(name: str, recipe: Recipe, wrong: list[int], val_accuracy: float = 0.995) -> Run:
    """A run that is wrong on these MNIST test digits: it predicts the label plus 3."""
    labels = load_dataset("mnist", "test").labels.numpy()
    logits = 5 * np.eye(10, dtype=np.float32)[labels]
    logits[wrong] = 5 * np.eye(10, dtype=np.float32)[(labels[wrong] + 3) % 10]
    return make_run(name, recipe, val_accuracy, predictions=Predictions(logits, labels))


@pytest.fixture
def runs(home, real_mirror):
    """Two seeds of one recipe and one of another. All are wrong on two digits, the second recipe also on a third."""
    recipe = replace(get_recipe("fast_conv"), num_epochs=1)
    return [
        make_accurate_run("a-s0", recipe, [CONTESTED, UNCONTESTED]),
        make_accurate_run("a-s1", recipe.with_seed(1), [CONTESTED, UNCONTESTED]),
        make_accurate_run("b-s0", replace(recipe, learning_rate=0.02), [CONTESTED, UNCONTESTED, SOMETIMES]),
    ]


@pytest.mark.real_mnist
def test_every_recipe_has_equal_weight(runs):
    errors = find_label_errors(runs, named=True)
    assert errors.runs_by_recipe == {recipe_label(runs[0].recipe): runs[:2], recipe_label(runs[2].recipe): runs[2:]}
    assert errors.error_rate[[CONTESTED, UNCONTESTED, SOMETIMES, 0]].tolist() == [1, 1, 0.5, 0]
    assert set(errors.hardest_first[:2]) == {CONTESTED, UNCONTESTED} and errors.hardest_first[2] == SOMETIMES
    assert errors.most_frequent_error[UNCONTESTED] == (errors.test_set.labels[UNCONTESTED] + 3) % 10
    assert errors.most_frequent_error[0] == -1
    assert errors.num_missed_by_all[-1] == 2 and errors.num_missed_by_all[0] == pytest.approx(7 / 3, abs=0.1)
    values = errors.to_json()
    assert values["mean_num_wrong"] == 2.5
    assert values["num_wrong_in_all_networks"] == 2 and values["num_wrong_in_all_networks_and_contested"] == 1
    assert not {"oracle_accuracy", "uncontested_fraction"} & set(values)
    assert values["contested_error_rate"] == pytest.approx(1 / 15)
    assert [digit["contested"] for digit in values["hard_digits"]].count(True) == 1


@pytest.mark.real_mnist
def test_the_study_writes_sentences_pictures_and_a_page(runs, capsys):
    study_label_errors([])
    printed = capsys.readouterr().out
    assert "3 networks of 2 recipes" in printed and "misclassify 2.5 of the 10,000 test digits" in printed
    values = json.loads((label_errors_folder() / "label_errors.json").read_text())
    assert values["num_networks"] == 3 and "about 100 of the 10,000 digits" in printed
    assert "oracle" not in printed and "ceiling" not in printed and "99.85" not in printed
    page = (label_errors_folder() / "label_errors.html").read_text()
    assert page.count("<img") == 2 and "rejected" in page
    assert (label_errors_folder() / "hardest_digits.png").exists()


@pytest.mark.real_mnist
def test_named_runs_do_not_replace_the_study_of_all_runs(runs, capsys):
    study_label_errors([])
    content = (label_errors_folder() / "label_errors.json").read_text()
    study_label_errors(runs[:1])
    assert (label_errors_folder() / "label_errors.json").read_text() == content
    assert json.loads((label_errors_folder() / "named_runs" / "label_errors.json").read_text())["num_networks"] == 1


@pytest.mark.real_mnist
def test_the_recorded_command_names_the_runs_and_reproduces_the_results(runs, command):
    study_label_errors([])
    values = json.loads((label_errors_folder() / "label_errors.json").read_text())
    assert values["command"] == "mnist label-errors a-s0 a-s1 b-s0"
    assert [line.split(" --seeds ")[1] for line in values["training_commands"]] == ["0:2", "0:1"]
    make_accurate_run("later", replace(runs[0].recipe, learning_rate=0.03), [1, 2, 3])
    code, _, error = command(*values["command"].split()[1:])
    assert code == 0, error
    assert json.loads((label_errors_folder() / "named_runs" / "label_errors.json").read_text()) == values


@pytest.mark.real_mnist
def test_inaccurate_recipes_are_left_out(home, real_mirror):
    recipe = get_recipe("fast_conv")
    first = make_accurate_run("a", recipe, [UNCONTESTED], val_accuracy=0.995)
    other = make_accurate_run("b", replace(recipe, learning_rate=0.02), [UNCONTESTED])
    just_accurate = make_accurate_run("c", recipe.with_seed(1), [UNCONTESTED], val_accuracy=0.986)  # mean 0.9905
    inaccurate = make_accurate_run("d", recipe.with_seed(1), [UNCONTESTED], val_accuracy=0.98)  # mean 0.9875
    assert find_label_errors([first, just_accurate, other]).to_json()["num_networks"] == 3
    assert find_label_errors([first, inaccurate, other]).to_json()["num_networks"] == 1
    with pytest.raises(UserError, match="99% or more"):
        find_label_errors([make_run("digits", Recipe("linear", dataset="digits"), 0.999)])


@pytest.mark.real_mnist
def test_damaged_predictions_are_left_out(runs, capsys):
    Predictions(np.zeros((5, 10), np.float32), np.zeros(5, np.int64)).save(runs[1].predictions_file("test"))
    study_label_errors([])
    printed, error = capsys.readouterr()
    assert "left out: the test predictions of run a-s1" in error and "2 networks of 2 recipes" in printed
    with pytest.raises(UserError, match="a-s1 belong to other digits"):
        find_label_errors([runs[1]], named=True)


@pytest.mark.parametrize(
    ("arguments", "message"), [([], "no finished MNIST run"), (["nowhere"], "no run at"), (["-x"], "-x")]
)
def test_bad_input(arguments, message, command):
    code, _, error = command("label-errors", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2
