"""A run is a folder `runs/<name>/`. `Run` is its only reader and writer; all values are typed and checked.

config.json          the Recipe, written first
environment.json     versions, machine, commit and the resolved Execution
metrics.jsonl        one line per epoch; TensorBoard's event files are a view of it
checkpoints/         last.pt to resume from, best.pt with the weights that are evaluated; during training also
                     last.previous.pt, one epoch older, in case last.pt gets damaged
predictions/         test.npz and validation.npz: logits and labels
summary.json         the final evaluation, written last
training_embeddings.npz
                     from the first prediction of a picture on: model_interpretation/ood_check.py

The folder gets its name in runs/ when config.json is in it. Whoever writes a run holds its lock (utils/locks.py), and
every file reaches the disk before the next one relies on it: a run survives a kill and a power loss at any moment.
"""

import dataclasses
import itertools
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from utils.errors import UserError, printable
from utils.files import append_durably, drawings_folder, new_folder, replace_file, runs_folder, shown
from utils.locks import RunIsLocked, RunLock
from utils.outside import MAX_JSON_BYTES, parse_json, read_bounded, read_json
from utils.predictions import Predictions, load_predictions
from utils.recipe import Execution, Recipe, field_types

NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,()+=@-]{0,149}")


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch, a line of metrics.jsonl. Accuracies are fractions; losses are in nats, without label smoothing."""

    epoch: int
    """Counted from 1; 0 for imported weights."""
    step: int
    """Steps since the start of the run."""
    learning_rate: float
    """Learning rate of the last step."""
    train_loss: float
    """Mean over the epoch, with the weights at the time of each step, augmentation and dropout included."""
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    grad_norm: float
    """Euclidean norm of the whole gradient in the last step, after clipping."""
    epoch_seconds: float
    """Training only, without validation and saving. Networks trained together share the time evenly."""
    images_per_second: float
    median_train_loss: float | None = None
    """Median over the training images; numpy backend only."""


@dataclass(frozen=True)
class RunSummary:
    """The final evaluation of a run, summary.json. Accuracies are fractions, losses in nats, evaluated in fp32."""

    model: str
    num_parameters: int
    seed: int
    device: str
    precision: str
    """Precision of training."""
    num_epochs_run: int
    best_epoch: int
    """Epoch of the weights that were evaluated: the best on validation, or the last with checkpoint=last."""
    best_val_accuracy: float
    """Validation accuracy of that epoch as measured during training."""
    val_accuracy: float
    test_accuracy: float
    test_loss: float
    test_num_correct: int
    train_seconds: float
    total_seconds: float

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> "RunSummary":
        """The summary of those values that are its fields. Raises TypeError for missing fields and wrong types.

        To add a column, add a field with a default. Training fills a field with the recipe or execution field of the
        same name, a score (`test_loss`, `val_accuracy`) or a metric of the selected epoch (`best_val_loss`).
        """
        summary: RunSummary = _checked(RunSummary, values)
        return summary


def selected_epoch(metrics: list[EpochMetrics], checkpoint: str) -> EpochMetrics:
    """The epoch whose weights are evaluated: the last, or the best by validation accuracy (ties: lower validation
    loss, then the earlier epoch)."""
    if checkpoint == "last":
        return metrics[-1]
    return min(metrics, key=lambda row: (-row.val_accuracy, row.val_loss, row.epoch))


@dataclass(frozen=True)
class Run:
    """One run folder. Properties read from disk and raise UserError for a missing or damaged file."""

    path: Path

    @staticmethod
    def create(name: str | None, recipe: Recipe, environment: dict[str, Any], label: str = "") -> "Run":
        """Creates the folder of a new run in runs/ with its config.json and environment.json. The default name is
        made of the label (else the model), time and seed, and a number if that name is taken.

        Raises UserError if the name is taken or not a plain folder name.
        """
        with Run.staged(name, recipe, environment, label) as run:
            pass
        return Run(runs_folder() / run.name)

    @staticmethod
    @contextmanager
    def staged(name: str | None, recipe: Recipe, environment: dict[str, Any], label: str = "") -> Iterator["Run"]:
        """Yields a new run as `create` makes it, which appears in runs/ under its name only when the block ends. After
        an error or a kill there is no such run."""
        Run.check_name(name)
        lock = _lock_free_name(name, f"{label or recipe.plain_model}-{datetime.now():%Y%m%d-%H%M%S}-s{recipe.seed}")
        try:
            with new_folder(runs_folder() / lock.run.name) as folder:
                for part in ("checkpoints", "predictions"):
                    (folder / part).mkdir()
                run = Run(folder)
                run._write_json("environment.json", environment)
                run._write_json("config.json", recipe.to_json())
                yield run
        finally:
            lock.release()

    @staticmethod
    def check_name(name: str | None) -> None:
        """Raises UserError if a new run cannot have this name."""
        if name is None:
            return
        if not NAME_PATTERN.fullmatch(name):
            raise UserError(
                f"run name '{name}': expected a plain folder name of letters, digits and _ . , ( ) + = @ -\n"
                "Every run is a folder of its own in runs/."
            )
        if runs_folder() / name == drawings_folder():
            raise UserError(f"run name '{name}': {shown(drawings_folder())} is reserved for drawings, choose another")
        if (runs_folder() / name).exists():
            raise _taken(runs_folder() / name)

    @staticmethod
    def find(name: str) -> "Run":
        """The run at this path or of this name in runs/. Raises UserError if there is none."""
        for path in (Path(name), runs_folder() / name):
            if os.path.isfile(path / "config.json"):  # noqa: PTH113 - a name that no disk can hold is no run either
                return Run(path.resolve() if path.name in ("", "..") else path)
        known = [run.name for run in Run.all()]
        hint = f"the newest runs: {', '.join(known[-3:])}" if known else "there are no runs yet"
        raise UserError(
            f"no run at '{name[:150]}' ({hint}).\nExpected a run folder such as runs/NAME; 'mnist train' creates one."
        )

    @staticmethod
    def all() -> list["Run"]:
        """Every folder in runs/, the oldest first by its environment.json, which is written once."""
        folders = [path for path in runs_folder().glob("[!.]*") if path.is_dir() and path != drawings_folder()]
        return [Run(path) for path in sorted(folders, key=_age)]

    @staticmethod
    def finished() -> list["Run"]:
        """The finished, readable runs, the oldest first. Raises UserError if there is none."""
        runs = [run for run in Run.all() if run.is_finished and not run.problem]
        if not runs:
            raise UserError(f"there is no finished run in {shown(runs_folder())} yet: 'mnist train conv' creates one")
        return runs

    @property
    def name(self) -> str:
        """The name of the folder, fit to be printed."""
        return printable(self.path.name)

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def previous_checkpoint(self) -> Path:
        """last.pt as it was an epoch before; only while the run is unfinished."""
        return self.path / "checkpoints" / "last.previous.pt"

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.pt"

    def predictions_file(self, split: str) -> Path:
        return self.path / "predictions" / f"{split}.npz"

    @cached_property
    def recipe(self) -> Recipe:
        """Runs of version 1 are converted while reading."""
        values = self._read_json("config.json")
        try:
            return Recipe.from_json(values)
        except UserError as error:
            raise UserError(f"{shown(self.path / 'config.json')} is damaged: {error}") from None

    @cached_property
    def environment(self) -> dict[str, Any]:
        return self._read_json("environment.json")

    @cached_property
    def execution(self) -> Execution:
        """The resolved execution that the run began with. Runs of version 1 have it in config.json."""
        of_version_1 = self._read_json("config.json").get("train", {})
        values = self.environment.get("execution", of_version_1)
        if not isinstance(values, dict):
            raise UserError(f"{shown(self.path / 'environment.json')} is damaged: expected execution as a JSON object")
        return Execution.from_json({"threads": self.environment.get("num_threads"), **values})

    @property
    def metrics(self) -> list[EpochMetrics]:
        """All epochs so far. An incomplete last line, left by a killed process, is ignored."""
        path = self.path / "metrics.jsonl"
        try:
            return self._parse_metrics(read_bounded(path, MAX_JSON_BYTES) if path.exists() else b"")
        except OSError as error:
            raise UserError(f"{shown(path)} is damaged: {error.strerror}") from None

    def _parse_metrics(self, content: bytes) -> list[EpochMetrics]:
        path = self.path / "metrics.jsonl"
        try:
            metrics = [_checked(EpochMetrics, parse_json(line)) for line in content.decode().split("\n")[:-1]]
        except (ValueError, TypeError) as error:
            raise UserError(f"{shown(path)} is damaged: {error}") from None
        epochs = [row.epoch for row in metrics]
        if epochs not in (list(range(1, len(metrics) + 1)), [0]):  # 0: imported weights
            raise UserError(f"{shown(path)} is damaged: expected the epochs 1 to {len(metrics)} in order")
        return metrics

    @cached_property
    def summary(self) -> RunSummary:
        """Raises UserError if the run is unfinished or the file is damaged."""
        try:
            return RunSummary.from_values(self._read_json("summary.json"))
        except TypeError as error:
            raise UserError(f"{shown(self.path / 'summary.json')} is damaged: {error}") from None

    def predictions(self, split: str = "test") -> Predictions:
        """The stored predictions for the `test` or `validation` split. Raises UserError if there are none."""
        return load_predictions(self.predictions_file(split))

    @property
    def is_finished(self) -> bool:
        """Whether the final evaluation is done: summary.json is the last file of a run."""
        return (self.path / "summary.json").exists()

    @cached_property
    def problem(self) -> str:
        """Empty for a finished run whose files are readable; else `unfinished, 3 of 10 epochs` or `damaged: ...`."""
        try:
            metrics = self.metrics
            num_epochs = self.recipe.num_epochs
            if not self.is_finished:
                return f"unfinished, {len(metrics)} of {num_epochs} epochs"
            _ = self.summary
            if not metrics:
                raise UserError("metrics.jsonl is missing or empty")
            for path in (self.best_checkpoint, *map(self.predictions_file, ("test", "validation"))):
                if path.is_file() and not zipfile.is_zipfile(path):  # reads its end: finds cut off and empty files
                    raise UserError(f"{shown(path)} is damaged: it is empty, cut off or overwritten")
        except UserError as error:
            reason = str(error).splitlines()[0].replace(f"{shown(self.path)}/", "").replace(" is damaged", "")
            return f"damaged: {reason}"
        except OSError as error:
            return f"damaged: {error.strerror}"
        return ""

    def append_metrics(self, row: EpochMetrics) -> None:
        """Raises UserError if the folder was deleted, OSError if the disk is full."""
        if not (self.path / "config.json").exists():
            raise UserError(
                f"{shown(self.path)} was deleted or moved while it was being trained, so training stops.\n"
                "To train it again, repeat the command that started it."
            )
        append_durably(self.path / "metrics.jsonl", _line(row).encode())

    def keep_metrics(self, num_epochs: int) -> list[EpochMetrics]:
        """Removes the epochs after this one, which no checkpoint holds, readable or not. Returns the others."""
        path = self.path / "metrics.jsonl"
        content = path.read_bytes() if path.exists() else b""
        kept = b"".join(content.splitlines(keepends=True)[:num_epochs])
        metrics = self._parse_metrics(kept)
        if len(metrics) < num_epochs:
            raise UserError(f"{shown(path)} has {len(metrics)} epochs, its checkpoint {num_epochs}")
        if kept != content:
            replace_file(path, kept)
        return metrics

    def write_summary(self, summary: RunSummary) -> None:
        self._write_json("summary.json", dataclasses.asdict(summary))

    def _write_json(self, file_name: str, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=2, allow_nan=False)
        replace_file(self.path / file_name, f"{text}\n".encode())

    def _read_json(self, file_name: str) -> dict[str, Any]:
        path = self.path / file_name
        try:
            values = read_json(path)
        except FileNotFoundError:
            raise UserError(f"{shown(path)} is missing: the run is unfinished, or not a run at all") from None
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"{shown(path)} is damaged: {reason}") from None
        if not isinstance(values, dict):
            raise UserError(f"{shown(path)} is damaged: expected a JSON object")
        return values


def runs_by_recipe(runs: Iterable[Run]) -> tuple[list[list[Run]], list[Run]]:
    """The finished runs grouped by recipe, each group in the order of its seeds; and the superseded runs: of several
    runs with the same recipe and seed, only the last given counts. Unfinished and damaged runs are left out."""
    groups: dict[Recipe, dict[int, Run]] = {}
    superseded = []
    for run in runs:
        if run.problem:
            continue
        seeds = groups.setdefault(run.recipe.without_seed, {})
        if run.recipe.seed in seeds:
            superseded.append(seeds[run.recipe.seed])
        seeds[run.recipe.seed] = run
    return [[seeds[seed] for seed in sorted(seeds)] for seeds in groups.values()], superseded


def _checked(kind: Any, values: Any) -> Any:
    """An instance of the dataclass. Raises TypeError for missing fields and wrong types; ignores unknown fields."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{str(values)[:40]!r} is not a JSON object")
    hints = field_types(kind)
    known = {name: value for name, value in values.items() if name in hints}
    for name, value in known.items():
        allowed = get_args(hints[name]) or (hints[name],)
        if float in allowed:
            allowed = (*allowed, int)
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise TypeError(f"{name} is {str(value)[:40]!r}")
    return kind(**known)


