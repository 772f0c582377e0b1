"""The ablation study: its variants, its effects by hand, and a small study from beginning to end."""

import dataclasses
import json

import pytest

from models.registry import build_model, num_parameters
from study import ablation
from study.ablation import (
    BASELINE,
    MEASURES,
    METRIC_IDS,
    PROPERTIES,
    VARIANTS,
    AblationResults,
    Variant,
    VariantResult,
    ablation_folder,
    effect_rows,
    effects_figure,
    largest_ablation,
    read_results,
)
from study.scorecard import BRIEF, MetricResult, Scorecard
from utils.errors import UserError
from utils.files import runs_folder


def test_each_variant_differs_from_the_baseline_in_model_or_training():
    assert VARIANTS[0] is BASELINE and "baseline" not in PROPERTIES
    assert len({(variant.property, variant.label) for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS[1:]:
        assert (variant.model != BASELINE.model) != bool(variant.changes), variant.label


def test_fully_connected_variants_have_as_many_parameters_as_the_baseline():
    baseline = num_parameters(build_model(BASELINE.model))
    models = [variant.model for variant in VARIANTS if variant.property == "fully connected"]
    assert len(models) == 2
    for model in models:
        assert num_parameters(build_model(model)) == pytest.approx(baseline, rel=0.02)


def test_the_study_measures_the_brief_scorecard():
    assert set(METRIC_IDS) == set(BRIEF)


@pytest.fixture
def by_hand():
    def variant(name, test_accuracy, **more):
        return VariantResult(name, "x", "FC10", 7850, {"test_accuracy": test_accuracy, **more}, [name], {})

    return AblationResults(
        "mnist ablation",
        [0, 1, 2],
        4,
        [
            variant("baseline", [0.90, 0.92, 0.94], usps_accuracy=[0.5, 0.6, 0.7]),
            variant("better", [0.98, 0.98, 0.981], usps_accuracy=[0.5, 0.6, 0.7]),
            variant("alike", [0.91, 0.92, 0.94]),
        ],
    )


def test_an_effect_is_the_difference_of_means_with_welchs_interval(by_hand):
    effect = by_hand.effects["better: x", "test_accuracy"]
    assert effect.difference == pytest.approx(0.0603333, abs=1e-6)
    # The t quantile at 2.0033 degrees of freedom is 4.2986.
    assert (effect.ci_low, effect.ci_high) == pytest.approx((0.0107, 0.1100), abs=2e-4)
    assert ("alike: x", "usps_accuracy") not in by_hand.effects
    rows = effect_rows(by_hand)
    assert rows[0][3] == "92.00 ± 4.97"
    usps = 3 + list(MEASURES).index("usps_accuracy")
    assert rows[1][3].startswith("+6.03 (") and rows[2][usps] == "-"
    assert rows[1][usps].startswith("+0.00 (-")
    assert [axes.get_title("left") for axes in effects_figure(by_hand).axes] == ["test", "USPS"]  # as measured


def study_of(values, seeds=(10, 11, 12, 13, 14)):
    """A study with one variant of each property, given the test accuracies by property."""
    variants = [VariantResult(name, "x", "FC10", 7850, {"test_accuracy": it}, [name]) for name, it in values.items()]
    return AblationResults("mnist ablation", list(seeds), 4, variants)


BASELINE_VALUES = [0.90, 0.91, 0.92, 0.93, 0.94]
BETTER = [0.925, 0.935, 0.945, 0.955, 0.965]  # p = 0.037 alone


def test_the_effects_on_a_metric_are_one_family_without_the_controls():
    better = {"baseline": BASELINE_VALUES, "better": BETTER}
    alone = study_of(better).effects["better: x", "test_accuracy"]
    controls = {"training digits": [0.5, 0.51, 0.52, 0.53, 0.54]}
    with_control = study_of({**better, **controls}).effects
    assert alone.is_significant and with_control["better: x", "test_accuracy"] == alone
    assert not with_control["training digits: x", "test_accuracy"].is_significant
    with_others = study_of({**better, "alike": BASELINE_VALUES}).effects
    assert not with_others["better: x", "test_accuracy"].is_significant  # p = 0.037 of two: 0.074


def test_intervals_of_selected_effects_take_the_selection_into_account():
    much_better = [0.98, 0.981, 0.982, 0.983, 0.984]
    values = {"baseline": BASELINE_VALUES, "much better": much_better}
    alone = study_of(values).effects["much better: x", "test_accuracy"]
    selected = study_of({**values, "alike": BASELINE_VALUES}).effects["much better: x", "test_accuracy"]
    # One of two: a level of 97.5 %. The t quantiles at 4.08 degrees of freedom are 2.75 and 3.46.
    assert selected.is_significant and selected.ci_low < alone.ci_low
    margins = (effect.difference - effect.ci_low for effect in (selected, alone))
    assert next(margins) / next(margins) == pytest.approx(3.46 / 2.75, rel=0.01)


def test_fewer_than_five_seeds_are_too_few_for_significance():
    few = study_of({"baseline": BASELINE_VALUES[:4], "better": [0.98, 0.981, 0.982, 0.983]}, seeds=range(10, 14))
    assert not few.effects["better: x", "test_accuracy"].is_significant
    assert few.effects["better: x", "test_accuracy"].ci_low > 0


def test_the_largest_study_is_read(by_hand):
    assert largest_ablation() is None
    by_hand.write(ablation_folder() / "large")
    dataclasses.replace(by_hand, variants=by_hand.variants[:2]).write(ablation_folder() / "small")
    assert largest_ablation() == by_hand


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: "[",
        lambda values: json.dumps([]),
        lambda values: json.dumps({**values, "more": 1}),
        lambda values: json.dumps({**values, "variants": []}),
        lambda values: json.dumps({**values, "variants": [{**values["variants"][0], "values": None}] * 2}),
    ],
)
def test_damaged_results_are_refused(by_hand, damage):
    file = ablation_folder() / "x" / "results.json"
    by_hand.write(file.parent)
    file.write_text(damage(json.loads(file.read_text())))
    with pytest.raises(UserError, match="damaged"):
        read_results(file)


