"""Scorecards of runs and modules: what is measured, what comes from the cache, what the table and the page show."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from study.scorecard import (
    BRIEF,
    CURVES,
    FULL,
    METRICS,
    MetricResult,
    cached_scorecards,
    evaluate,
    finished_mnist_runs,
    get_metric,
    print_scorecards,
    scorecard,
)
from study.scorecard.cache import ScorecardCache, scorecards_folder
from study.scorecard.evaluator import Metric, fraction_result
from study.scorecard.registry import similar_ids
from utils.errors import UserError
from utils.run import Run

CORRUPTIONS = [metric_id for metric_id in FULL if metric_id.startswith("corruption")]


@pytest.fixture
def run(quick_run, home, real_mirror):
    """A copy of the quick run in this test's own runs/."""
    return Run(shutil.copytree(quick_run.path, home / "runs" / "quick"))


def change_recipe(run: Run, **changes: object) -> Run:
    (run.path / "config.json").write_text(json.dumps(replace(run.recipe, **changes).to_json()))
    return Run(run.path)


def save_drawing(home) -> None:
    picture = Image.new("L", (100, 110), 255)
    ImageDraw.Draw(picture).line((50, 20, 50, 90), fill=0, width=6)
    folder = home / "runs" / "drawings"
    folder.mkdir(exist_ok=True)
    picture.save(folder / f"1-20261121-101010-{len(list(folder.iterdir()))}.png")


@pytest.mark.real_mnist
def test_all_metrics_of_a_real_network(run, no_network, monkeypatch):
    for name in ("NUM_DIGITS", "NUM_WORST_DIGITS", "NUM_AREA_DIGITS"):
        monkeypatch.setattr(f"study.scorecard.spatial.{name}", 20)
    monkeypatch.setattr("study.scorecard.spatial.MAX_SHIFT", 6)
    monkeypatch.setattr("study.scorecard.adversarial.NUM_DIGITS", 20)
    monkeypatch.setattr("study.scorecard.adversarial.STRONG_RADII", {"linf": (0.1, 0.2, 0.3, 0.5), "l2": (1.5,)})
    monkeypatch.setattr("study.scorecard.adversarial.NUM_QUERIES", 50)
    monkeypatch.setattr("study.scorecard.ood.NUM_TRAINING_DIGITS", 500)
    monkeypatch.setattr("study.scorecard.ood.NUM_IMAGES", 200)
    monkeypatch.setattr("utils.ood_scores.NUM_RESAMPLES", 20)
    results = evaluate(run, [*(set(FULL) - {*CORRUPTIONS}), "corruption_stripe"], "cpu")
    for metric_id, result in results.items():
        has_interval = not result.missing and not metric_id.startswith(("ood_blank", "ece"))
        assert not has_interval or result.ci_low <= result.value <= result.ci_high, metric_id
        assert bool(result.missing) == (result.value is None)
    value = {metric_id: result.value for metric_id, result in results.items()}
    assert value["test_accuracy"] > 0.98
    assert value["corruption_stripe"] < value["test_accuracy"]
    assert value["spatial_worst_case"] < 0.6 < value["rotation_20"]
    assert value["rotation_90"] < 0.5
    assert value["robust_linf_0.1"] <= value["pgd_linf_0.1"] < value["fgsm_linf_0.1"]
    assert value["robust_linf_0.5"] == value["gradient_masking"] == 0
    assert value["ood_near_energy"] < value["ood_shuffled_pixels_energy"]
    assert value["ood_shuffled_pixels_energy"] > 0.9
    fashion = results["ood_fashion_mnist_knn"]
    assert "fashion_mnist is not available" in fashion.missing or fashion.value > 0.8
    assert "mnist evaluate RUN --dataset qmnist" in results["qmnist_accuracy"].missing
    assert "mnist draw" in results["drawings_accuracy"].missing


@pytest.mark.real_mnist
def test_any_module_can_be_evaluated(real_mirror):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    results = evaluate(model, metrics=["test_accuracy", "sklearn_digits_accuracy", "temperature", "ood_noise_knn"])
    assert list(results) == ["test_accuracy", "sklearn_digits_accuracy", "temperature", "ood_noise_knn"]
    assert 0 < results["test_accuracy"].value < 0.3 and results["test_accuracy"].n == 10_000
    assert results["sklearn_digits_accuracy"].n == 1797
    assert "needs the validation digits of the model's run" in results["temperature"].missing
    assert "needs the train digits of the model's run" in results["ood_noise_knn"].missing


def test_a_module_without_logits_of_ten_classes_is_refused():
    with pytest.raises(UserError, match=r"\(2, 784\)"):
        evaluate(nn.Flatten(), ["test_accuracy"])


