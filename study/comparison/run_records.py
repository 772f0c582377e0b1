"""What runs/ holds, run by run: finished, unfinished or damaged, without stopping at any of them."""

from dataclasses import dataclass
from typing import Any

from utils.errors import UserError
from utils.paths import shown
from utils.run_folder import EpochMetrics, RunFolder


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
        config = run.config()
        rows = run.rows()
        if not run.is_finished:
            num_epochs = config["train"].get("num_epochs", "?")
            return RunRecord(run, config, {}, rows, f"unfinished, {len(rows)} of {num_epochs} epochs")
        summary = run.summary()
        if not rows:
            raise UserError("metrics.jsonl is missing or empty")
    except UserError as error:
        reason = str(error).splitlines()[0].replace(f"{shown(run.path)}/", "")
        return RunRecord(run, config, {}, [], f"damaged: {reason}")
    return RunRecord(run, config, summary, rows)
