"""A run is a folder: what lies in it, how it is made and how it is found again."""

import dataclasses
import itertools
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from utils.atomic_files import make_folder, write_whole
from utils.errors import UserError
from utils.paths import drawings_folder, runs_folder, shown

MEDIANS = "median_losses.jsonl"  # the NumPy engine's: median over the digits' losses, a line an epoch
NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,()+=@-]{0,149}")


NUMBER = (int, float)
CONFIG_TYPES: dict[str, type | tuple[type, ...]] = {"model": str, "train": dict}
SUMMARY_TYPES: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "num_parameters": int,
    "seed": int,
    "device": str,
    "precision": str,
    "num_epochs_run": int,
    "best_epoch": int,
    "best_val_accuracy": NUMBER,
    "val_accuracy": NUMBER,
    "test_accuracy": NUMBER,
    "test_loss": NUMBER,
    "test_num_correct": int,
    "train_seconds": NUMBER,
    "total_seconds": NUMBER,
}


@dataclass(frozen=True)
class EpochMetrics:
    """A row of metrics.jsonl. Accuracies are fractions, losses mean cross-entropies in nats without label smoothing."""

    epoch: int
    step: int
    """Steps since the beginning of the run."""
    learning_rate: float
    """Of the epoch's last step."""
    train_loss: float
    """Over the epoch, as the weights were when each digit was seen, augmentation and dropout included."""
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    grad_norm: float
    """Euclidean norm of the whole gradient in the epoch's last step, as the optimizer took it."""
    epoch_seconds: float
    """Training alone, without validation and saving; of networks trained together, each counts its share."""
    images_per_second: float


def judged_row(rows: list[EpochMetrics], judged_epoch: str) -> EpochMetrics:
    """The epoch whose weights a run ends with: its `best` by validation or its `last`."""
    return rows[-1] if judged_epoch == "last" else best_row(rows)


