"""The report on recipes with cached scorecards: page, Markdown and data."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import make_run, write_weights

from benchmarks import results
from study.ablation import BASELINE, AblationResults, VariantResult
from study.comparison.groups import RunGroup
from study.label_errors import label_errors_folder, study_label_errors
from study.report.answer import ADVERSARIAL, CONDITIONS, Accuracies, headline_findings, headline_table
from study.report.evidence import Network, is_trained_on
from study.report.report import write_report
from study.report.sections import METRIC_TABLES, ablation_section
from study.scorecard import FULL, METRICS, MetricResult, Scorecard, cached_scorecards
from study.scorecard.cache import ScorecardCache, cache_file
from study.scorecard.ood import SCORE_LABELS
from study.scorecard.scorecards import missing_texts
from utils.document import Text
from utils.errors import UserError
from utils.figures import MAX_PICTURE_BYTES
from utils.recipe import Recipe
from utils.run import Run


def test_the_report_shows_only_metrics_of_the_full_scorecard():
    in_tables = {metric for metrics in METRIC_TABLES.values() for metric in metrics}
    assert {*CONDITIONS, *ADVERSARIAL, *in_tables} <= set(FULL)
    assert not set(CONDITIONS) & set(ADVERSARIAL)


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
    assert text.count("Not measured: QMNIST") == 1
    assert "The mean rank of 2 networks over the 15 corruptions" in text
    result = cached_scorecards([Run.find("a-s0")], FULL)["a-s0"].results["spatial_worst_case"]
    assert f"{100 * result.value:.1f}" in text
    assert str(in_scored_home) not in text

    study_label_errors([])
    write_report(tmp_path)
    assert "test digits on average" in (tmp_path / "report.html").read_text()


def test_metrics_without_a_value_are_named_or_counted_by_reason():
    adapted = [metric for metric in FULL if metric.endswith("_adapted")]
    reasons = dict.fromkeys(adapted, "no batch normalisation") | {"usps_accuracy": "no data", "nll": "no data"}
    assert missing_texts(reasons) == [
        f"Not measured: {len(adapted)} metrics of 'Corruption robustness with adapted batch statistics': no batch "
        "normalisation.",
        "Not measured: USPS; negative log-likelihood (NLL), nats: no data.",
    ]
    assert missing_texts({}) == []


@pytest.mark.real_mnist
def test_the_report_begins_with_its_answer_and_no_verdict(in_scored_home, tmp_path):
    write_report(tmp_path)
    title, facts, test_set, conditions, picture, source = (tmp_path / "report.md").read_text().split("\n\n")[:6]
    assert title == "# Is MNIST solved?"
    assert f"- other conditions below 95 %: {len(CONDITIONS)} of {len(CONDITIONS)}\n" in facts and "USPS: 80." in facts
    assert test_set.startswith("The test set: fast_conv, 2 epochs, the recipe with the best validation accuracy")
    assert "Only about 100 labels were ever rated, so the highest possible accuracy is unknown." in test_set
    assert "2 seeds are too few for an interval or a claim: at least 5 are needed." in test_set
    # Invented: USPS 80 %, all other conditions 90 %.
    assert f"of {len(CONDITIONS)}, the accuracy is below 90 % under 1, below 95 % under {len(CONDITIONS)}" in conditions
    assert "lowest for 'USPS' (80." in conditions and "775 moves by up to 3 px" in conditions
    assert "(pictures/study_thresholds." in picture and source.startswith("Written by 'mnist report' on 20")
    text = (tmp_path / "report.md").read_text()
    for phrase in ("is solved", "not solved", "99.85", "ceiling", "oracle", "uncontested", "of 9 pairs"):
        assert phrase not in text, phrase


@pytest.mark.real_mnist
def test_the_markdown_shows_pictures_beside_it(in_scored_home, tmp_path):
    study_label_errors([])
    write_report(tmp_path)
    pictures = re.findall(r"\]\((pictures/\S+)\)", (tmp_path / "report.md").read_text())
    assert {"pictures/study_shift_maps.png", "pictures/study_hardest_digits.png"} <= set(pictures)
    assert all(0 < (tmp_path / picture).stat().st_size <= MAX_PICTURE_BYTES for picture in pictures)
    assert (tmp_path / "report.html").stat().st_size <= 5_000_000


@pytest.mark.real_mnist
def test_the_data_has_the_results_of_each_seed(in_scored_home, tmp_path):
    write_report(tmp_path)
    first, second, third = json.loads((tmp_path / "report.json").read_text())["runs"]
    assert first["config"]["model"] == "fast_conv" and [first["name"], second["name"]] == ["a-s0", "a-s1"]
    assert first["summary"]["val_accuracy"] == pytest.approx(0.994) and first["summary"]["train_seconds"] == 4.0
    assert first["results"]["spatial_worst_case"]["value"] == pytest.approx(0.4)
    assert (
        first["predictions"]["test"]["mistakes"][1] == [200, (7 + 1) % 10] or first["predictions"]["test"]["mistakes"]
    )
    assert third["config"]["learning_rate"] == 0.02 and "value" not in third["results"]["qmnist_accuracy"]
    assert str(in_scored_home) not in (tmp_path / "report.json").read_text()


@pytest.mark.real_mnist
def test_a_report_is_computed_again_from_its_json(in_scored_home, tmp_path, monkeypatch, command):
    """In a home without runs: the same text, and the same report.json."""
    write_report(tmp_path / "first")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MNIST_STUDY_HOME", str(tmp_path / "empty"))
    code, printed, error = command("report", "--from", str(tmp_path / "first" / "report.json"))
    assert code == 0 and "3 runs of 2 recipes" in printed, error
    again = tmp_path / "empty" / "study" / "output" / "report"
    first_text, second_text = (
        re.sub(r"Written by .*", "", (folder / "report.md").read_text()) for folder in (tmp_path / "first", again)
    )
    assert first_text == second_text
    assert (tmp_path / "first" / "report.json").read_bytes() == (again / "report.json").read_bytes()
    assert not (tmp_path / "empty" / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "cannot read .*: No such file or directory.\nExpected the report.json .*'mnist report' writes",
        ),
        ("{", "is not the report.json"),
        ("[]", "is not the report.json"),
        (json.dumps({"recipes": []}), "is not the report.json"),
        (json.dumps({"image_sets": {}, "runs": [{"name": "../outside"}]}), "is not the report.json"),
    ],
)
def test_other_files_are_refused_as_source(home, command, content, message):
    file = home / "report.json"
    if content is not None:
        file.write_text(content)
    code, _, error = command("report", "--from", str(file))
    assert code == 2 and re.search(message, error) and len(error.strip().splitlines()) <= 2
    assert not (home / "study").exists() and not (home.parent / "outside").exists()


# Conditions.


def network_with(accuracies: dict[str, list[float]], recipe: Recipe | None = None) -> Network:
    """A network with these accuracies of its seeds, with intervals of 0.2 points, and 2 points for USPS."""
    recipe = recipe or Recipe("linear", num_epochs=1)
    num_seeds = len(next(iter(accuracies.values())))
    runs = [make_run(f"{recipe.model}-{recipe.rotation_degrees}-s{seed}", recipe.with_seed(seed), 0.9)
            for seed in range(num_seeds)]  # fmt: skip
    cards = []
    for seed, run in enumerate(runs):
        results = {}
        for metric, values in accuracies.items():
            margin = 0.02 if metric == "usps_accuracy" else 0.002
            results[metric] = MetricResult(values[seed], values[seed] - margin, values[seed] + margin, 500)
        cards.append(Scorecard(run.name, results, {}, 0.0, run.path))
    return Network(RunGroup("linear", runs), cards)


def test_failed_conditions_are_counted_for_every_threshold(home):
    metrics = ["usps_accuracy", "rotation_20", "rotation_40"]
    network = network_with({"usps_accuracy": [0.94] * 5, "rotation_20": [0.99] * 5, "rotation_40": [0.5] * 5})
    accuracies = Accuracies.of(network, metrics)
    assert str(accuracies.num_failed(0.90)) == "1"
    assert str(accuracies.num_failed(0.95)) == "2 (1 to 2)"  # the interval of 94 % contains 95 %
    assert str(accuracies.num_failed(0.93)) == "1 (1 to 2)"
    assert str(accuracies.num_failed(0.999)) == "3"


def test_too_few_seeds_have_no_range(home):
    network = network_with({"usps_accuracy": [0.94] * 3})
    assert str(Accuracies.of(network, ["usps_accuracy"]).num_failed(0.95)) == "1"
    assert network.text("usps_accuracy") == "94.00%"


@pytest.mark.parametrize(
    ("metric", "changes", "is_covered"),
    [
        ("rotation_40", {"rotation_degrees": 40.0}, True),
        ("rotation_40", {"rotation_degrees": 39.0}, False),
        ("rotation_20", {"rotation_degrees": 45.0}, True),
        ("shift_4px", {"translation_pixels": 6.0}, True),
        ("shift_4px", {"translation_pixels": 2.0}, False),
        ("scale_0.7", {"scale_fraction": 0.3}, True),
        ("scale_1.3", {"scale_fraction": 0.2}, False),
        ("spatial_worst_case", {"rotation_degrees": 30.0, "translation_pixels": 6.0}, True),
        ("spatial_worst_case", {"rotation_degrees": 45.0}, False),
        ("corruption_rotate", {"rotation_degrees": 25.0}, True),
        ("usps_accuracy", {"rotation_degrees": 45.0, "translation_pixels": 6.0}, False),
        ("condition_inverted", {"generic_probability": 0.2}, True),
        ("condition_inverted", {"generic_probability": 0.2, "generic_transformations": "tone,field"}, False),
        ("condition_grey_paper", {"generic_probability": 0.2, "generic_transformations": "tone,field"}, True),
        ("condition_framed", {"generic_probability": 0.2}, False),
        ("condition_occluded", {"erasing_probability": 0.2}, True),
        ("robust_linf_0.1", {"adversarial_radius": 0.1}, True),
        ("robust_linf_0.2", {"adversarial_radius": 0.1}, False),
    ],
)
def test_conditions_of_the_augmentation_are_marked(metric, changes, is_covered, home):
    recipe = replace(Recipe("linear", num_epochs=1), **changes)
    assert is_trained_on(recipe, metric) == is_covered
    assert network_with({metric: [0.9] * 5}, recipe).text(metric).endswith("†") == is_covered


# The table of the README.


def test_the_table_of_the_readme_has_the_means_and_intervals_of_the_report(home):
    """Mean over the seeds with the interval of the report, a dash for what was not measured, a dagger for what
    training covers."""
    seeds = {"corruptions_mean": [0.7, 0.71, 0.69, 0.7, 0.7], "shift_4px": [0.9] * 5}
    networks = [
        network_with(seeds, replace(Recipe("linear", num_epochs=1), translation_pixels=4.0)),
        network_with({"corruptions_mean": [0.5] * 3}, Recipe("FC10", num_epochs=1)),
    ]
    header, rows = headline_table(networks)
    assert header == ["recipe", "parameters", "seeds", "test digits", "MNIST-C, n 500", "shifted by up to 4 px, n 500"]
    interval = networks[0].interval("corruptions_mean")
    assert rows[0][:3] == ["linear by the default recipe, 1 epoch, shift 4 px", "7,850", "5"]
    assert rows[0][4] == f"70.0 ({100 * interval.low:.1f}-{100 * interval.high:.1f})"
    assert re.fullmatch(r"90\.0 \(\d\d\.\d-\d\d\.\d\)†", rows[0][5])
    assert rows[1][4:] == ["50.0", "-"]  # three seeds are too few for an interval


def test_the_findings_of_the_readme_say_what_was_measured_and_nothing_else(home):
    first = {"corruptions_mean": [0.7] * 5, "spatial_worst_case": [0.1] * 5, "condition_inverted": [0.2] * 5}
    robust = {"corruptions_mean": [0.6] * 5, "spatial_worst_case": [0.9] * 5}
    networks = [
        network_with(first, Recipe("linear", num_epochs=1)),
        network_with(robust, replace(Recipe("linear", num_epochs=1), rotation_degrees=30, translation_pixels=3)),
    ]
    findings = dict(headline_findings(networks))
    assert list(findings) == ["The test set.", "Other conditions.", "Worst cases.", "A remedy and its price."]
    assert findings["Other conditions."].startswith(
        "Of 2 other conditions, 2 are below 95 %. The lowest three: polarity"
    )
    assert findings["Worst cases."].startswith("10.00% (") and "attack" not in findings["Worst cases."]
    trade_off = findings["A remedy and its price."]
    assert "rotation 30°, shift 3 px has the best worst case, 90.00% (" in trade_off and "70.00% (" in trade_off
    assert [heading for heading, _ in headline_findings(networks[1:])] == list(findings)[:3]


def test_the_readme_is_filled_from_report_json(partly_measured, home, monkeypatch):
    environment = {"started": "2026-11-21T20:23:26+00:00", "device": "a CPU", "packages": {"torch": "2.15.0"}}
    (partly_measured.path / "environment.json").write_text(json.dumps(environment))
    write_report(home / "docs")
    monkeypatch.setattr(results, "REPORT", home / "docs" / "report.json")
    readme = "<!-- table report -->\nold\n<!-- end -->"
    filled = results.with_tables(readme)
    assert "| linear by the default recipe, 1 epoch | 7,850 | 1 | 90.00 |" in filled and "old" not in filled
    assert filled.endswith("\n\na CPU, torch 2.15.0, 2026-11-21.\n<!-- end -->")
    findings = results.with_tables("<!-- table report:findings -->\nold\n<!-- end -->")
    assert (
        findings.startswith("<!-- table report:findings -->\n- **The test set.** `linear by") and "old" not in findings
    )
    monkeypatch.setattr(results, "REPORT", home / "nothing.json")
    assert "Not measured yet: `mnist report --output docs`" in results.with_tables(filled)


@pytest.fixture
def partly_measured(home: Path) -> Run:
    """A run with a single metric."""
    run = make_run("partial-s0", Recipe("linear", num_epochs=1), 0.91)
    write_weights(run, "weights")
    result = {"value": 0.8, "ci_low": 0.79, "ci_high": 0.81, "n": 2007, "kind": "fraction", "missing": ""}
    ScorecardCache(cache_file(run)).put(METRICS["usps_accuracy"], result, 0.1)
    return run


def test_a_report_of_few_metrics_names_the_command_for_the_others(partly_measured, home):
    write_report(home / "out")
    text = (home / "out" / "report.md").read_text()
    assert "lowest for 'USPS' (80.00%)" in text and "| network | USPS, n 2,007 |" in text
    assert "human raters rejected" not in text.split("## ")[0]
    assert "Some metrics have not been measured yet" in text and "mnist scorecard partial-s0" in text
    (run,) = json.loads((home / "out" / "report.json").read_text())["runs"]
    assert list(run["results"]) == ["usps_accuracy"]


def test_ablation_runs_are_shown_in_their_own_section_only(partly_measured, home):
    run = make_run("FC10-s0", Recipe("FC10", num_epochs=1), 0.92)
    write_weights(run, "other weights")
    usps = ScorecardCache(cache_file(partly_measured)).entries["usps_accuracy"].value
    ScorecardCache(cache_file(run)).put(METRICS["usps_accuracy"], usps, 0.1)
    variant = VariantResult(BASELINE.property, BASELINE.label, "FC10", 7850, {"usps_accuracy": [0.8, 0.8]}, ["FC10-s0"])
    AblationResults("mnist ablation", [0, 1], 1, [variant]).write(home / "study" / "output" / "ablation" / "x")
    write_report(home / "out")
    (recorded,) = json.loads((home / "out" / "report.json").read_text())["runs"]
    assert recorded["name"] == "partial-s0"


def test_the_ablation_section_lists_significant_effects_only():
    def variant(property, label, test_accuracies):
        values = {"test_accuracy": test_accuracies, "usps_accuracy": [0.8, 0.9, 0.85, 0.8, 0.9]}
        values |= {f"ood_kmnist_{score}": [value + more for value in values["test_accuracy"]]
                   for score, more in zip(SCORE_LABELS, (0.0, 0.01, 0.02, 0.03), strict=True)}  # fmt: skip
        values |= {f"ood_near_{score}": values["test_accuracy"] for score in SCORE_LABELS}
        values["ood_near_energy"] = [1.8 - value for value in values["test_accuracy"]]
        return VariantResult(property, label, "FC10", 7850, values, ["run"])

    results = AblationResults(
        "mnist ablation",
        [10, 11, 12, 13, 14],
        4,
        [
            variant(BASELINE.property, BASELINE.label, [0.900, 0.901, 0.902, 0.901, 0.901]),
            variant("depth", "more", [0.950, 0.951, 0.952, 0.951, 0.951]),
            variant("width", "less", [0.800, 0.801, 0.802, 0.801, 0.801]),
            variant("kernel", "other", [0.899, 0.902, 0.901, 0.901, 0.902]),
        ],
    )
    texts = [block.text for block in ablation_section(results).blocks if isinstance(block, Text)]
    assert any("increased by depth (more) +5.0. Decreased by width (less) -10.0." in text for text in texts)
    assert any("USPS: increased by nothing. Decreased by nothing." in text for text in texts)
    (kmnist,) = (text for text in texts if text.startswith("OOD KMNIST"))
    assert "where the four scores agree: increased by depth (more) +5.0 to +5.0. Decreased by width (less)" in kmnist
    (near,) = (text for text in texts if text.startswith("OOD near"))
    assert "increased by nothing. Decreased by nothing. For 2 others only some scores" in near

    few = replace(results, seeds=[10, 11, 12])
    texts = [block.text for block in ablation_section(few).blocks if isinstance(block, Text)]
    assert "3 seeds are too few to state an effect: expected at least 5." in texts
    assert not any("increased by" in text for text in texts)


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
