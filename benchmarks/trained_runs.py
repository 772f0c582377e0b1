"""Runs that a table is made of: trained where they are missing, gone on with where they were stopped."""

from dataclasses import replace
from typing import Any

import torch._dynamo  # noqa: F401 - torch imports it with its first optimizer: not within a run that is timed

from trainers.generic_trainers.training_run import train
from trainers.recipe import Recipe
from utils.errors import UserError
from utils.paths import runs_folder, shown
from utils.run_folder import RunFolder


def finished_summaries(recipe: Recipe, name: str, seeds: list[int]) -> list[dict[str, Any]]:
    """The summaries of the runs NAME-sSEED with the date of each. Raises UserError where one is of another recipe."""
    return [
        _finished_summary(replace(recipe, train=replace(recipe.train, seed=seed)), f"{name}-s{seed}") for seed in seeds
    ]


def _finished_summary(recipe: Recipe, name: str) -> dict[str, Any]:
    run = RunFolder(runs_folder() / name)
    if run.path.exists() and Recipe.from_json(run.config()) != recipe:
        raise UserError(f"{shown(run.path)} is of another recipe than {name} has now: move it away first")
    if not run.is_finished:
        train(recipe, name, run if run.path.exists() else None)
    return {**run.summary(), "date": run.read_json("environment.json")["started"][:10]}
