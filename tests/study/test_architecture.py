"""The architecture study: its networks, its effects by hand, and a small study from beginning to end."""

import json

import pytest

from models.registry import build_model, num_parameters
from study import architecture, architecture_effects
from study.architecture_effects import architecture_folder, effect_cells, effect_of, effects_figure
from study.architecture_variants import BASELINE, PROPERTIES, VARIANTS, Variant
from study.generalisation import scorecards
from study.generalisation.cells import Cell, Part
from utils.paths import runs_folder


def test_the_variants_are_networks_that_differ_from_the_baseline():
    recipes = [variant.recipe(4, "auto") for variant in VARIANTS]
    assert len({str(recipe) for recipe in recipes}) == len(VARIANTS)
    assert VARIANTS[0] is BASELINE and "baseline" not in PROPERTIES
    assert len({(variant.property, variant.label) for variant in VARIANTS}) == len(VARIANTS)
    baseline = num_parameters(build_model(BASELINE.model))
    for variant in VARIANTS:
        count = num_parameters(build_model(variant.model))
        if "as many parameters" in variant.property:
            assert count == pytest.approx(baseline, rel=0.02)


def results_by_hand():
    def network(name, clean, **more):
        return {
            "property": name, "label": "x", "model": "FC10", "settings": {}, "num_parameters": 7850,
            "values": {"clean": clean, **more}, "runs": [],
        }  # fmt: skip

    networks = [
        network("baseline", [0.90, 0.92, 0.94], USPS=[0.5, 0.6, 0.7]),
        network("better", [0.98, 0.98, 0.981], USPS=[0.5, 0.6, 0.7]),
        network("alike", [0.91, 0.92, 0.94]),
    ]
    return {"seeds": [0, 1, 2], "num_epochs": 4, "networks": networks}


def test_an_effect_is_the_difference_of_means_with_welchs_interval():
    results = results_by_hand()
    difference, low, high = effect_of(results, results["networks"][1], "clean")
    assert difference == pytest.approx(0.0603333, abs=1e-6)
    assert (low, high) == pytest.approx((0.0107, 0.1100), abs=2e-4)  # t of 2.0033 degrees of freedom: 4.2986
    assert effect_of(results, results["networks"][2], "USPS") is None
    cells = effect_cells(results)
    assert cells[0][3] == "92.00 ± 4.97"
    assert cells[1][3].startswith("+6.03 (") and cells[1][3].endswith("*")
    assert not cells[2][3].endswith("*") and cells[2][6] == "-"
    assert cells[1][6].startswith("+0.00 (-")
    assert len(effects_figure(results).axes) == len(architecture_effects.MEASURES)


@pytest.fixture
def small_study(monkeypatch, real_mirror):
    """Two tiny networks, judged on nothing but the number of their layers."""
    settings = {"dataset": "digits", "num_epochs": 1}
    variants = (Variant("baseline", "plain", "FC10", settings), Variant("depth", "two", "FC8-FC10", settings))
    monkeypatch.setattr(architecture, "VARIANTS", variants)

    def measure(run, functions, _device):
        assert functions is scorecards.BRIEF
        part = Part({"MNIST test": Cell(0.5 + len(run.config()["model"]) / 100, 0.4, 0.6, 10), "USPS": Cell(None)})
        return scorecards.Scorecard(run.path.name, {"the test set": part}, 1.0, run.path)

    monkeypatch.setattr(architecture_effects, "scorecard", measure)


@pytest.mark.real_mnist
def test_a_study_is_trained_judged_and_gone_on_with(small_study, command, monkeypatch):
    code, printed, error = command("architecture", "--properties", "depth", "--seeds", "0:2")
    assert code == 0, error
    assert "depth     two" in printed and "+4.00" in printed
    values = json.loads((architecture_folder() / "results.json").read_text())
    assert values["command"] == "mnist architecture --properties depth --seeds 0:2"
    assert [network["values"] for network in values["networks"]] == [{"clean": [0.54, 0.54]}, {"clean": [0.58, 0.58]}]
    page = (architecture_folder() / "architecture.html").read_text()
    assert page.count("<img") == 1 and "mnist architecture --properties depth" in page
    names = sorted(path.name for path in runs_folder().glob("FC*"))
    assert len(names) == 4

    written = [(runs_folder() / name / "summary.json").stat().st_mtime_ns for name in names]
    (runs_folder() / names[0] / "summary.json").unlink()  # as if it had been killed at the end
    assert command("architecture", "--properties", "depth", "--seeds", "0:2")[0] == 0
    again = [(runs_folder() / name / "summary.json").stat().st_mtime_ns for name in names]
    assert again[0] > written[0] and again[1:] == written[1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--properties", "colour"], "unknown property 'colour'"),
        (["--properties"], "propert"),
        (["--seeds", "0"], "two seeds"),
        (["--seeds", "3:1"], "--seeds 3:1"),
        (["--num-epochs", "0"], "num-epochs"),
        (["--num-epochs", "many"], "num-epochs"),
        (["--device", "tpu", "--properties", "depth"], "device"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(arguments, message, command):
    code, _, error = command("architecture", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2
    assert not runs_folder().exists()
