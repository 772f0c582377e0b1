"""The cache of scorecards: one file per set of weights, so that no metric or curve is measured twice."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from study.scorecard.evaluator import Curve, Metric, MetricResult
from utils.errors import UserError
from utils.files import data_folder, drawings_folder, shown, study_folder, write_whole
from utils.outside import read_json
from utils.run import Run


@dataclass(frozen=True)
class Scorecard:
    """Metrics and curves of one run."""

    run_name: str
    results: dict[str, MetricResult]
    """By metric id, in the requested order."""
    curves: dict[str, Any]
    """By curve id."""
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
    version: int
    """Version of the metric or curve."""
    inputs: str
    """Hash of the file names that decided the value."""


def scorecards_folder() -> Path:
    return study_folder() / "scorecards"


def cache_file(run: Run) -> Path:
    """The file with the measurements of this run's weights. Its name is a hash of the weights, the model and the
    training data; the run's name and seed do not matter."""
    recipe = run.recipe
    data = [recipe.model, recipe.dataset, recipe.validation_size, recipe.train_size, recipe.validation]
    try:
        weights = run.best_checkpoint.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(run.best_checkpoint)}: {error.strerror}") from None
    return scorecards_folder() / f"{hashlib.sha256(weights + json.dumps(data).encode()).hexdigest()[:24]}.json"


class ScorecardCache:
    """The measurements in one file by metric or curve id. A damaged file counts as empty."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.entries: dict[str, Entry] = {}
        try:
            content = read_json(file)
            self.entries = {id_: Entry(**entry) for id_, entry in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass

    def get(self, measured: Metric | Curve) -> Entry | None:
        """The entry, if it was measured with the current version."""
        entry = self.entries.get(measured.id)
        return entry if entry and entry.version == measured.version else None

    def is_due(self, measured: Metric | Curve) -> bool:
        """Whether to measure: there is no entry of this version, or the files that decide the value have changed."""
        entry = self.get(measured)
        return entry is None or entry.inputs != _inputs_hash(measured, entry.value)

    def put(self, measured: Metric | Curve, value: Any, seconds: float) -> None:
        """Stores the value and writes the file, so that an interruption loses at most one measurement."""
        self.entries[measured.id] = Entry(value, seconds, measured.version, _inputs_hash(measured, value))
        content = {id_: asdict(entry) for id_, entry in self.entries.items()}
        write_whole(self.file, json.dumps(content, allow_nan=False).encode())


def _inputs_hash(measured: Metric | Curve, value: Any) -> str:
    """A hash of the names of the files that decide the value. Any new data may fill a missing value."""
    names = measured.input_files()
    if isinstance(value, dict) and value.get("missing"):
        data = sorted(path.relative_to(data_folder()).as_posix() for path in data_folder().glob("**/*"))
        drawings = sorted(path.name for path in drawings_folder().glob("*.png"))
        names = [*names, *data, *drawings, os.environ.get("MNIST_STUDY_MIRROR", "")]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
