"""What no network gets, by answers made by hand."""

import json
import shutil

import numpy as np
import pytest

from study.comparison.run_records import read_record
from study.hardest_digits import find_limits
from study.limits_page import limits_folder
from utils.answers import Answers
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.run_folder import RunFolder

CONTESTED, PLAIN, SOMETIMES = 947, 5, 9


@pytest.fixture
def runs(quick_run, home, real_mirror):
    """Two seeds of one recipe and one of another: all get two digits wrong, only the second recipe a third one."""
    labels = load_dataset("mnist", "test").labels.numpy()
    made = []
    for name, seed, rate, wrong in (
        ("a-s0", 0, 0.01, [CONTESTED, PLAIN]),
        ("a-s1", 1, 0.01, [CONTESTED, PLAIN]),
        ("b-s0", 0, 0.02, [CONTESTED, PLAIN, SOMETIMES]),
    ):
        run = RunFolder(shutil.copytree(quick_run.path, home / "runs" / name))
        config, summary = run.config(), run.summary()
        config["train"] |= {"seed": seed, "learning_rate": rate}
        run.write_json("config.json", config)
        run.write_json("summary.json", {**summary, "seed": seed, "val_accuracy": 0.995})
        logits = 5 * np.eye(10, dtype=np.float32)[labels]
        logits[wrong] = 5 * np.eye(10, dtype=np.float32)[(labels[wrong] + 3) % 10]
        Answers(logits, labels).save(run.test_predictions)
        made.append(run)
    return made


@pytest.mark.real_mnist
def test_each_recipe_counts_alike(runs):
    limits = find_limits([read_record(run) for run in runs], were_named=True)
    assert limits.recipes == {
        "fast_conv, train size 40000, num epochs 1": 2,
        "fast_conv, train size 40000, num epochs 1, learning rate 0.02": 1,
    }
    assert limits.share_wrong[[CONTESTED, PLAIN, SOMETIMES, 0]].tolist() == [1, 1, 0.5, 0]
    assert set(limits.by_hardness[:2]) == {CONTESTED, PLAIN} and limits.by_hardness[2] == SOMETIMES
    assert limits.wrong_name[PLAIN] == (limits.test_set.labels[PLAIN] + 3) % 10 and limits.wrong_name[0] == -1
    assert limits.missed_by_all_of[-1] == 2 and limits.missed_by_all_of[0] == pytest.approx(7 / 3, abs=0.1)
    values = limits.to_json()
    assert values["mean_num_wrong"] == 2.5
    assert values["wrong_in_every_network"] == 2 and values["wrong_in_every_network_and_contested"] == 1
    assert values["accuracy_of_choosing_the_right_network"] == 0.9998
    assert values["share_of_uncontested_labels"] == 0.9985
    assert values["contested_share_wrong"] == pytest.approx(1 / 15)
    assert [digit["contested"] for digit in values["hard_digits"]].count(True) == 1


@pytest.mark.real_mnist
def test_the_command_writes_sentences_pictures_and_a_page(runs, command):
    code, printed, _ = command("limits")
    assert code == 0
    assert "3 networks of 2 recipes" in printed and "2.5 of the 10,000 test digits wrong" in printed
    values = json.loads((limits_folder() / "limits.json").read_text())
    assert values["num_networks"] == 3 and values["command"] == "mnist limits"
    page = (limits_folder() / "limits.html").read_text()
    assert page.count("<img") == 2 and "contested" in page
    assert (limits_folder() / "hardest_digits.png").exists()


@pytest.mark.real_mnist
def test_named_runs_do_not_replace_the_study_of_all(runs, command):
    assert command("limits")[0] == 0
    whole = (limits_folder() / "limits.json").read_text()
    assert command("limits", "a-s0")[0] == 0
    assert (limits_folder() / "limits.json").read_text() == whole
    assert json.loads((limits_folder() / "of_named_runs" / "limits.json").read_text())["num_networks"] == 1


@pytest.mark.real_mnist
def test_weak_recipes_and_damaged_predictions_are_left_out(runs, copied_run, command):
    with pytest.raises(UserError, match="right on 99%"):
        find_limits([read_record(RunFolder(copied_run))], were_named=True)  # of the bundled digits
    summary = runs[0].summary()
    runs[0].write_json("summary.json", {**summary, "val_accuracy": 0.99})  # with its other seed 0.9925: able
    assert find_limits([read_record(run) for run in runs], were_named=False).num_networks == 3
    runs[0].write_json("summary.json", {**summary, "val_accuracy": 0.98})  # 0.9875
    assert find_limits([read_record(run) for run in runs], were_named=False).num_networks == 1
    runs[0].write_json("summary.json", summary)
    Answers(np.zeros((5, 10), np.float32), np.zeros(5, np.int64)).save(runs[1].test_predictions)
    code, printed, error = command("limits")
    assert code == 0 and "left out: the predictions of run a-s1" in error and "2 networks of 2 recipes" in printed
    code, _, error = command("limits", "a-s1")
    assert code == 2 and "other digits" in error


@pytest.mark.parametrize(
    ("arguments", "message"), [([], "no finished run"), (["nowhere"], "no run at"), (["-x"], "-x")]
)
def test_bad_input_is_told(arguments, message, command):
    code, _, error = command("limits", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2