def test_an_unknown_metric_is_refused_with_the_closest_ids():
    with pytest.raises(UserError, match=r"unknown metric 'rotaton_40': did you mean rotation_40\? .*--list"):
        evaluate(nn.Flatten(), ["rotaton_40"])
    with pytest.raises(UserError, match=r"unknown metric 'x+\.*': 'mnist scorecard --list' lists all"):
        get_metric("x" * 1000)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("rotation", ["rotation_20", "rotation_40", "rotation_90"]),
        ("usps", ["usps_accuracy"]),
        ("Calibration", [metric_id for metric_id in METRICS if METRICS[metric_id].group == "Calibration"]),
        ("pgd linf", ["pgd_linf_0.1"]),
        ("corruption_mean", [f"corruptions_mean{ending}" for ending in ("", "_1000", "_adapted", "_adapted_1000")]),
        ("spatal worst", ["spatial_worst_case"]),
        ("rotation_41", ["rotation_40", "rotation_90", "rotation_20"]),
        ("acuracy", [metric_id for metric_id in METRICS if "accuracy" in metric_id + METRICS[metric_id].label]),
        ("zzz", []),
        ("", []),
    ],
)
def test_suggestions_are_metrics_that_the_user_may_mean(text, ids):
    assert similar_ids(text) == ids


def test_ids_belong_to_one_metric_or_curve():
    assert not METRICS.keys() & CURVES.keys()
    assert {*FULL, *BRIEF} == METRICS.keys()


@pytest.mark.real_mnist
def test_results_are_cached_by_the_weights(run, home):
    first = scorecard(run, ["test_accuracy"], "cpu")
    assert scorecard(run, ["test_accuracy"], "cpu") == first  # the seconds too: nothing was measured again
    (home / "runs" / "renamed").symlink_to(run.path.resolve(), target_is_directory=True)
    assert scorecard(Run.find("renamed"), ["test_accuracy"], "cpu") == replace(first, run_name="renamed")
    assert set(cached_scorecards(finished_mnist_runs(), ["test_accuracy"])) == {"quick", "renamed"}
    assert set(cached_scorecards([run], BRIEF)["quick"].results) == {"test_accuracy"}
    assert cached_scorecards([run], ["ece"]) == {}


@pytest.mark.real_mnist
def test_a_changed_version_is_measured_again(run, monkeypatch):
    metrics = ["test_accuracy", "sklearn_digits_accuracy"]
    first = scorecard(run, metrics, "cpu")
    monkeypatch.setattr("study.scorecard.ood.NUM_IMAGES", 1)  # a constant of other metrics
    assert cached_scorecards([run], metrics)["quick"] == first
    changed = replace(METRICS["test_accuracy"], version=99, compute=lambda _: fraction_result(np.array([True])))
    monkeypatch.setitem(METRICS, "test_accuracy", changed)
    assert set(cached_scorecards([run], metrics)["quick"].results) == {"sklearn_digits_accuracy"}
    again = scorecard(run, metrics, "cpu").results
    assert again["test_accuracy"].n == 1
    assert again["sklearn_digits_accuracy"] == first.results["sklearn_digits_accuracy"]


@pytest.mark.real_mnist
def test_a_new_metric_costs_one_entry_and_hides_no_scorecard(in_scored_home, monkeypatch):
    before = cached_scorecards(finished_mnist_runs())
    assert set(before) == {"a-s0", "a-s1", "b-s0"} and set(before["b-s0"].curves) == set(CURVES)
    new = Metric("first_digits", "the first ten digits", 1, "Test set", lambda _: fraction_result(np.ones(10, bool)))
    monkeypatch.setitem(METRICS, "first_digits", new)
    assert cached_scorecards(finished_mnist_runs(), [*FULL, "first_digits"]) == before


@pytest.mark.real_mnist
def test_unfinished_runs_have_no_cached_scorecard(in_scored_home):
    (in_scored_home / "runs" / "b-s0" / "summary.json").unlink()
    assert set(cached_scorecards(Run.all())) == {"a-s0", "a-s1"}


