"""Scorecards: which parts there are, measured where they are not kept."""

import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from study.comparison.run_records import RunRecord, read_record
from study.generalisation.cells import Cell, Part, missing_cell
from study.generalisation.keeping import Kept, at_hand, kept_file, read_kept, write_kept
from utils.errors import UserError
from utils.paths import shown
from utils.run_folder import RunFolder

NO_DIGITS = ("fashion_mnist", "kmnist")  # data sets of other things; their own table needs torch

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
    file = kept_file(run)
    kept, now = read_kept(file), at_hand()
    due = {
        name: function
        for name, function in functions.items()
        if function not in kept or kept[function].is_due(function, now)
    }
    if due:
        _measure(run, due, device, file, kept)
    return _as_scorecard(run, functions, kept, file)


def kept_scorecards(runs: Sequence[RunFolder], functions: dict[str, str]) -> dict[str, Scorecard]:
    """The whole scorecards that are kept of these runs, by the run's name."""
    found = {}
    for run in runs:
        if run.best_checkpoint.exists():
            file = kept_file(run)
            kept = read_kept(file)
            if set(functions.values()) <= set(kept):
                found[run.path.name] = _as_scorecard(run, functions, kept, file)
    return found


def finished_mnist_runs() -> list[RunRecord]:
    """The finished runs that learned from MNIST, the oldest first; damaged ones are left out."""
    records = [read_record(run) for run in RunFolder.all()]
    return [record for record in records if record.is_finished and record.config["train"].get("dataset") == "mnist"]


def _check_digits(run: RunFolder) -> None:
    dataset = run.config()["train"].get("dataset")
    if dataset in NO_DIGITS:
        raise UserError(f"{shown(run.path)} learned from {dataset}: a scorecard judges networks that read digits")


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
        kept[function] = Kept(part, time.perf_counter() - started, at_hand())
        write_kept(file, kept)
