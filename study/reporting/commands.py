"""The command that trains a recipe again."""

import dataclasses
import shlex
from collections.abc import Sequence

from trainers.recipe import Recipe, TrainConfig
from trainers.train_command import recipe_of_trainer, trainer_names


def training_command(recipe: Recipe, seeds: Sequence[int]) -> str:
    """The shortest `mnist train` that trains this recipe with these seeds."""
    starts = {f"mnist train {name}": recipe_of_trainer(name) for name in trainer_names()}
    starts = {start: base for start, base in starts.items() if base.model == recipe.model}
    starts[f"mnist train --model {shlex.quote(recipe.model)}"] = Recipe(recipe.model)
    commands = [f"{start}{_flags(base.train, recipe.train)}" for start, base in starts.items()]
    return f"{min(commands, key=len)} --seeds {_seeds(seeds)}"


def _flags(base: TrainConfig, wanted: TrainConfig) -> str:
    flags = []
    for field in dataclasses.fields(TrainConfig):
        value = getattr(wanted, field.name)
        if field.name == "seed" or value == getattr(base, field.name):
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f" --{'' if value else 'no-'}{flag}")
        else:
            flags.append(f" --{flag} {shlex.quote(str(value))}")
    return "".join(flags)


def _seeds(seeds: Sequence[int]) -> str:
    whole = list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}:{seeds[-1] + 1}" if list(seeds) == whole else ",".join(map(str, seeds))
