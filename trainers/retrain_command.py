"""`mnist retrain`: the network that answers, trained once more from another seed."""

import shutil
from dataclasses import dataclass, replace
from typing import Annotated

import tyro

from trainers.recipe import Recipe
from trainers.run_recipe import report, report_verdict
from trainers.train_command import recipe_of_trainer
from utils.command_line import parse_command_line
from utils.errors import UserError
from utils.run_folder import RunFolder

FIRST = "two_conv"  # the trainer where there is no run yet


@dataclass(frozen=True)
class RetrainCommand:
    save: Annotated[bool, tyro.conf.arg(aliases=["-s"])] = False
    """Keep the network as a run, the newest, which 'mnist predict' then asks; else its figures are all that stays."""


def main(argv: list[str]) -> None:
    """Trains the network of the newest run once more, by the same recipe with the next seed; where there is no run
    yet, a first one by the recipe of 'mnist train two_conv'."""
    options = parse_command_line(RetrainCommand, argv, "mnist retrain", main.__doc__)
    recipe = _recipe()

    from trainers.generic_trainers.training_run import train  # torch: only once the command line is right

    run, summary = train(recipe)
    if options.save:
        report(run, summary)
        return
    report_verdict(summary)
    shutil.rmtree(run.path)
    print("not kept: 'mnist retrain --save' keeps the network")


def _recipe() -> Recipe:
    try:
        newest = RunFolder.finished()[-1]
    except UserError:
        return recipe_of_trainer(FIRST)
    recipe = Recipe.from_json(newest.config())
    print(f"{newest.path.name} had seed {recipe.train.seed}, test accuracy {newest.summary()['test_accuracy']:.2%}")
    return replace(recipe, train=replace(recipe.train, seed=recipe.train.seed + 1))
