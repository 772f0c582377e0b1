"""The registered recipes (one file each in specific_trainers/), and recipes and seeds as text."""

import importlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from models.registry import MODELS
from utils.data.csv_digits import CsvName
from utils.errors import UserError, brief, did_you_mean
from utils.files import runs_folder
from utils.recipe import Recipe
from utils.run import Run

FOLDER = Path(__file__).parent / "specific_trainers"
MAX_SEEDS = 10_000
# Field -> what it is called in labels, and the unit of its value.
AUGMENTATIONS = {
    "rotation_degrees": ("rotation", "°"),
    "translation_pixels": ("shift", " px"),
    "scale_fraction": ("scaling", ""),
    "shear_degrees": ("shear", "°"),
    "elastic_pixels": ("elastic deformation", " px"),
}


def recipe_names() -> list[str]:
    """The names of the registered recipes, from the files NAME_trainer.py."""
    return sorted(path.stem.removesuffix("_trainer") for path in FOLDER.glob("*_trainer.py"))


def get_recipe(name: str) -> Recipe:
    """The registered recipe of this name. Raises UserError, listing the names, if there is none."""
    recipe: Recipe = _trainer_module(name).RECIPE
    return recipe


def recipe_help(name: str) -> str:
    """What this recipe does and its measured results."""
    return _trainer_module(name).__doc__ or ""


def _trainer_module(name: str) -> ModuleType:
    names = recipe_names()
    if name not in names:
        is_model = name in MODELS or ("-" in name and name.endswith("FC10"))
        hint = f": did you mean --model {shlex.quote(name)}?" if is_model else did_you_mean(name, names)
        raise UserError(
            f"unknown recipe '{brief(name)}'{hint}\n"
            f"Expected one of {', '.join(names)}, or --model NAME for any other network."
        )
    return importlib.import_module(f"trainers.specific_trainers.{name}_trainer")


def recipe_for_model(model: str) -> Recipe:
    """The first registered recipe of this model; for other models the default recipe."""
    recipes = map(get_recipe, recipe_names())
    return next((recipe for recipe in recipes if recipe.model == model), Recipe(model))


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with paths that are valid from any folder: absolute paths of CSV files, and for `init_from` the run's
    name in runs/ or its absolute path. A recipe without a model takes the model of `init_from`.

    Raises UserError if the run to start from does not exist, or if there is no model.
    """
    if recipe.dataset.startswith("csv:"):
        recipe = replace(recipe, dataset=str(CsvName.parse(recipe.dataset)))
    if recipe.init_from:
        run = Run.find(recipe.init_from)
        is_in_runs = run.path.absolute().parent == runs_folder().absolute()
        init_from = run.name if is_in_runs else str(run.path.absolute())
        recipe = replace(recipe, init_from=init_from, model=recipe.model or run.recipe.model)
    if not recipe.model:
        raise UserError("say which network: --model NAME, such as standard_conv or C(16,3)-P2-FC128-FC10")
    return recipe


# A recipe as a label, and as the command that trains it.


def recipe_label(recipe: Recipe) -> str:
    """The nearest registered recipe (else the model) and the fields that differ, such as `fc, batch size 64` or
    `fast_conv, 16 epochs, no shift`."""
    name, changes = _nearest(recipe)
    if name is None:
        is_registered = recipe.model in [get_recipe(known).model for known in recipe_names()]
        name = f"{recipe.model} by the default recipe" if is_registered else recipe.model
    return ", ".join([name, *(_change_text(field, value) for field, value in changes.items())])


def _change_text(field: str, value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if field == "num_epochs":
        return f"{text} epoch{'' if value == 1 else 's'}"
    if field in AUGMENTATIONS:
        noun, unit = AUGMENTATIONS[field]
        return f"{noun} {text}{unit}" if value else f"no {noun}"
    return f"{field.replace('_', ' ')} {text}"


def run_label(recipe: Recipe) -> str:
    """The beginning of a run's default name: the nearest registered recipe, as in the tables, else the model."""
    return _nearest(recipe)[0] or recipe.plain_model


def training_command(recipe: Recipe, seeds: Sequence[int]) -> str:
    """The shortest `mnist train` that trains this recipe with these seeds."""
    name, changes = _nearest(recipe)
    flags = [f"--{field.replace('_', '-')} {shlex.quote(str(value))}" for field, value in changes.items()]
    start = name or f"--model {shlex.quote(recipe.model)}"
    return " ".join(["mnist train", start, *flags, "--seeds", seeds_text(seeds)])


def _nearest(recipe: Recipe) -> tuple[str | None, dict[str, Any]]:
    """The registered recipe of this model with the fewest differences (None: the default recipe), and these fields."""
    bases: dict[str | None, Recipe] = {None: Recipe(recipe.model)}
    bases |= {name: base for name in recipe_names() if (base := get_recipe(name)).model == recipe.model}
    changes = {name: _changes(base, recipe) for name, base in bases.items()}
    nearest = min(changes, key=lambda name: (len(changes[name]), name is None))
    return nearest, changes[nearest]


def _changes(base: Recipe, wanted: Recipe) -> dict[str, Any]:
    """The fields of `wanted` that differ from `base`, without the seed; whole fractions as whole numbers."""
    before, after = base.to_json(), wanted.to_json()
    changed = {name: value for name, value in after.items() if name != "seed" and value != before[name]}
    return {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in changed.items()}


# Seeds as text.


def parse_seeds(text: str) -> list[int]:
    """The seeds of `0:32` (the end excluded) or `1,5,7`. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d{1,18}):(\d{1,18})", text)
    if found:
        seeds: Sequence[int] = range(int(found[1]), int(found[2]))
    else:
        seeds = [int(part) for part in text.split(",")] if re.fullmatch(r"\d{1,18}(,\d{1,18})*", text) else []
    if not 1 <= len(seeds) <= MAX_SEEDS or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text[:80]}: expected 1 to {MAX_SEEDS:,} different seeds, as FIRST:END or 1,5,7")
    return list(seeds)


def seeds_text(seeds: Sequence[int]) -> str:
    """The inverse of `parse_seeds`: `0:32` for consecutive seeds, else `1,5,7`."""
    is_range = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}:{seeds[-1] + 1}" if is_range else ",".join(map(str, seeds))