def best_row(rows: list[EpochMetrics]) -> EpochMetrics:
    """The epoch with the highest validation accuracy; among equals the lowest validation loss, then the earliest."""
    return min(rows, key=lambda row: (-row.val_accuracy, row.val_loss, row.epoch))


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, by name."""

    path: Path

    @staticmethod
    def create(name: str | None, model: str, seed: int) -> "RunFolder":
        """Makes the folder of a new run in runs/, named after model, time and seed where no name is given.

        Raises UserError where the name is taken or is no plain folder name.
        """
        RunFolder.check_name(name)
        plain_model = re.sub(r"[^A-Za-z0-9_.]+", "_", model).strip("_")[:80]
        path = runs_folder() / (name or _free_name(f"{plain_model}-{datetime.now():%Y%m%d-%H%M%S}-s{seed}"))
        make_folder(path.parent)
        try:
            path.mkdir()
        except FileExistsError:
            raise _taken(path) from None
        (path / "checkpoints").mkdir()
        (path / "predictions").mkdir()
        return RunFolder(path)

    @staticmethod
    def check_name(name: str | None) -> None:
        """Raises UserError where a run cannot be given this name."""
        if name is None:
            return
        if not NAME_PATTERN.fullmatch(name):
            raise UserError(
                f"run name '{name}': expected a plain folder name of letters, digits and _ . , ( ) + = @ -\n"
                "Every run lies in a folder of its own in runs/; it cannot lie elsewhere."
            )
        if runs_folder() / name == drawings_folder():
            raise UserError(f"run name '{name}': {shown(drawings_folder())} is kept for drawings, choose another")
        if (runs_folder() / name).exists():
            raise _taken(runs_folder() / name)

    @staticmethod
    def find(name: str) -> "RunFolder":
        """The run at this path, or of this name in runs/. Raises UserError where there is none."""
        for path in (Path(name), runs_folder() / name):
            if os.path.isfile(path / "config.json"):  # noqa: PTH113 - a name that no disk could hold is no run either
                return RunFolder(path.resolve() if path.name in ("", "..") else path)
        known = [run.path.name for run in RunFolder.all()]
        hint = f"the newest of {len(known)} runs are {', '.join(known[-3:])}" if known else "there is no run yet"
        raise UserError(
            f"no run at '{name[:150]}' ({hint}).\nExpected a run's folder, such as runs/NAME; 'mnist train' makes one."
        )

    @staticmethod
    def find_or_newest(name: str | None) -> "RunFolder":
        """The run of this name, as `find` has it; for None the newest finished one. Raises UserError for none."""
        return RunFolder.finished()[-1] if name is None else RunFolder.find(name)

    @staticmethod
    def all() -> list["RunFolder"]:
        """Every folder in runs/, the oldest first by its environment.json, which is written once."""
        folders = [
            path
            for path in runs_folder().glob("*")
            if path.is_dir() and not path.name.startswith(".") and path != drawings_folder()
        ]
        return [RunFolder(path) for path in sorted(folders, key=_age)]

    @staticmethod
    def finished() -> list["RunFolder"]:
        """The finished runs, the oldest first. Raises UserError where there is none."""
        runs = [run for run in RunFolder.all() if run.is_finished]
        if not runs:
            raise UserError(f"there is no finished run in {shown(runs_folder())} yet: 'mnist train conv' makes one")
        return runs

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.pt"

    @property
    def test_predictions(self) -> Path:
        return self.path / "predictions" / "test.npz"

    @property
    def is_finished(self) -> bool:
        """Whether the final evaluation is done: summary.json is the last file of a run."""
        return (self.path / "summary.json").exists()

    def write_json(self, file_name: str, values: dict[str, Any]) -> None:
        """Writes config.json, environment.json or summary.json, whole or not at all."""
        text = json.dumps(values, indent=2, allow_nan=False)
        write_whole(self.path / file_name, f"{text}\n".encode())

    def read_json(self, file_name: str) -> Any:
        """What lies in such a file. Raises UserError where it is missing or damaged."""
        path = self.path / file_name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{shown(path)} is missing: the run is unfinished or no run at all") from None
        except (ValueError, OSError) as error:
            raise UserError(f"{shown(path)} is damaged: {error}") from None

    def append_row(self, row: EpochMetrics) -> None:
        line = json.dumps(dataclasses.asdict(row), allow_nan=False)
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def config(self) -> dict[str, Any]:
        """config.json with its `model` and `train`. Raises UserError where it is missing or damaged."""
        return self._read_checked("config.json", CONFIG_TYPES)

    def summary(self) -> dict[str, Any]:
        """summary.json with all its fields. Raises UserError where it is missing (an unfinished run) or damaged."""
        return self._read_checked("summary.json", SUMMARY_TYPES)

    def _read_checked(self, file_name: str, types: dict[str, type | tuple[type, ...]]) -> dict[str, Any]:
        values = self.read_json(file_name)
        found = values if isinstance(values, dict) else {}
        wrong = [key for key, kind in types.items() if not isinstance(found.get(key), kind)]
        if wrong:
            raise UserError(f"{shown(self.path / file_name)} is damaged: no or no proper {', '.join(wrong)}")
        return found

    def rows(self) -> list[EpochMetrics]:
        """The rows of metrics.jsonl. A last line that was cut off is left out; other damage raises UserError."""
        path = self.path / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
            rows = [EpochMetrics(**json.loads(line)) for line in lines[:-1]]
        except (ValueError, TypeError, OSError) as error:
            raise UserError(f"{shown(path)} is damaged: {error}") from None
        if not all(isinstance(value, NUMBER) for row in rows for value in vars(row).values()):
            raise UserError(f"{shown(path)} is damaged: a value is no number")
        return rows

    def keep_rows(self, num_epochs: int) -> list[EpochMetrics]:
        """Forgets the rows after this epoch: those of epochs that no checkpoint holds. Returns the others."""
        rows = self.rows()[:num_epochs]
        if len(rows) < num_epochs:
            raise UserError(
                f"{shown(self.path / 'metrics.jsonl')} has {len(rows)} rows, its checkpoint {num_epochs} epochs"
            )
        lines = "".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows)
        write_whole(self.path / "metrics.jsonl", lines.encode())
        return rows


def _taken(path: Path) -> UserError:
    return UserError(
        f"run {shown(path)} exists and is never overwritten.\n"
        f"Choose another --run-name, or go on with it: mnist train --resume {shown(path)}"
    )


def _free_name(name: str) -> str:
    """The name, with a number after it where a run of the same second has it already."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(free for free in names if not (runs_folder() / free).exists())


def _age(path: Path) -> tuple[float, str]:
    environment = path / "environment.json"
    return (environment if environment.exists() else path).stat().st_mtime, path.name