def test_the_help_names_all_properties(command):
    code, printed, _ = command("ablation", "--help")
    assert code == 0 and all(name in " ".join(printed.split()) for name in PROPERTIES)


@pytest.fixture
def small_study(monkeypatch, real_mirror):
    """Two tiny networks that learn from few digits; the scorecard is made up from the length of the model's name."""
    changes = {"train_size": 200.0, "num_epochs": 1}
    variants = (Variant("baseline", "plain", "FC10", changes), Variant("depth", "two", "FC8-FC10", changes))
    monkeypatch.setattr(ablation, "VARIANTS", variants)

    def made_up(run, metrics, _device):
        results = {metric: MetricResult(None, missing="no data") for metric in metrics}
        results["test_accuracy"] = MetricResult(0.5 + len(run.recipe.model) / 100, 0.4, 0.6, 10)
        return Scorecard(run.name, results, {}, 1.0, run.path)

    monkeypatch.setattr(ablation, "scorecard", made_up)


ARGUMENTS = ("ablation", "--properties", "depth", "--seeds", "0:2")


@pytest.mark.real_mnist
def test_a_study_is_trained_evaluated_and_continued(small_study, command):
    code, printed, error = command(*ARGUMENTS)
    assert code == 0, error
    assert "depth     two" in printed and "+4.00" in printed
    folder = ablation_folder() / "properties-depth-seeds-0-2-num-epochs-4"
    results = read_results(folder / "results.json")
    assert results.command == "mnist ablation --properties depth --seeds 0:2 --num-epochs 4"
    assert [variant.values for variant in results.variants] == [
        {"test_accuracy": [0.54, 0.54]},
        {"test_accuracy": [0.58, 0.58]},
    ]
    page = (folder / "ablation.html").read_text()
    assert page.count("<img") == 1 and results.command in page
    names = sorted(path.name for path in runs_folder().glob("FC*"))
    assert len(names) == 4

    written = [(runs_folder() / name / "summary.json").stat().st_mtime_ns for name in names]
    (runs_folder() / names[0] / "summary.json").unlink()  # as after a kill during the final evaluation
    assert command(*ARGUMENTS)[0] == 0
    again = [(runs_folder() / name / "summary.json").stat().st_mtime_ns for name in names]
    assert again[0] > written[0] and again[1:] == written[1:]


@pytest.mark.real_mnist
def test_ctrl_c_says_how_to_continue(small_study, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt("resume it with: mnist train --resume x")

    monkeypatch.setattr(ablation, "scorecard", interrupted)
    with pytest.raises(KeyboardInterrupt, match="repeat the same 'mnist ablation'"):
        ablation.run_ablation(["depth"], [0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--properties", "colour"], "unknown property 'colour'"),
        (["--seeds", "0"], "two seeds"),
        (["--seeds", "3:1"], "--seeds 3:1"),
        (["--num-epochs", "0"], "num-epochs"),
        (["--num-epochs", "many"], "num-epochs"),
        (["--device", "tpu", "--properties", "depth"], "device"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(arguments, message, command):
    code, _, error = command("ablation", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2
    assert not runs_folder().exists()
