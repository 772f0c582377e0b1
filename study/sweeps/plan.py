"""What a sweep consists of: models, settings with their values, seeds, and how points are chosen among them."""

import dataclasses
import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import parse_seeds, with_lasting_names
from trainers.train_command import recipe_of_trainer, trainer_names
from utils.errors import UserError, brief
from utils.paths import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Search = Literal["grid", "random", "tpe"]
SETTINGS = {setting.name for setting in dataclasses.fields(TrainConfig)} - {"seed"}
MAX_POINTS = 100_000
MAX_FILE_BYTES = 2**20
KINDS = {int: "a whole number", bool: "true or false", str: "text", list: "a list", dict: "a table"}


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, evenly spread, or their logarithms where `log`."""

    low: float
    high: float
    log: bool = False


Choice = tuple[Any, ...] | Range  # the values of a setting


@dataclass(frozen=True)
class Plan:
    """A sweep as its file or command line tells it; every point is a recipe, trained with every seed."""

    name: str
    base: Recipe
    models: tuple[str, ...]
    settings: dict[str, Choice]
    seeds: tuple[int, ...]
    search: Search = "grid"
    num_points: int = 20
    """How many points random and tpe try."""
    pruning: bool = False
    """random, tpe: stop runs that fall below the median of the finished ones."""

    def __post_init__(self) -> None:
        """Raises UserError where a value makes no sense, so that nothing is begun that cannot be."""
        unknown = sorted(set(self.settings) - SETTINGS)
        if unknown:
            raise UserError(f"unknown setting '{brief(unknown[0])}': expected one of {', '.join(sorted(SETTINGS))}")
        if not all(self.models) or not self.models:
            raise UserError("a sweep needs a model: --model NAME, or models = [...] in its file")
        for model in self.models:
            self.recipe(model, {})
        for name, choice in self.settings.items():
            self._check_choice(name, choice)
        if self.search == "grid" and self.pruning:
            raise UserError("a grid is trained whole: pruning needs search random or tpe")
        if not 1 <= self.num_points <= MAX_POINTS:
            raise UserError(f"--num-points {brief(self.num_points)}: expected 1 to {MAX_POINTS:,}")
        if self.search == "grid" and not 0 < self.grid_size <= MAX_POINTS:
            raise UserError(f"a grid of {self.grid_size:,} points: expected 1 to {MAX_POINTS:,}")

    def _check_choice(self, name: str, choice: Choice) -> None:
        if isinstance(choice, Range):
            if self.search == "grid":
                raise UserError(f"a range of {name} cannot make a grid: list its values, or search random or tpe")
            if not choice.low < choice.high or (choice.log and choice.low <= 0):
                raise UserError(f"the range of {name} is empty: expected low below high, and above 0 with log")
            values: tuple[Any, ...] = (choice.low, choice.high)
        else:
            values = choice
            if not values:
                raise UserError(f"{name} has no values: the grid is empty")
        for value in values:
            self.recipe(self.models[0], {name: value})

    @property
    def datasets(self) -> tuple[str, ...]:
        choice = self.settings.get("dataset", ())
        return choice if isinstance(choice, tuple) and choice else (self.base.train.dataset,)

    @property
    def grid_size(self) -> int:
        counts = [len(values) for values in self.settings.values() if isinstance(values, tuple)]
        return len(self.models) * math.prod(counts)

    def recipe(self, model: str, settings: dict[str, Any]) -> Recipe:
        """The recipe of a point. Raises UserError for a value of the wrong type or size."""
        train = {**dataclasses.asdict(self.base.train), "seed": 0, **settings}
        return with_lasting_names(Recipe.from_json({"model": model, "train": train}))

    def grid(self) -> list[Recipe]:
        """All points, the last setting changing the quickest. Raises UserError."""
        values = [choice for choice in self.settings.values() if isinstance(choice, tuple)]
        return [
            self.recipe(model, dict(zip(self.settings, point, strict=True)))
            for model in self.models
            for point in itertools.product(*values)
        ]


def base_recipe(trainer: str | None) -> Recipe:
    """What all points share: a trainer's recipe, or the defaults. Raises UserError for an unknown trainer."""
    if trainer is None:
        return Recipe("")
    if trainer not in trainer_names():
        raise UserError(f"unknown trainer '{trainer[:60]}': expected one of {', '.join(trainer_names())}")
    return recipe_of_trainer(trainer)


def read_plan(file: Path) -> Plan:
    """The sweep of a TOML file. Raises UserError where it is missing, no TOML, or holds what a sweep does not.

    models = ["standard_fc", "C(16,3)-P2-FC10"]   # or trainer = "fc", or both
    seeds = "0:5"                                 # or [0, 3]
    search = "random"                             # or "tpe"; "grid" by default
    num_points = 20
    [settings]
    num_epochs = 3
    learning_rate = [1e-3, 1e-2]                  # or { low = 1e-4, high = 1e-1, log = true }
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UserError(f"{shown(file)} is larger than {MAX_FILE_BYTES // 2**20} MiB: expected a sweep")
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {shown(file)}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{shown(file)} is no TOML: {error}") from None
    except RecursionError:
        raise UserError(f"{shown(file)} is nested too deeply: expected a sweep") from None
    known = {"trainer", "models", "seeds", "search", "num_points", "pruning", "settings"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"{shown(file)}: unknown key '{brief(unknown[0])}': expected {', '.join(sorted(known))}")
    search = _typed(values, "search", str, "grid")
    if search not in get_args(Search):
        raise UserError(f"search '{search[:60]}': expected one of {', '.join(get_args(Search))}")
    trainer = _typed(values, "trainer", str, None)
    base = base_recipe(trainer)
    settings = _typed(values, "settings", dict, {})
    return Plan(
        name=file.stem,
        base=base,
        models=tuple(_expect("models", model, str) for model in _typed(values, "models", list, [base.model])),
        settings={name: _choice(name, value) for name, value in settings.items()},
        seeds=_seeds(values.get("seeds", "0")),
        search=search,
        num_points=_typed(values, "num_points", int, 20),
        pruning=_typed(values, "pruning", bool, False),
    )


def _typed(values: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    return _expect(name, values[name], kind) if name in values else default


def _expect(name: str, value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise UserError(f"{name} = {brief(value)}: expected {KINDS[kind]}")
    return value


def _choice(name: str, value: Any) -> Choice:
    if not isinstance(value, dict):
        return tuple(value) if isinstance(value, list) else (value,)
    kinds = {"low": (int, float), "high": (int, float), "log": (bool,)}
    if not {"low", "high"} <= set(value) <= set(kinds) or any(type(value[key]) not in kinds[key] for key in value):
        raise UserError(
            f"{name} = {brief(value)}: expected a value, a list, or {{ low = ..., high = ..., log = true }}"
        )
    return Range(value["low"], value["high"], value.get("log", False))


def _seeds(value: Any) -> tuple[int, ...]:
    """Of `0:5`, `1,5,7`, a number, or a list."""
    if isinstance(value, list):
        value = ",".join(brief(one) for one in value)
    return tuple(parse_seeds(value if isinstance(value, str) else brief(value)))
