"""What a sweep trains: models, recipe fields with their values, seeds, and how the points are chosen."""

import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from trainers.recipes import get_recipe, parse_seeds, with_absolute_paths
from utils.errors import UserError, brief, did_you_mean
from utils.files import shown
from utils.outside import read_bounded
from utils.recipe import FIELDS, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Search = Literal["grid", "random", "tpe"]
SWEPT_FIELDS = [name for name in FIELDS if name not in ("model", "seed")]
MAX_PLAN_BYTES = 2**20
MAX_POINTS = 100_000
# Keys of a sweep's file -> their types, in Python and in words.
FILE_KEYS: dict[str, tuple[Any, str]] = {
    "recipe": (str, "text"),
    "models": (list, "a list"),
    "seeds": (str | int | list, "FIRST:END, a number, or a list of numbers"),
    "search": (str, "text"),
    "num_points": (int, "a whole number"),
    "pruning": (bool, "true or false"),
    "fields": (dict, "a table"),
}


@dataclass(frozen=True)
class Range:
    """Numbers from low to high: uniform, or uniform in the logarithm with `log`."""

    low: float
    high: float
    log: bool = False


Values = tuple[Any, ...] | Range  # of one recipe field


@dataclass(frozen=True)
class Plan:
    """A sweep. Every point is a recipe, which is trained with every seed."""

    name: str
    base: Recipe
    """The recipe that all points share, apart from the model and the swept fields."""
    models: tuple[str, ...]
    fields: dict[str, Values]
    """Recipe field -> its values."""
    seeds: tuple[int, ...]
    search: Search = "grid"
    num_points: int = 20
    """Number of points of a random or tpe search."""
    pruning: bool = False
    """random, tpe: stop a run whose validation accuracy is below the median of the finished runs."""

    def __post_init__(self) -> None:
        """Raises UserError for any value that a recipe or a search refuses, before anything is trained."""
        unknown = [name for name in self.fields if name not in SWEPT_FIELDS]
        if unknown:
            raise UserError(
                f"unknown recipe field '{brief(unknown[0])}'{did_you_mean(unknown[0], SWEPT_FIELDS)}\n"
                "Expected an option of training as in `mnist train --help`, with _ in place of -."
            )
        if not all(self.models) or not self.models:
            raise UserError("a sweep needs a model: --model NAME, or models = [...] in its file")
        for model in self.models:
            self.recipe(model, {})
        for name, values in self.fields.items():
            self._check_values(name, values)
        if self.search == "grid" and self.pruning:
            raise UserError("a grid trains all its points: pruning needs search random or tpe")
        if not 1 <= self.num_points <= MAX_POINTS:
            raise UserError(f"--num-points {brief(self.num_points)}: expected 1 to {MAX_POINTS:,}")
        if self.search == "grid" and not 0 < self.grid_size <= MAX_POINTS:
            raise UserError(f"a grid of {self.grid_size:,} points: expected 1 to {MAX_POINTS:,}")

    def _check_values(self, name: str, values: Values) -> None:
        if isinstance(values, Range):
            if self.search == "grid":
                raise UserError(f"a range of {name} cannot make a grid: list its values, or search random or tpe")
            if not values.low < values.high or (values.log and values.low <= 0):
                raise UserError(f"the range of {name} is empty: expected low below high, and above 0 with log")
            values = (values.low, values.high)
        if not values:
            raise UserError(f"{name} has no values: the grid is empty")
        for value in values:
            self.recipe(self.models[0], {name: value})

    @property
    def datasets(self) -> tuple[str, ...]:
        values = self.fields.get("dataset")
        return values if isinstance(values, tuple) else (self.base.dataset,)

    @property
    def grid_size(self) -> int:
        counts = [len(values) for values in self.fields.values() if isinstance(values, tuple)]
        return len(self.models) * math.prod(counts)

    def recipe(self, model: str, fields: dict[str, Any]) -> Recipe:
        """The recipe of a point. Raises UserError for a value of the wrong type or size."""
        return with_absolute_paths(Recipe.from_json({**self.base.to_json(), "model": model, "seed": 0, **fields}))

    def grid(self) -> list[Recipe]:
        """All points of the grid; the last field changes fastest."""
        values = [choice for choice in self.fields.values() if isinstance(choice, tuple)]
        return [
            self.recipe(model, dict(zip(self.fields, point, strict=True)))
            for model in self.models
            for point in itertools.product(*values)
        ]


def read_plan(file: Path) -> Plan:
    """The sweep that a TOML file describes. Raises UserError for a file that is unreadable or not a sweep.

    models = ["standard_fc", "C(16,3)-P2-FC10"]   # or recipe = "fc", or both
    seeds = "0:5"                                 # or [0, 3]
    search = "random"                             # or "tpe"; default "grid"
    num_points = 20
    [fields]
    num_epochs = 3
    learning_rate = [1e-3, 1e-2]                  # or { low = 1e-4, high = 1e-1, log = true }
    """
    values = _read_toml(file)
    for key, value in values.items():
        if key not in FILE_KEYS:
            raise UserError(f"{shown(file)}: unknown key '{brief(key)}': expected {', '.join(FILE_KEYS)}")
        kind, expected = FILE_KEYS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{key} = {brief(value)}: expected {expected}")
    base = get_recipe(values["recipe"]) if "recipe" in values else Recipe()
    search, models, seeds = values.get("search", "grid"), values.get("models", [base.model]), values.get("seeds", "0")
    if search not in get_args(Search):
        raise UserError(f"search '{brief(search)}': expected one of {', '.join(get_args(Search))}")
    if not all(isinstance(model, str) for model in models):
        raise UserError(f"models = {brief(models)}: expected a list of texts")
    return Plan(
        name=file.stem,
        base=base,
        models=tuple(models),
        fields={name: _values(name, value) for name, value in values.get("fields", {}).items()},
        seeds=tuple(parse_seeds(",".join(map(brief, seeds)) if isinstance(seeds, list) else brief(seeds))),
        **{name: values[name] for name in ("search", "num_points", "pruning") if name in values},
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bounded(file, MAX_PLAN_BYTES).decode())
    except OSError as error:
        raise UserError(
            f"cannot read {shown(file)}: {error.strerror}. Expected a TOML file as in docs/cluster.md"
        ) from None
    except ValueError as error:
        raise UserError(f"{shown(file)} is not valid TOML: {brief(error)}") from None
    except RecursionError:
        raise UserError(f"{shown(file)} is not valid TOML: its brackets are nested too deeply") from None


def _values(name: str, value: Any) -> Values:
    """The values of a recipe field as TOML has them: one value, a list, or a table with low and high."""
    if not isinstance(value, dict):
        return tuple(value) if isinstance(value, list) else (value,)
    kinds = {"low": (int, float), "high": (int, float), "log": (bool,)}
    if not {"low", "high"} <= set(value) <= set(kinds) or any(type(value[key]) not in kinds[key] for key in value):
        raise UserError(
            f"{name} = {brief(value)}: expected a value, a list, or {{ low = ..., high = ..., log = true }}"
        )
    return Range(**value)
