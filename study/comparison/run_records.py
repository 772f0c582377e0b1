"""What runs/ holds, run by run: finished, unfinished or damaged, without stopping at any of them."""

from dataclasses import dataclass
from typing import Any

from utils.errors import UserError
from utils.run_folder import EpochMetrics, RunFolder

CONFIG_TYPES: dict[str, type | tuple[type, ...]] = {"model": str, "train": dict}
NUMBER = (int, float)
SUMMARY_TYPES: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "num_parameters": int,
    "seed": int,
    "num_epochs_run": int,
    "val_accuracy": NUMBER,
    "test_accuracy": NUMBER,
    "train_seconds": NUMBER,
}


@dataclass(frozen=True)
class RunRecord:
    """One run as its files tell it. `problem` is empty for a finished run; then summary and rows are whole."""

    run: RunFolder
    config: dict[str, Any]
    summary: dict[str, Any]
    rows: list[EpochMetrics]
    problem: str = ""

    @property
    def name(self) -> str:
        return self.run.path.name

    @property
    def is_finished(self) -> bool:
        return not self.problem


def read_record(run: RunFolder) -> RunRecord:
    """The run's record; what is wrong with it is told in `problem` instead of raised."""
    config: dict[str, Any] = {}
    try:
        config = _read_checked(run, "config.json", CONFIG_TYPES)
        rows = run.rows()
        if not run.is_finished:
            num_epochs = config["train"].get("num_epochs", "?")
            return RunRecord(run, config, {}, rows, f"unfinished, {len(rows)} of {num_epochs} epochs")
        summary = _read_checked(run, "summary.json", SUMMARY_TYPES)
        if not rows:
            raise UserError("metrics.jsonl is missing or empty")
    except UserError as error:
        return RunRecord(run, config, {}, [], f"damaged: {error}")
    return RunRecord(run, config, summary, rows)


def _read_checked(run: RunFolder, file_name: str, types: dict[str, type | tuple[type, ...]]) -> dict[str, Any]:
    values = run.read_json(file_name)
    if not isinstance(values, dict):
        raise UserError(f"{file_name} holds no names and values")
    wrong = [key for key, kind in types.items() if not isinstance(values.get(key), kind)]
    if wrong:
        raise UserError(f"{file_name} lacks {', '.join(wrong)}, or has them of the wrong kind")
    return values
