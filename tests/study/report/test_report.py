"""The report on recipes with cached scorecards, as a page and as the README's Study section."""

import json

import pytest

from study.ablation import BASELINE, AblationResults, VariantResult
from study.label_errors import label_errors_folder, study_label_errors
from study.report.report import write_report
from study.report.sections import (
    CALIBRATION,
    CONDITIONS,
    OOD_AND_ATTACKS,
    OTHER_DATASETS,
    ROBUSTNESS,
    ablation_section,
)
from study.scorecard import FULL, cached_scorecards
from utils.document import Text
from utils.errors import UserError
from utils.run import Run


def test_the_report_shows_only_metrics_of_the_full_scorecard():
    tables = (OTHER_DATASETS, ROBUSTNESS, CALIBRATION, OOD_AND_ATTACKS)
    assert {*CONDITIONS, *(metric for table in tables for metric in table.columns.values())} <= set(FULL)


@pytest.mark.real_mnist
def test_the_page_shows_what_was_measured_and_what_is_missing(in_scored_home, tmp_path, capsys):
    page = tmp_path / "report.html"
    write_report(page)
    assert "2 recipes, 3 runs" in capsys.readouterr().out
    text = page.read_text()
    for title in ("Input inspection", "Model fitting", "Generalisation", "Ablation study", "Label errors",
                  "Conclusion: is MNIST solved?"):  # fmt: skip
        assert title in text
    assert "has not been made yet" in text and "mnist ablation" in text and "mnist label-errors" in text
    assert "--learning-rate 0.02 --seeds 0:1" in text and "--seeds 0:2" in text
    assert "Not measured: QMNIST" in text
    result = cached_scorecards([Run.find("a-s0")], FULL)["a-s0"].results["spatial_worst_case"]
    assert f"{100 * result.value:.1f}" in text
    assert "solved as a test set" in text and "under other conditions is not solved (criterion: 95% accuracy)" in text
    assert str(in_scored_home) not in text

    study_label_errors([], "mnist label-errors")
    write_report(page)
    assert "test digits wrong on average" in page.read_text()


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
    section = ablation_section(results)
    texts = [block.text for block in section.brief_blocks if isinstance(block, Text)]
    assert any("increased by depth (more) +5.0. Decreased by width (less) -10.0." in text for text in texts)
    assert any("USPS: increased by nothing. Decreased by nothing." in text for text in texts)
    assert len(section.blocks) == len(section.brief_blocks) + 2


@pytest.mark.real_mnist
def test_the_short_version_is_a_markdown_file_with_pictures(in_scored_home, tmp_path):
    study_label_errors([], "mnist label-errors")
    markdown = tmp_path / "docs" / "report.md"
    write_report(tmp_path / "report.html", markdown)
    text = markdown.read_text()
    assert (
        text.startswith("# Is MNIST solved?\n") and "\n## Model fitting\n" in text and "mnist scorecard RUN ..." in text
    )
    for picture in ("study_shift_maps.png", "study_hardest_digits.png"):
        assert f"(pictures/{picture})" in text and (markdown.parent / "pictures" / picture).exists()


def test_a_report_without_scorecards_names_the_command(tmp_path):
    with pytest.raises(UserError, match="mnist scorecard"):
        write_report(tmp_path / "report.html")


@pytest.mark.real_mnist
@pytest.mark.parametrize("damage", ["{", json.dumps({"num_networks": 1})])
def test_damaged_label_errors_are_reported(in_scored_home, tmp_path, damage):
    label_errors_folder().mkdir(parents=True)
    (label_errors_folder() / "label_errors.json").write_text(damage)
    with pytest.raises(UserError, match=r"label_errors.json is damaged .*'mnist label-errors' writes it again"):
        write_report(tmp_path / "report.html")


@pytest.mark.parametrize("folder", [".", ""])
def test_a_folder_as_output_is_refused(folder, command):
    code, _, error = command("report", "--output", folder)
    assert code == 2 and "expected a file" in error
