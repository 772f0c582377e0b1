"""The report on recipes with cached scorecards: page, Markdown and data."""

import json
import re
from pathlib import Path

import pytest
from made_runs import make_run

from study.ablation import BASELINE, AblationResults, VariantResult
from study.label_errors import label_errors_folder, study_label_errors
from study.report.report import write_report
from study.report.sections import CONDITIONS, METRIC_TABLES, ablation_section
from study.scorecard import FULL, METRICS, cached_scorecards
from study.scorecard.cache import ScorecardCache, cache_file
from utils.document import Text
from utils.errors import UserError
from utils.recipe import Recipe
from utils.run import Run


def test_the_report_shows_only_metrics_of_the_full_scorecard():
    assert {*CONDITIONS, *(metric for metrics in METRIC_TABLES.values() for metric in metrics)} <= set(FULL)


@pytest.mark.real_mnist
def test_the_page_shows_what_was_measured_and_what_is_missing(in_scored_home, tmp_path, capsys):
    write_report(tmp_path)
    assert "3 runs of 2 recipes" in capsys.readouterr().out
    text = (tmp_path / "report.html").read_text()
    for title in ("Input inspection", "Model fitting", "Generalisation", "Ablation study", "Label errors"):
        assert title in text
    for study in ("inspect", "ablation", "label-errors"):
        assert re.search(rf"has not been made yet.{{1,200}}mnist {study}", text, re.DOTALL)
    assert "--learning-rate 0.02 --seeds 0:1" in text and "--seeds 0:2" in text
    assert "Not measured: QMNIST" in text
    result = cached_scorecards([Run.find("a-s0")], FULL)["a-s0"].results["spatial_worst_case"]
    assert f"{100 * result.value:.1f}" in text
    assert str(in_scored_home) not in text

    study_label_errors([], "mnist label-errors")
    write_report(tmp_path)
    assert "test digits wrong on average" in (tmp_path / "report.html").read_text()


@pytest.mark.real_mnist
def test_the_report_begins_with_its_answer(in_scored_home, tmp_path):
    write_report(tmp_path)
    title, sentences, picture, source = (tmp_path / "report.md").read_text().split("\n\n")[:4]
    assert title == "# Is MNIST solved?"
    assert sentences.startswith("As a test set, MNIST is solved: ")
    assert "As a task, it is not solved: the accuracy of this network is below 95 % under 9 of 9 other" in sentences
    assert "lowest for the condition 'worst case of 3 px and 30 degrees' (40.05" in sentences
    assert "2 of the 2 networks of this report fall below 95 % under at least one condition" in sentences
    assert picture.endswith("(pictures/study_conditions.png)") and source.startswith("Written by 'mnist report' on 20")


@pytest.mark.real_mnist
def test_the_markdown_shows_pictures_beside_it(in_scored_home, tmp_path):
    study_label_errors([], "mnist label-errors")
    write_report(tmp_path)
    pictures = re.findall(r"\]\((pictures/\S+)\)", (tmp_path / "report.md").read_text())
    assert {"pictures/study_shift_maps.png", "pictures/study_hardest_digits.png"} <= set(pictures)
    assert all((tmp_path / picture).exists() for picture in pictures)


@pytest.mark.real_mnist
def test_the_data_has_the_results_of_each_seed(in_scored_home, tmp_path):
    write_report(tmp_path)
    first, second = json.loads((tmp_path / "report.json").read_text())["recipes"]
    assert first["model"] == "fast_conv" and first["seeds"] == [0, 1] and first["runs"] == ["a-s0", "a-s1"]
    assert first["val_accuracy"] == pytest.approx([0.994, 0.995]) and first["train_seconds"] == [4.0, 4.0]
    worst_case = first["metrics"]["spatial_worst_case"]
    assert worst_case["values"] == pytest.approx([0.4, 0.401]) and worst_case["n"] == 500
    assert "learning rate 0.02" in second["label"] and "qmnist_accuracy" not in second["metrics"]


