"""Recipes and executions: JSON in and out, checked values, a stable hash, and the config.json of version 1."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.errors import UserError
from utils.recipe import Execution, Recipe

recipes = st.builds(
    Recipe,
    model=st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"]), max_size=30),
    dataset=st.sampled_from(["mnist", "digits"]),
    validation_size=st.floats(0.01, 10_000),
    validation=st.sampled_from(["writers", "random"]),
    seed=st.integers(0, 2**32),
    num_epochs=st.integers(1, 1000),
    learning_rate=st.floats(1e-6, 10),
    optimizer=st.sampled_from(["adam", "adamw", "sgd"]),
    schedule=st.sampled_from(["constant", "step", "cosine", "one_cycle", "plateau"]),
    ema_decay=st.floats(0, 0.999),
)

VERSION_1 = {
    "model": "linear",
    "train": {
        "dataset": "digits", "seed": 3, "num_epochs": 5, "judged_epoch": "last", "start": "other", "engine": "numpy",
        "device": "cpu", "precision": "fp64", "compile": "none", "preload": False, "num_workers": 4,
    },
}  # fmt: skip


@settings(deadline=None)  # a busy machine is no failure
@given(recipes)
def test_json_round_trip(recipe):
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "values",
    [None, [], "linear", {"model": 3}, {"learning_rte": 1}, {"model": "linear", "train": {"learning_rte": 1}}],
)
def test_foreign_json_is_refused(values):
    with pytest.raises(UserError):
        Recipe.from_json(values)


def test_missing_fields_take_their_defaults():
    assert Recipe.from_json({"model": "linear", "dataset": "digits", "seed": 3}) == Recipe("linear", "digits", seed=3)


def test_recipes_from_before_the_writers_were_known_had_random_validation_digits():
    old = {"model": "linear", "train": {"dataset": "mnist", "num_epochs": 5}}
    assert Recipe.from_json(old) == Recipe("linear", "mnist", num_epochs=5, validation="random")
    assert Recipe.from_json({"model": "linear"}).hash != Recipe("linear").hash
    assert Recipe.from_json(Recipe("linear").to_json()).validation == "writers"


def test_recipes_and_executions_of_version_1_are_converted():
    recipe = Recipe("linear", "digits", seed=3, num_epochs=5, checkpoint="last", init_from="other", backend="numpy")
    assert Recipe.from_json(VERSION_1) == recipe
    execution = Execution(device="cpu", precision="fp64", compile="none", preload=False, num_workers=4)
    assert Execution.from_json(VERSION_1["train"]) == execution


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("batch_size", 0),
        ("batch_size", -64),
        ("num_epochs", 0),
        ("num_epochs", 2**63),
        ("validation_size", 0.0),
        ("train_size", 0.0),
        ("momentum", 1.0),
        ("label_smoothing", 1.5),
        ("ema_decay", -0.1),
        ("seed", -1),
        ("early_stopping_patience", 0),
        ("warmup_fraction", 1.1),
        ("shear_degrees", 90.0),
        ("elastic_pixels", -1.0),
        ("erasing_probability", 1.1),
        ("generic_probability", -0.1),
        ("generic_probability", 2.0),
    ],
)
def test_values_out_of_range_are_refused_with_the_flag(field, value):
    with pytest.raises(UserError, match=f"--{field.replace('_', '-')} .*expected"):
        replace(Recipe(), **{field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adversarial_steps": 7}, "--adversarial-steps 7 has no effect because --adversarial-radius is 0"),
        ({"adversarial_fraction": 0.5}, "--adversarial-fraction 0.5 has no effect"),
        ({"trades_beta": 6}, "--trades-beta 6.0 has no effect because --adversarial-radius is 0"),
        ({"adversarial_radius": 1.5}, "--adversarial-radius 1.5: expected from 0 to 1"),
        ({"adversarial_radius": 0.1, "adversarial_steps": 0}, "--adversarial-steps 0: expected at least 1"),
        ({"adversarial_radius": 0.1, "adversarial_fraction": 0}, "--adversarial-fraction 0.0: expected above 0"),
        ({"consistency_weight": 12}, "--consistency-weight 12.0 has no effect because --generic-probability is 0"),
        ({"outlier_fraction": 0.5}, "--outlier-fraction 0.5 has no effect because --outlier-weight is 0"),
        ({"outlier_loss": "uniform"}, "--outlier-loss uniform has no effect"),
        ({"outlier_kinds": "half"}, "--outlier-kinds half has no effect"),
        ({"outlier_weight": 1, "outlier_kinds": "halves"}, "unknown name 'halves': did you mean half?"),
        ({"outlier_weight": 1, "mixup_alpha": 1}, "--outlier-weight contradicts --mixup-alpha"),
        ({"outlier_weight": 1, "cutmix_alpha": 1}, "--outlier-weight contradicts"),
        ({"backend": "numpy", "adversarial_radius": 0.1}, "--adversarial-radius 0.1: expected 0 with --backend numpy"),
        ({"backend": "numpy", "cutmix_alpha": 1}, "--cutmix-alpha 1.0: expected 0 with --backend numpy"),
    ],
)
def test_fields_without_effect_and_contradictions_are_refused(fields, message):
    with pytest.raises(UserError) as error:
        Recipe("linear", **fields)
    assert message in str(error.value) and len(str(error.value).splitlines()) <= 2


def test_the_same_kinds_of_outliers_are_one_recipe():
    recipe = Recipe("linear", outlier_weight=0.1, outlier_kinds="overlaid, half")
    assert recipe == Recipe("linear", outlier_weight=0.1, outlier_kinds="half,overlaid")
    assert recipe.outliers == ("half", "overlaid") and recipe.has_objectives
    everything = Recipe("linear", outlier_weight=0.1, outlier_kinds="all")
    assert everything.outlier_kinds == "" and len(everything.outliers) == 6


@pytest.mark.parametrize(
    ("field", "value"),
    [("optimizer", "adamax"), ("schedule", "linear"), ("num_epochs", 2.5), ("seed", True), ("dataset", 3)],
)
def test_values_of_the_wrong_type_in_a_file_are_refused(field, value):
    with pytest.raises(UserError, match=f"--{field.replace('_', '-')} {value}"):
        Recipe.from_json({**Recipe("linear").to_json(), field: value})


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(UserError, match="--num-workers -1: expected 0 or more"):
        Execution(num_workers=-1)


def test_differences_name_the_fields():
    one, other = Recipe("linear", batch_size=64), Recipe("linear", batch_size=128, seed=3)
    assert sorted(one.differences(other)) == ["batch_size is 64, not 128", "seed is 0, not 3"]


def test_a_choice_of_transformations_is_one_recipe_however_it_is_written():
    one = Recipe("linear", generic_probability=0.2, generic_transformations="tone, filter")
    assert one == Recipe("linear", generic_probability=0.2, generic_transformations="filter,tone,tone")
    assert one.transformations == ("filter", "tone") and one.generic_transformations == "filter,tone"
    all_of_them = Recipe("linear", generic_probability=0.2)
    names = ",".join(reversed(all_of_them.transformations))
    for text in ("all", names):
        assert Recipe("linear", generic_probability=0.2, generic_transformations=text).hash == all_of_them.hash
    assert len(all_of_them.transformations) == 10 and Recipe("linear").transformations == ()


@pytest.mark.parametrize(
    ("probability", "names", "message"),
    [
        (0.2, "filter,strokez", "unknown name 'strokez': did you mean strokes.*\nExpected all, or some of these"),
        (0.2, "filter,,tone", "unknown name ''"),
        (0.0, "filter", "--generic-transformations filter: no effect while --generic-probability is 0"),
        (0.0, "all", "no effect while --generic-probability is 0"),
    ],
)
def test_unknown_transformations_and_a_choice_without_probability_are_refused(probability, names, message):
    with pytest.raises(UserError, match=message):
        Recipe("linear", generic_probability=probability, generic_transformations=names)


def test_the_hash_ignores_the_seed_and_fields_at_their_default():
    recipe = Recipe("linear", batch_size=128)
    assert recipe.hash == recipe.with_seed(7).hash == Recipe.from_json({**recipe.to_json(), "seed": 3}).hash
    assert len({recipe.hash, Recipe("linear").hash, Recipe("standard_fc", batch_size=128).hash}) == 3
    assert len(recipe.hash) == 10
