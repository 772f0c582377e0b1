"""`mnist quickstart` and `mnist retrain`: training without a recipe to choose."""

import shutil
import sys
from dataclasses import replace

from trainers.generic_trainers.logging import report_result, report_run
from trainers.recipes import get_recipe
from trainers.train import train
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.recipe import Execution, Recipe
from utils.run import Run
from utils.runtime import choose_device

QUICKSTART_RECIPE = Recipe("standard_conv", num_epochs=2, learning_rate=3e-3, schedule="one_cycle")
NUM_EPOCHS_ON_DIGITS = 20  # the bundled set is 40 times smaller
FIRST_RECIPE = "two_conv"  # of `retrain` without a run


def quickstart(seed: int = 0, device: str = "auto") -> Run:
    """Trains standard_conv in about a minute and prints the result. Without MNIST, uses scikit-learn's digits."""
    recipe = QUICKSTART_RECIPE.with_seed(seed)
    choose_device(device)  # before a download
    try:
        load_dataset("mnist", "train")
        load_dataset("mnist", "test")
    except UserError as error:
        reason = str(error).splitlines()[0]
        print(f"NO MNIST, USING THE 1,797 DIGITS BUNDLED WITH SCIKIT-LEARN: {reason}", file=sys.stderr)
        recipe = replace(recipe, dataset="digits", num_epochs=NUM_EPOCHS_ON_DIGITS)
    run = train(recipe, execution=Execution(device=device))
    report_run(run)
    return run


def retrain(run: Run | None, save: bool = False, device: str = "auto") -> Run | None:
    """Trains the recipe of the run with the next seed and prints the result. Without a run, trains two_conv.

    Returns the new run if `save`; otherwise it is removed.
    """
    recipe = get_recipe(FIRST_RECIPE)
    if run:
        recipe = run.recipe.with_seed(run.recipe.seed + 1)
        print(f"{run.name} had seed {run.recipe.seed}, test accuracy {run.summary.test_accuracy:.2%}")
    new = train(recipe, execution=Execution(device=device))
    if save:
        report_run(new)
        return new
    report_result(new)
    shutil.rmtree(new.path)
    print("not saved: 'mnist retrain --save' saves the network as a run")
    return None