@pytest.fixture
def partly_measured(home: Path) -> Run:
    """A run with a single metric."""
    run = make_run("partial-s0", Recipe("linear", num_epochs=1), 0.91)
    run.best_checkpoint.write_bytes(b"weights")
    result = {"value": 0.8, "ci_low": 0.79, "ci_high": 0.81, "n": 2007, "kind": "fraction", "missing": ""}
    ScorecardCache(cache_file(run)).put(METRICS["usps_accuracy"], result, 0.1)
    return run


def test_a_report_of_few_metrics_names_the_command_for_the_others(partly_measured, home):
    write_report(home / "out")
    text = (home / "out" / "report.md").read_text()
    assert "lowest for the condition 'USPS' (80.00\u00a0%)" in text and "| network | USPS, n 2,007 |" in text
    assert "the accuracy on those with uncontested labels has not been measured" in text
    assert "Some metrics have not been measured yet" in text and "mnist scorecard partial-s0" in text
    (recipe,) = json.loads((home / "out" / "report.json").read_text())["recipes"]
    assert list(recipe["metrics"]) == ["usps_accuracy"]


def test_ablation_runs_are_shown_in_their_own_section_only(partly_measured, home):
    run = make_run("FC10-s0", Recipe("FC10", num_epochs=1), 0.92)
    run.best_checkpoint.write_bytes(b"other weights")
    usps = ScorecardCache(cache_file(partly_measured)).entries["usps_accuracy"].value
    ScorecardCache(cache_file(run)).put(METRICS["usps_accuracy"], usps, 0.1)
    variant = VariantResult(BASELINE.property, BASELINE.label, "FC10", 7850, {"usps_accuracy": [0.8, 0.8]}, ["FC10-s0"])
    AblationResults("mnist ablation", [0, 1], 1, [variant]).write(home / "study" / "output" / "ablation" / "x")
    write_report(home / "out")
    (recipe,) = json.loads((home / "out" / "report.json").read_text())["recipes"]
    assert recipe["runs"] == ["partial-s0"]


def test_the_ablation_section_lists_significant_effects_only():
    def variant(property, label, test_accuracies):
        values = {"test_accuracy": test_accuracies, "usps_accuracy": [0.8, 0.9, 0.85]}
        return VariantResult(property, label, "FC10", 7850, values, ["run"])

    results = AblationResults(
        "mnist ablation",
        [0, 1, 2],
        4,
        [
            variant(BASELINE.property, BASELINE.label, [0.900, 0.901, 0.902]),
            variant("depth", "more", [0.950, 0.951, 0.952]),
            variant("width", "less", [0.800, 0.801, 0.802]),
            variant("kernel", "other", [0.899, 0.902, 0.901]),
        ],
    )
    texts = [block.text for block in ablation_section(results).blocks if isinstance(block, Text)]
    assert any("increased by depth (more) +5.0. Decreased by width (less) -10.0." in text for text in texts)
    assert any("USPS: increased by nothing. Decreased by nothing." in text for text in texts)


def test_a_report_without_scorecards_names_the_command(tmp_path):
    with pytest.raises(UserError, match="mnist scorecard"):
        write_report(tmp_path)


@pytest.mark.real_mnist
@pytest.mark.parametrize("damage", ["{", json.dumps({"num_networks": 1})])
def test_damaged_label_errors_are_reported(in_scored_home, tmp_path, damage):
    label_errors_folder().mkdir(parents=True)
    (label_errors_folder() / "label_errors.json").write_text(damage)
    with pytest.raises(UserError, match=r"label_errors.json is damaged .*'mnist label-errors' writes it again"):
        write_report(tmp_path)


def test_a_file_as_output_is_refused(home, command):
    (home / "report.html").write_text("mine")
    code, _, error = command("report", "--output", str(home / "report.html"))
    assert code == 2 and "expected a folder" in error and (home / "report.html").read_text() == "mine"