@pytest.mark.real_mnist
def test_all_runs_are_checked_before_the_first_is_measured(in_scored_home, capsys):
    (in_scored_home / "runs" / "b-s0" / "summary.json").unlink()
    with pytest.raises(UserError, match="b-s0 has no scorecard: it is unfinished, 2 of 2 epochs"):
        print_scorecards([Run.find("a-s0"), Run.find("b-s0")])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", ["", "{", "[]", "3", '{"ece": {"value": 1}}', '{"ece": 3}', '{"ece": null}'])
def test_a_damaged_cache_counts_as_empty(tmp_path, damage):
    file = tmp_path / "cache.json"
    file.write_text(damage)
    cache = ScorecardCache(file)
    assert cache.is_due(METRICS["ece"])
    result = MetricResult(0.1, 0.0, 0.2, 500)
    cache.put(METRICS["ece"], asdict(result), 1.0)
    entry = ScorecardCache(file).get(METRICS["ece"])
    assert MetricResult(**entry.value) == result and not ScorecardCache(file).is_due(METRICS["ece"])


@pytest.mark.real_mnist
def test_missing_results_are_measured_when_data_appear(run, home, no_network):
    metrics = ["test_accuracy", "drawings_accuracy", "emnist_digits_accuracy"]
    first = scorecard(run, metrics, "cpu")
    assert first.results["drawings_accuracy"].value is None
    assert scorecard(run, metrics, "cpu") == first  # without new data nothing is tried again
    for count in (1, 2):  # a second drawing makes the result of the first outdated
        save_drawing(home)
        card = scorecard(run, metrics, "cpu")
        assert card.results["drawings_accuracy"].n == count
    assert card.results["test_accuracy"] == first.results["test_accuracy"]
    assert "emnist_digits is not available" in card.results["emnist_digits_accuracy"].missing


@pytest.mark.real_mnist
def test_a_run_without_its_training_data_is_measured_as_far_as_possible(quick_run, home, real_mirror):
    copy = Run(shutil.copytree(quick_run.path, home / "runs" / "moved"))
    moved = change_recipe(copy, dataset="csv:/nowhere/train.csv")
    results = evaluate(moved, ["test_accuracy", "ece", "temperature", "ood_blank_energy", "ood_blank_knn"], "cpu")
    assert results["test_accuracy"].value > 0.98
    assert results["ece"].value > 0
    assert "/nowhere/train.csv" in results["temperature"].missing
    assert results["ood_blank_energy"].value > 0
    assert "/nowhere/train.csv" in results["ood_blank_knn"].missing


@pytest.mark.real_mnist
def test_a_run_trained_on_few_digits_is_measured(copied_run, real_mirror):
    results = evaluate(Run(copied_run), ["sklearn_digits_accuracy", "ood_noise_mahalanobis"], "cpu")
    assert "trained on some of them" in results["sklearn_digits_accuracy"].missing
    assert 0 <= results["ood_noise_mahalanobis"].value <= 1


def test_a_run_trained_on_clothes_is_refused(copied_run):
    with pytest.raises(UserError, match="fashion_mnist"):
        scorecard(change_recipe(Run(copied_run), dataset="fashion_mnist"), ["test_accuracy"], "cpu")


def test_an_unfinished_run_is_refused(copied_run):
    (copied_run / "summary.json").unlink()
    with pytest.raises(UserError, match="unfinished"):
        scorecard(Run(copied_run), ["test_accuracy"], "cpu")


@pytest.mark.real_mnist
def test_results_before_ctrl_c_are_in_the_cache(run, monkeypatch):
    def interrupted(_evaluator):
        raise KeyboardInterrupt

    monkeypatch.setitem(METRICS, "ece", replace(METRICS["ece"], compute=interrupted))
    with pytest.raises(KeyboardInterrupt):
        scorecard(run, ["test_accuracy", "ece"], "cpu")
    assert cached_scorecards([run], ["test_accuracy"])["quick"].results["test_accuracy"].value > 0.98


@pytest.mark.real_mnist
def test_the_command_prints_a_full_scorecard_and_writes_a_page(in_scored_home, command):
    code, printed, _ = command("scorecard", "b-s0")
    assert code == 0
    for metric_id in FULL:
        assert METRICS[metric_id].label in printed
    assert "QMNIST, the 50,000 digits not in MNIST: qmnist is not available" in printed
    (file,) = scorecards_folder().glob("b-s0-*.html")
    page = file.read_text()
    assert page.count("<img") >= 6 and "rotation_40" in page and "qmnist is not available" in page
    written = file.stat().st_mtime_ns
    assert command("scorecard", "b-s0")[1] == printed and file.stat().st_mtime_ns == written  # not written again


@pytest.mark.real_mnist
def test_the_command_measures_chosen_metrics(in_scored_home, command):
    code, printed, _ = command("scorecard", "a-s0", "a-s1", "--metrics", "rotation_40", "test_accuracy")
    assert code == 0 and printed.count("rotated by ±40 degrees") == 2 and "page:" not in printed
    assert "90.10% (90.05% to 90.15%)" in printed


def test_the_command_lists_all_metrics(command):
    code, printed, _ = command("scorecard", "--list")
    assert code == 0 and all(metric_id in printed for metric_id in METRICS)


@pytest.mark.real_mnist
def test_a_damaged_checkpoint_is_reported_and_nothing_is_cached(quick_run, home, real_mirror, command):
    damaged = Run(shutil.copytree(quick_run.path, home / "runs" / "damaged"))
    content = damaged.best_checkpoint.read_bytes()
    for broken in (b"", content[: len(content) // 2]):
        damaged.best_checkpoint.write_bytes(broken)
        code, _, error = command("scorecard", "damaged")
        assert code == 2 and "best.pt: it is empty, cut off" in error and "--repair" in error
    damaged.best_checkpoint.unlink()
    code, _, error = command("scorecard", "damaged")
    assert code == 2 and "best.pt" in error
    assert not scorecards_folder().exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no run at 'nowhere'"),
        (["mine", "--device", "tpu"], "device"),
        (["mine", "--metrics", "rotation_41"], "did you mean rotation_40"),
        (["--runs"], "--runs"),
        ([], "there is no finished run"),
    ],
)
def test_bad_input_is_reported_in_two_lines(arguments, message, command, request, home):
    if "mine" in arguments:
        request.getfixturevalue("copied_run")
    code, _, error = command("scorecard", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2


def test_a_missing_result_says_so():
    assert str(MetricResult(None, missing="no network")) == "missing: no network"
