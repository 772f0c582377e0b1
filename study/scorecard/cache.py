"""Scorecards and their cache: one file per set of weights, so that no metric or curve is measured twice."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from study.scorecard.evaluator import Curve, Metric, MetricResult
from utils.errors import UserError
from utils.files import data_folder, drawings_folder, shown, study_folder, write_whole
from utils.run import Run


@dataclass(frozen=True)
class Scorecard:
    """The metrics and curves of one run."""

    run_name: str
    results: dict[str, MetricResult]
    """By metric id, in the requested order."""
    curves: dict[str, Any]
    """By curve id; empty unless the full scorecard was requested."""
    seconds: float
    """Time of the measurements."""
    file: Path
    """The cache file with these results."""


@dataclass(frozen=True)
class Entry:
    """A cached measurement."""

    value: Any
    """The fields of a MetricResult, or a curve: plain values."""
    seconds: float
    settings: str
    """Hash of the version and the constants that decided the value."""
    inputs: str
    """Hash of the file names that decided the value."""


def scorecards_folder() -> Path:
    return study_folder() / "scorecards"


def cache_file(run: Run) -> Path:
    """The file with the measurements of this run's weights. Its name is a hash of the weights, the model and the data
    that the run was trained on; the run's name and seed are not part of the key."""
    recipe = run.recipe
    data = [recipe.model, recipe.dataset, recipe.validation_size, recipe.train_size]
    try:
        weights = run.best_checkpoint.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(run.best_checkpoint)}: {error.strerror}") from None
    return scorecards_folder() / f"{hashlib.sha256(weights + json.dumps(data).encode()).hexdigest()[:24]}.json"


class ScorecardCache:
    """The measurements in one file, by metric or curve id. An unreadable file counts as empty."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.entries: dict[str, Entry] = {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            self.entries = {id_: Entry(**entry) for id_, entry in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass

    def get(self, measured: Metric | Curve) -> Entry | None:
        """The entry, if it was measured with the current version and constants."""
        entry = self.entries.get(measured.id)
        return entry if entry and entry.settings == settings_hash(measured) else None

    def is_due(self, measured: Metric | Curve) -> bool:
        """Whether a measurement now may differ from the entry: after a change of the code's constants, of the files
        that decide the value or, for a missing value, of any data."""
        entry = self.get(measured)
        return entry is None or entry.inputs != inputs_hash(measured, _is_missing(entry.value))

    def put(self, measured: Metric | Curve, value: Any, seconds: float) -> None:
        """Stores the value and writes the file, so that an interruption loses one measurement at most."""
        inputs = inputs_hash(measured, _is_missing(value))
        self.entries[measured.id] = Entry(value, seconds, settings_hash(measured), inputs)
        content = {id_: asdict(entry) for id_, entry in self.entries.items()}
        write_whole(self.file, json.dumps(content, allow_nan=False).encode())


def settings_hash(measured: Metric | Curve) -> str:
    """A hash of the version and of the constants of the module that computes the value, such as NUM_DIGITS."""
    return _hash([measured.version, module_constants(measured.compute)])


def module_constants(function: Callable[..., Any]) -> dict[str, Any]:
    """The numbers, texts and tuples of these with upper-case names in the function's module."""
    if isinstance(function, partial):
        function = function.func
    names = vars(sys.modules[function.__module__])
    return {name: value for name, value in sorted(names.items()) if name.isupper() and _is_plain(value)}


def inputs_hash(measured: Metric | Curve, is_missing: bool) -> str:
    """A hash of the names of the files that decide the value; of all data if the value is missing."""
    return _hash([measured.input_files(), _all_data() if is_missing else []])


def _all_data() -> list[str]:
    """Everything that decides which values can be measured."""
    data = sorted(path.relative_to(data_folder()).as_posix() for path in data_folder().glob("**/*"))
    drawings = sorted(path.name for path in drawings_folder().glob("*.png"))
    return [*data, *drawings, os.environ.get("MNIST_STUDY_MIRROR", "")]


def _is_missing(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("missing"))


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str)


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
