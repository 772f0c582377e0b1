"""`mnist quickstart`: the main job in a minute, on MNIST or, where that cannot be had, on the bundled digits."""

import sys
from dataclasses import dataclass, replace

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import report
from utils.command_line import parse_command_line
from utils.errors import UserError

RECIPE = Recipe("standard_conv", TrainConfig(num_epochs=2, learning_rate=3e-3, schedule="one_cycle"))
EPOCHS_ON_DIGITS = 20  # the bundled set is 40 times smaller


@dataclass(frozen=True)
class QuickstartCommand:
    seed: int = RECIPE.train.seed
    """Decides the initial weights and the order of the digits."""


def main(argv: list[str]) -> None:
    """Trains standard_conv for a short while, judges it on the test set, and says where to look."""
    options = parse_command_line(QuickstartCommand, argv, "mnist quickstart", main.__doc__)
    from trainers.generic_trainers.training_run import train
    from utils.datasets import load_dataset

    config = replace(RECIPE.train, seed=options.seed)
    try:
        load_dataset("mnist", "train")
        load_dataset("mnist", "test")
    except UserError as error:
        reason = str(error).splitlines()[0]
        print(f"NO MNIST, GOING ON WITH THE 1,797 DIGITS BUNDLED IN SCIKIT-LEARN: {reason}", file=sys.stderr)
        config = replace(config, dataset="digits", num_epochs=EPOCHS_ON_DIGITS)
    report(*train(Recipe(RECIPE.model, config)))
