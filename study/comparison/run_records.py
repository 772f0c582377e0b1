"""What runs/ holds, run by run: finished, unfinished or damaged, without stopping at any of them."""

from dataclasses import dataclass
from typing import Any

from utils.errors import UserError
from utils.run_folder import EpochMetrics, RunFolder

CONFIG_KEYS = {"model", "train"}
SUMMARY_KEYS = {
    "model", "num_parameters", "seed", "num_epochs_run", "val_accuracy", "test_accuracy", "train_seconds",
}  # fmt: skip


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
        config = _with_keys(run, "config.json", CONFIG_KEYS)
        rows = run.rows()
        if not run.is_finished:
            return RunRecord(run, config, {}, rows, f"unfinished, {len(rows)} of {_num_epochs(config)} epochs")
        summary = _with_keys(run, "summary.json", SUMMARY_KEYS)
        if not rows:
            raise UserError("metrics.jsonl is missing or empty")
    except UserError as error:
        return RunRecord(run, config, {}, [], f"damaged: {error}")
    return RunRecord(run, config, summary, rows)


def _with_keys(run: RunFolder, file_name: str, keys: set[str]) -> dict[str, Any]:
    values = run.read_json(file_name)
    if not isinstance(values, dict) or not keys <= set(values):
        raise UserError(f"{file_name} lacks {', '.join(sorted(keys - set(values or {})))}")
    return values


def _num_epochs(config: dict[str, Any]) -> Any:
    return config["train"].get("num_epochs", "?") if isinstance(config["train"], dict) else "?"
