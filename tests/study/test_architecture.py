"""The architecture study: its networks, its effects by hand, and a small study from beginning to end."""

import dataclasses
import json

import pytest

from models.registry import build_model, num_parameters
from study import architecture, architecture_training
from study.architecture_page import effect_cells, effects_figure
from study.architecture_results import (
    MEASURES,
    ArchitectureResults,
    StudiedNetwork,
    architecture_folder,
    largest_study,
    read_results,
)
from study.architecture_variants import BASELINE, PROPERTIES, VARIANTS, Variant
from study.generalisation import scorecards
from study.generalisation.cells import Cell, Part
from utils.errors import UserError
from utils.paths import runs_folder


def test_each_variant_differs_from_the_baseline_in_network_or_training():
    assert VARIANTS[0] is BASELINE and "baseline" not in PROPERTIES
    assert len({(variant.property, variant.label) for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS[1:]:
        assert (variant.model != BASELINE.model) != bool(variant.settings), variant.label


def test_fully_connected_networks_have_as_many_parameters():
    baseline = num_parameters(build_model(BASELINE.model))
    models = [variant.model for variant in VARIANTS if variant.property == "fully connected"]
    assert len(models) == 2
    for model in models:
        assert num_parameters(build_model(model)) == pytest.approx(baseline, rel=0.02)


@pytest.fixture
def by_hand():
    def network(name, clean, **more):
        return StudiedNetwork(name, "x", "FC10", 7850, {"clean": clean, **more}, [name], {})

    return ArchitectureResults(
        "mnist architecture",
        [0, 1, 2],
        4,
        [
            network("baseline", [0.90, 0.92, 0.94], USPS=[0.5, 0.6, 0.7]),
            network("better", [0.98, 0.98, 0.981], USPS=[0.5, 0.6, 0.7]),
            network("alike", [0.91, 0.92, 0.94]),
        ],
    )


def test_an_effect_is_the_difference_of_means_with_welchs_interval(by_hand):
    effect = by_hand.effects["better: x", "clean"]
    assert effect.difference == pytest.approx(0.0603333, abs=1e-6)
    assert (effect.low, effect.high) == pytest.approx((0.0107, 0.1100), abs=2e-4)  # t of 2.0033 degrees: 4.2986
    assert ("alike: x", "USPS") not in by_hand.effects
    cells = effect_cells(by_hand)
    assert cells[0][3] == "92.00 ± 4.97"
    assert cells[1][3].startswith("+6.03 (") and cells[2][6] == "-"
    assert cells[1][6].startswith("+0.00 (-")
    assert len(effects_figure(by_hand).axes) == len(MEASURES)


def test_an_effect_is_told_by_its_rank_among_all(by_hand):
    assert not any(effect.is_told for effect in by_hand.effects.values())  # p = 0.035 of three: 0.105
    (baseline, better, _) = by_hand.networks
    better = dataclasses.replace(better, values={"clean": [0.98, 0.98, 0.981]})
    alone = dataclasses.replace(by_hand, networks=[baseline, better])
    assert [effect.is_told for effect in alone.effects.values()] == [True]


def test_the_largest_study_is_read(by_hand):
    assert largest_study() is None
    by_hand.write(architecture_folder() / "large")
    dataclasses.replace(by_hand, networks=by_hand.networks[:2]).write(architecture_folder() / "small")
    assert largest_study() == by_hand


def test_damaged_results_are_told(by_hand):
    file = architecture_folder() / "x" / "results.json"
    by_hand.write(file.parent)
    values = json.loads(file.read_text())
    damages = [{**values, key: None} for key in values if key != "environment"]
    damages += [{key: value for key, value in values.items() if key != "seeds"}, {**values, "more": 1}]
    wrong = [("values", {"clean": ["x"]}), ("values", {"clean": [None]}), ("num_parameters", "x"), ("property", "y")]
    damages += [{**values, "networks": [{**values["networks"][0], name: value}]} for name, value in wrong]
    for damage in damages:
        file.write_text(json.dumps(damage))
        with pytest.raises(UserError, match="damaged"):
            read_results(file)


@pytest.fixture
def small_study(monkeypatch, real_mirror):
    """Two tiny networks, judged on nothing but the length of their names."""
    settings = {"dataset": "digits", "num_epochs": 1}
    variants = (Variant("baseline", "plain", "FC10", settings), Variant("depth", "two", "FC8-FC10", settings))
    monkeypatch.setattr(architecture, "VARIANTS", variants)

    def measure(run, functions, _device):
        assert functions is scorecards.BRIEF
        cells = {cell: Cell(None, missing="no data") for cell in MEASURES.values()}
        cells["MNIST test"] = Cell(0.5 + len(run.config()["model"]) / 100, 0.4, 0.6, 10)
        return scorecards.Scorecard(run.path.name, {"the test set": Part(cells)}, 1.0, run.path)

    monkeypatch.setattr(architecture_training, "scorecard", measure)


ARGUMENTS = ("architecture", "--properties", "depth", "--seeds", "0:2")


@pytest.mark.real_mnist
def test_a_study_is_trained_judged_and_gone_on_with(small_study, command):
    code, printed, error = command(*ARGUMENTS)
    assert code == 0, error
    assert "depth     two" in printed and "+4.00" in printed
    folder = architecture_folder() / "depth-seeds-0_2-epochs-4"
    results = read_results(folder / "results.json")
    assert results.command == "mnist architecture --properties depth --seeds 0:2"
    assert [network.values for network in results.networks] == [{"clean": [0.54, 0.54]}, {"clean": [0.58, 0.58]}]
    page = (folder / "architecture.html").read_text()
    assert page.count("<img") == 1 and results.command in page
    names = sorted(path.name for path in runs_folder().glob("FC*"))
    assert len(names) == 4

    written = [(runs_folder() / name / "summary.json").stat().st_mtime_ns for name in names]
    (runs_folder() / names[0] / "summary.json").unlink()  # as if it had been killed at the end
    assert command(*ARGUMENTS)[0] == 0
    again = [(runs_folder() / name / "summary.json").stat().st_mtime_ns for name in names]
    assert again[0] > written[0] and again[1:] == written[1:]


@pytest.mark.real_mnist
def test_ctrl_c_says_how_to_go_on_with_the_study(small_study, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt("go on with: mnist train --resume x")

    monkeypatch.setattr(architecture_training, "scorecard", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the same 'mnist architecture' again"):
        architecture.main(list(ARGUMENTS[1:]))


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
