"""Scorecards, kept by the weights of the network so that they are measured once."""

import hashlib
import importlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from study.comparison.run_records import read_record
from study.generalisation.cells import Cell, Part, missing_cell
from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.paths import data_folder, drawings_folder, shown, study_folder
from utils.run_folder import RunFolder

CHUNK_BYTES = 2**20
VERSION = 1  # of what is measured and how: what another version measured is measured again

# Part -> the function that measures it, in this folder; imported only when something is to be measured.
FULL = {
    "the test set": "clean_digits.test_accuracy",
    "calibration": "clean_digits.calibration",
    "abstaining": "clean_digits.abstaining",
    "further test digits": "other_hands.further_digits",
    "other hands": "other_hands.other_hands",
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
    "the test set": "clean_digits.test_accuracy",
    "moved": "moved_digits.shifted_nearby",
    "corruptions": "corrupted_digits.corrupted_sample",
    "other hands": "other_hands.usps",
    "no digit at all": "no_digit.strange_by_logits",
}


@dataclass(frozen=True)
class Scorecard:
    """What was measured of one network, part by part."""

    run_name: str
    parts: dict[str, Part]
    seconds: float
    """That measuring took."""
    file: Path
    """Where it is kept."""

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells of all parts by name."""
        return {name: cell for part in self.parts.values() for name, cell in part.cells.items()}


def scorecard(run: RunFolder, functions: dict[str, str], device: str) -> Scorecard:
    """The parts of the run's scorecard that these functions measure: as they were kept, or measured now.

    Parts in which something was missing are measured again when other data have come to hand.
    Raises UserError where the run is unfinished or damaged, or the device unknown.
    """
    run.summary()  # a run without a verdict has no network to judge
    file = _file(run, functions)
    parts, seconds, at_hand = _kept(file)
    if at_hand != _at_hand():
        parts = {name: part for name, part in parts.items() if part.is_whole}
    if missing := [name for name in functions if name not in parts]:
        started = time.perf_counter()
        parts |= _measure(run, {name: functions[name] for name in missing}, device)
        seconds += time.perf_counter() - started
        parts = {name: parts[name] for name in functions}
        content = {"at_hand": _at_hand(), "seconds": seconds}
        content["parts"] = {name: part.to_json() for name, part in parts.items()}
        write_whole(file, json.dumps(content).encode())
    return Scorecard(run.path.name, parts, seconds, file)


def kept_scorecards(runs: Sequence[RunFolder], functions: dict[str, str]) -> dict[str, Scorecard]:
    """The whole scorecards that are kept of these runs, by the run's name."""
    found = {}
    for run in runs:
        file = _file(run, functions)
        parts, seconds, _ = _kept(file)
        if set(parts) == set(functions):
            found[run.path.name] = Scorecard(run.path.name, parts, seconds, file)
    return found


def mnist_runs() -> list[RunFolder]:
    """The finished runs that learned from MNIST, the oldest first; damaged ones are left out."""
    records = [read_record(run) for run in RunFolder.all()]
    return [record.run for record in records if record.is_finished and record.config["train"]["dataset"] == "mnist"]


def scorecards_folder() -> Path:
    return study_folder() / "scorecards"


def _file(run: RunFolder, functions: dict[str, str]) -> Path:
    """Where these measures of these weights are kept."""
    key = hashlib.sha256(json.dumps([VERSION, functions]).encode())
    try:
        with run.best_checkpoint.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                key.update(part)
    except OSError as error:
        raise UserError(f"cannot read {shown(run.best_checkpoint)}: {error.strerror}") from None
    return scorecards_folder() / f"{key.hexdigest()[:24]}.json"


def _kept(file: Path) -> tuple[dict[str, Part], float, list[str]]:
    """What was measured, how long it took, and what was at hand. A damaged file is as good as none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        parts = {name: Part.from_json(part) for name, part in content["parts"].items()}
        return parts, float(content["seconds"]), list(content["at_hand"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, 0.0, []


def _at_hand() -> list[str]:
    """What decides which cells can be filled: data sets, the mirror, saved drawings."""
    data = sorted(path.name for path in data_folder().glob("*"))
    drawings = sorted(path.name for path in drawings_folder().glob("*.png"))
    return [os.environ.get("MNIST_STUDY_MIRROR", ""), *data, *drawings]


def _measure(run: RunFolder, functions: dict[str, str], device: str) -> dict[str, Part]:
    from study.generalisation.subject import Subject  # torch: only where something is to be measured
    from utils.devices import choose_device

    subject, parts = Subject(run, choose_device(device)), {}
    _ = subject.model, subject.test_set  # without these nothing can be measured
    bar = tqdm(functions.items(), desc=run.path.name, disable=None, leave=False)
    for name, function in bar:
        bar.set_postfix_str(name)
        module, _, function_name = function.partition(".")
        measure = getattr(importlib.import_module(f"study.generalisation.{module}"), function_name)
        try:
            parts[name] = measure(subject)
        except UserError as error:  # such as training digits that are no longer there
            parts[name] = Part({name: missing_cell(error)})
    return parts
