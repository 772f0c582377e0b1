"""Scorecards, kept by the weights of the network so that they are measured once."""

import hashlib
import importlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from study.comparison.run_records import RunRecord, read_record
from study.generalisation.cells import Cell, Part, missing_cell
from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.paths import data_folder, drawings_folder, shown, study_folder
from utils.run_folder import RunFolder

CHUNK_BYTES = 2**20
NO_DIGITS = ("fashion_mnist", "kmnist")  # data sets of other things
VERSION = 1  # of what is measured and how: what another version measured is measured again

# Part -> the function that measures it, in this folder; imported only when something is to be measured.
FULL = {
    "the test set": "clean_digits.accuracy",
    "calibration": "clean_digits.calibration",
    "abstaining": "clean_digits.abstaining",
    "further test digits": "other_hands.further_digits",
    "other hands": "other_hands.other_hands",
    "drawings": "other_hands.drawings",
    "writers": "other_hands.writers",
    "moved": "moved_digits.shifted",
    "scaled": "moved_digits.scaled",
    "turned": "moved_digits.turned",
    "worst case": "moved_digits.worst_case",
    "corruptions": "corrupted_digits.corrupted",
    "no digit at all": "no_digit.no_digit",
    "adversarial": "adversarial.adversarial",
}
# What many small networks are compared by, in seconds each.
BRIEF = {
    "the test set": "clean_digits.accuracy",
    "moved": "moved_digits.shifted_nearby",
    "corruptions": "corrupted_digits.corrupted_sample",
    "other hands": "other_hands.usps",
    "no digit at all": "no_digit.strange_by_logits",
}
# Parts whose digits may come to be others, and what tells.
SOURCES = {"other_hands.drawings": "drawings", "corrupted_digits.corrupted": "published corruptions"}


@dataclass(frozen=True)
class Scorecard:
    """What was measured of one network, part by part."""

    run_name: str
    parts: dict[str, Part]
    seconds: float
    """That measuring took."""
    file: Path
    """Where what was measured of these weights is kept."""

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells of all parts by name."""
        return {name: cell for part in self.parts.values() for name, cell in part.cells.items()}


def scorecard(run: RunFolder, functions: dict[str, str], device: str) -> Scorecard:
    """The parts of the run's scorecard that these functions measure: as they were kept, or measured now.

    Parts in which something was missing are measured again when other data have come to hand.
    Raises UserError where the run is unfinished or damaged, not of digits, or the device unknown.
    """
    run.summary()  # a run without a verdict has no network to judge
    _check_digits(run)
    file = _file(run)
    kept, now = _read(file), at_hand()
    due = {name: function for name, function in functions.items() if function not in kept or kept[function].is_due(now)}
    if due:
        _measure(run, due, device, file, kept)
    return _as_scorecard(run, functions, kept, file)


def kept_scorecards(runs: Sequence[RunFolder], functions: dict[str, str]) -> dict[str, Scorecard]:
    """The whole scorecards that are kept of these runs, by the run's name."""
    found = {}
    for run in runs:
        if run.best_checkpoint.exists():
            file = _file(run)
            kept = _read(file)
            if set(functions.values()) <= set(kept):
                found[run.path.name] = _as_scorecard(run, functions, kept, file)
    return found


def finished_mnist_runs() -> list[RunRecord]:
    """The finished runs that learned from MNIST, the oldest first; damaged ones are left out."""
    records = [read_record(run) for run in RunFolder.all()]
    return [record for record in records if record.is_finished and record.config["train"].get("dataset") == "mnist"]


def scorecards_folder() -> Path:
    return study_folder() / "scorecards"


@dataclass(frozen=True)
class Kept:
    """A part as it is kept."""

    part: Part
    seconds: float
    at_hand: dict[str, list[str]]
    """When it was measured."""
    source: str | None
    """Which of this decides its digits."""

    def is_due(self, now: dict[str, list[str]]) -> bool:
        """Whether measuring it again may give something else."""
        if self.source and self.at_hand[self.source] != now[self.source]:
            return True
        return not self.part.is_whole and self.at_hand != now

    def to_json(self) -> dict[str, Any]:
        return {**self.part.to_json(), "seconds": self.seconds, "at_hand": self.at_hand}


def at_hand() -> dict[str, list[str]]:
    """What decides which cells can be filled, and with which digits."""
    data = sorted(path.relative_to(data_folder()).as_posix() for path in data_folder().glob("**/*"))
    return {
        "data": data,
        "mirror": [os.environ.get("MNIST_STUDY_MIRROR", "")],
        "drawings": sorted(path.name for path in drawings_folder().glob("*.png")),
        "published corruptions": [path for path in data if path.startswith(("mnist_c/", "mnist_c.zip"))],
    }


def _check_digits(run: RunFolder) -> None:
    dataset = run.config()["train"].get("dataset")
    if dataset in NO_DIGITS:
        raise UserError(f"{shown(run.path)} learned from {dataset}: a scorecard judges networks that read digits")


def _file(run: RunFolder) -> Path:
    """Where what is measured of these weights is kept."""
    key = hashlib.sha256(f"version {VERSION}".encode())
    try:
        with run.best_checkpoint.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                key.update(part)
    except OSError as error:
        raise UserError(f"cannot read {shown(run.best_checkpoint)}: {error.strerror}") from None
    return scorecards_folder() / f"{key.hexdigest()[:24]}.json"


def _read(file: Path) -> dict[str, Kept]:
    """The parts by the function that measured them. A damaged file is as good as none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {
            function: Kept(Part.from_json(kept), float(kept["seconds"]), dict(kept["at_hand"]), SOURCES.get(function))
            for function, kept in content.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _as_scorecard(run: RunFolder, functions: dict[str, str], kept: dict[str, Kept], file: Path) -> Scorecard:
    parts = {name: kept[function].part for name, function in functions.items()}
    return Scorecard(run.path.name, parts, sum(kept[function].seconds for function in functions.values()), file)


def _measure(run: RunFolder, functions: dict[str, str], device: str, file: Path, kept: dict[str, Kept]) -> None:
    """Puts these parts among those that are kept, in the file after each: one that is stopped loses a part at most."""
    from study.generalisation.subject import Subject  # torch: only where something is to be measured
    from utils.devices import choose_device

    subject = Subject(run, choose_device(device))
    _ = subject.model, subject.test_set  # without these nothing can be measured
    bar = tqdm(functions.items(), desc=run.path.name, disable=None, leave=False)
    for name, function in bar:
        bar.set_postfix_str(name)
        started = time.perf_counter()
        module, _, function_name = function.partition(".")
        measure = getattr(importlib.import_module(f"study.generalisation.{module}"), function_name)
        try:
            part: Part = measure(subject)
        except UserError as error:  # such as training digits that are no longer there
            part = Part({name: missing_cell(error)})
        kept[function] = Kept(part, time.perf_counter() - started, at_hand(), SOURCES.get(function))
        content = {function: part.to_json() for function, part in kept.items()}
        write_whole(file, json.dumps(content, allow_nan=False).encode())
