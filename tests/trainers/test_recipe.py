"""Recipes: JSON in and out, and every value checked when it is made."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.recipe import Recipe, TrainConfig
from utils.errors import UserError

configs = st.builds(
    TrainConfig,
    dataset=st.sampled_from(["mnist", "digits"]),
    validation_size=st.floats(0.01, 10_000),
    seed=st.integers(0, 2**32),
    num_epochs=st.integers(1, 1000),
    learning_rate=st.floats(1e-6, 10),
    optimizer=st.sampled_from(["adam", "adamw", "sgd"]),
    schedule=st.sampled_from(["constant", "step", "cosine", "one_cycle", "plateau"]),
    ema_decay=st.floats(0, 0.999),
    preload=st.booleans(),
)


@given(configs, st.text(max_size=30))
def test_json_round_trip(config, model):
    recipe = Recipe(model, config)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        {"model": "linear"},
        {"model": "linear", "train": {}},
        {"model": "linear", "train": None},
        {"model": "linear", "train": {}, "extra": 1},
        {"model": 3, "train": TrainConfig().__dict__},
        {"model": "linear", "train": {**TrainConfig().__dict__, "learning_rte": 1}},
    ],
)
def test_foreign_json_is_refused(values):
    with pytest.raises(UserError):
        Recipe.from_json(values)


def test_a_recipe_of_an_earlier_version_keeps_its_meaning():
    values = Recipe("linear").to_json()
    for name in ("compile", "judged_epoch", "train_size", "start", "engine"):
        del values["train"][name]
    assert Recipe.from_json(values) == Recipe("linear")


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
        ("validation_size", 0.0),
        ("train_size", 0.0),
        ("momentum", 1.0),
        ("label_smoothing", 1.5),
        ("ema_decay", -0.1),
        ("seed", -1),
        ("early_stopping_patience", 0),
        ("warmup_fraction", 1.1),
        ("shear_degrees", 90.0),
    ],
)
def test_senseless_values_name_the_flag(field, value):
    with pytest.raises(UserError, match=f"--{field.replace('_', '-')} .*expected"):
        replace(TrainConfig(), **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("optimizer", "adamax"), ("schedule", "linear"), ("precision", "fp8"), ("num_epochs", 2.5), ("preload", "yes")],
)
def test_values_of_the_wrong_kind_in_a_file(field, value):
    values = Recipe("linear").to_json()
    values["train"][field] = value
    with pytest.raises(UserError, match=f"--{field.replace('_', '-')} {value}"):
        Recipe.from_json(values)


def test_differences_name_the_fields():
    one = Recipe("linear", TrainConfig(batch_size=64))
    other = Recipe("linear", TrainConfig(batch_size=128, seed=3))
    assert one.differences(other) == ["seed is 0, not 3", "batch_size is 64, not 128"]