def _line(row: EpochMetrics) -> str:
    values = {name: value for name, value in dataclasses.asdict(row).items() if value is not None}
    return f"{json.dumps(values, allow_nan=False)}\n"


def _lock_free_name(name: str | None, default: str) -> RunLock:
    """The acquired lock of the new run `name`, or else of the first free one of `default`, `default-2`, ...

    Raises UserError if the name is taken.
    """
    for number in itertools.count(1):
        path = runs_folder() / (name or (default if number == 1 else f"{default}-{number}"))
        lock = RunLock(path)
        try:
            lock.acquire()
        except RunIsLocked:
            if name:
                raise
            continue
        if not path.exists():
            break
        lock.release()
        if name:
            raise _taken(path)
    return lock


def _taken(path: Path) -> UserError:
    if not (path / "config.json").exists():
        return UserError(
            f"{shown(path)} exists, but it is not a run: it has no config.json.\n"
            "Choose another --run-name, or delete the folder if nobody needs it."
        )
    finished = (path / "summary.json").exists()
    return UserError(
        f"run {shown(path)} exists and is never overwritten.\n"
        f"Choose another --run-name{'' if finished else f', or resume it: mnist train --resume {shown(path)}'}"
    )


def _age(path: Path) -> tuple[float, str]:
    for file in (path / "environment.json", path):
        try:
            return file.stat().st_mtime, path.name
        except OSError:
            continue
    return 0.0, path.name  # a folder that may not be read
