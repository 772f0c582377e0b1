"""A recipe as one would say it, and as one would train it again."""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

from trainers.recipe import Recipe
from trainers.train_command import recipe_of_trainer, trainer_names


def training_command(recipe: Recipe, seeds: Sequence[int]) -> str:
    """The shortest `mnist train` that trains this recipe with these seeds."""
    trainer, settings = _as_changed(recipe)
    start = trainer or f"--model {shlex.quote(recipe.model)}"
    flags = [_flag(name, value) for name, value in settings.items()]
    return " ".join(["mnist train", start, *flags, "--seeds", _seeds(seeds)])


def recipe_label(recipe: Recipe) -> str:
    """The trainer, or the network where it has none, and what is not as that trains."""
    trainer, settings = _as_changed(recipe)
    changes = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items()]
    has_trainer = recipe.model in [recipe_of_trainer(name).model for name in trainer_names()]
    name = f"{recipe.model} by the default recipe" if trainer is None and has_trainer else trainer or recipe.model
    return ", ".join([name, *changes])


def _as_changed(recipe: Recipe) -> tuple[str | None, dict[str, Any]]:
    """The trainer whose recipe is the nearest, None for the default recipe, and the settings that differ."""
    bases: dict[str | None, Recipe] = {None: Recipe(recipe.model)}
    bases |= {name: base for name in trainer_names() if (base := recipe_of_trainer(name)).model == recipe.model}
    changes = {name: _changes(base, recipe) for name, base in bases.items()}
    nearest = min(changes, key=lambda name: (len(changes[name]), name is None))
    return nearest, changes[nearest]


def _changes(base: Recipe, wanted: Recipe) -> dict[str, Any]:
    """The settings in which they differ, as the second has them; fractions that are whole as whole numbers."""
    before, after = dataclasses.asdict(base.train), dataclasses.asdict(wanted.train)
    changed = {name: value for name, value in after.items() if name != "seed" and value != before[name]}
    is_whole = {name: isinstance(value, float) and value.is_integer() for name, value in changed.items()}
    return {name: int(value) if is_whole[name] else value for name, value in changed.items()}


def _flag(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    return f"--{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f"--{flag} {shlex.quote(str(value))}"


def _seeds(seeds: Sequence[int]) -> str:
    whole = list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}:{seeds[-1] + 1}" if list(seeds) == whole else ",".join(map(str, seeds))
