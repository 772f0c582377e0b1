"""`mnist train`: any trainer by its name, or any network with the default recipe."""

import importlib
from pathlib import Path
from types import ModuleType

from trainers import run_recipe
from trainers.recipe import Recipe
from utils.errors import UserError

FOLDER = Path(__file__).parent / "specific_trainers"
DESCRIPTION = """Trains a network and judges it on the test set.

mnist train TRAINER: one of the trainers {trainers}, each with a recipe of its own.

mnist train --model NAME: any network, such as standard_conv or "C(16,3)-P2-FC128-FC10", with the recipe below.

mnist train --resume runs/NAME: goes on with a run that was stopped."""


def trainer_names() -> list[str]:
    """The trainers, by the files in specific_trainers/."""
    return sorted(path.stem.removesuffix("_trainer") for path in FOLDER.glob("*_trainer.py"))


def _trainer(name: str) -> ModuleType:
    return importlib.import_module(f"trainers.specific_trainers.{name}_trainer")


def recipe_of_trainer(name: str) -> Recipe:
    """The recipe of a trainer, by one of `trainer_names`."""
    recipe: Recipe = _trainer(name).RECIPE
    return recipe


def recipe_of_model(model: str) -> Recipe:
    """The recipe of the first trainer of this network; for one without a trainer the default recipe."""
    recipes = [recipe_of_trainer(name) for name in trainer_names()]
    return next((recipe for recipe in recipes if recipe.model == model), Recipe(model))


def main(argv: list[str]) -> None:
    """Raises UserError for a trainer that does not exist."""
    trainers = ", ".join(trainer_names())
    if not argv or argv[0].startswith("-"):
        run_recipe.run_command(Recipe(model=""), DESCRIPTION.format(trainers=trainers), argv, "mnist train")
        return
    if argv[0] not in trainer_names():
        raise UserError(
            f"unknown trainer '{argv[0]}': expected one of {trainers}, or --model NAME for any other network"
        )
    trainer = _trainer(argv[0])
    run_recipe.run_command(trainer.RECIPE, trainer.__doc__, argv[1:], f"mnist train {argv[0]}")
