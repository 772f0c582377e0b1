"""The registered recipes, and recipes and seeds as text."""

import shlex
from dataclasses import replace

import pytest

from trainers.recipes import (
    get_recipe,
    parse_seeds,
    recipe_for_model,
    recipe_help,
    recipe_label,
    recipe_names,
    run_label,
    seeds_text,
    training_command,
    with_absolute_paths,
)
from utils.errors import UserError
from utils.recipe import Recipe
from utils.run import Run


def test_every_registered_recipe_has_a_model_and_a_help_text():
    assert {"fc", "conv", "fast_conv", "linear"} <= set(recipe_names())
    for name in recipe_names():
        assert get_recipe(name).model and f"mnist train {name}" in recipe_help(name)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown recipe 'fastconv': did you mean fast_conv\?\nExpected one of conv,"):
        get_recipe("fastconv")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("fastconv", "fast_conv"), ("standard_conv", "--model standard_conv"), ("FC32-FC10", "--model FC32-FC10")],
)
def test_an_unknown_name_is_refused_with_what_was_meant(name, meant):
    with pytest.raises(UserError, match=rf": did you mean {meant}\?\nExpected"):
        get_recipe(name)


def test_recipe_of_a_model_is_its_first_registered_one_or_the_default():
    assert recipe_for_model("standard_conv") == get_recipe("conv")
    assert recipe_for_model("FC10") == Recipe("FC10")


@pytest.mark.parametrize(
    ("recipe", "label", "command"),
    [
        (get_recipe("fc"), "fc", "mnist train fc --seeds 0:3"),
        (replace(get_recipe("fc"), batch_size=64), "fc, batch size 64", "mnist train fc --batch-size 64 --seeds 0:3"),
        (Recipe("linear"), "linear by the default recipe", "mnist train --model linear --seeds 0:3"),
        (Recipe("C(8,5)-FC10"), "C(8,5)-FC10", "mnist train --model 'C(8,5)-FC10' --seeds 0:3"),
        (
            Recipe("FC10", rotation_degrees=5.0, seed=9),
            "FC10, rotation 5°",
            "mnist train --model FC10 --rotation-degrees 5 --seeds 0:3",
        ),
        (
            replace(get_recipe("fast_conv"), num_epochs=1, translation_pixels=0),
            "fast_conv, 1 epoch, no shift",
            "mnist train fast_conv --num-epochs 1 --translation-pixels 0 --seeds 0:3",
        ),
    ],
)
def test_label_and_command_of_a_recipe(recipe, label, command):
    assert recipe_label(recipe) == label
    assert training_command(recipe, [0, 1, 2]) == command and shlex.split(command)


@pytest.mark.parametrize(("text", "seeds"), [("0:3", [0, 1, 2]), ("7:8", [7]), ("1,5,7", [1, 5, 7]), ("4", [4])])
def test_seeds_round_trip(text, seeds):
    assert parse_seeds(text) == seeds
    assert parse_seeds(seeds_text(seeds)) == seeds


@pytest.mark.parametrize("text", ["", "3:", "3:1", "1,1", "0:99999999999", "-1", "a", "1;2", "0:1:2"])
def test_bad_seeds_are_refused(text):
    with pytest.raises(UserError, match=r"1 to 10,000 different seeds, as FIRST:END or 1,5,7"):
        parse_seeds(text)


def test_paths_become_absolute_and_the_model_comes_from_the_first_run(home, monkeypatch):
    run = Run.create("first", Recipe("FC10"), {})
    monkeypatch.chdir(home)
    recipe = with_absolute_paths(Recipe(dataset="csv:a.csv,test=b.csv", init_from="runs/first"))
    assert recipe.dataset == f"csv:{home / 'a.csv'},test={home / 'b.csv'}"
    assert (recipe.init_from, recipe.model) == ("first", "FC10")
    run.path.rename(home / "elsewhere")
    recipe = with_absolute_paths(Recipe("FC20-FC10", init_from="elsewhere"))
    assert (recipe.init_from, recipe.model) == (str(home / "elsewhere"), "FC20-FC10")
    assert with_absolute_paths(recipe) == recipe


def test_a_recipe_without_a_model_is_refused():
    with pytest.raises(UserError, match="--model NAME"):
        with_absolute_paths(Recipe())


def test_runs_are_named_like_their_recipe_in_the_tables():
    assert run_label(get_recipe("fc")) == run_label(replace(get_recipe("fc"), num_epochs=1)) == "fc"
    assert run_label(Recipe("standard_fc")) == "standard_fc"  # the default recipe, not that of `fc`
    assert run_label(Recipe("C(16,3)-P2-FC10")) == "C_16_3_P2_FC10"
