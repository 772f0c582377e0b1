"""The figures of a scorecard: each a value with its 95 % interval and the number of digits behind it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64

from utils.errors import UserError
from utils.paths import home_folder
from utils.statistics import paired_bootstrap, share_interval

Kind = Literal["share", "number"]


@dataclass(frozen=True)
class Cell:
    """A figure, or in `missing` why there is none and how to get it."""

    value: float | None
    low: float | None = None
    """Ends of the 95 % interval."""
    high: float | None = None
    n: int = 0
    """How many images, or writers, it is taken over."""
    kind: Kind = "share"
    missing: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"none: {self.missing}"
        if self.low is None or self.high is None:
            return _written(self.value, self.kind)
        low, high = (_written(end, self.kind).rstrip(" %") for end in (self.low, self.high))
        return f"{_written(self.value, self.kind)} ({low} to {high})"


@dataclass(frozen=True)
class Part:
    """A part of a scorecard: cells by name, and curves and maps as plain lists for the pictures."""

    cells: dict[str, Cell]
    curves: dict[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not any(cell.missing for cell in self.cells.values())

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Part":
        """Raises TypeError, KeyError or AttributeError for what `to_json` does not make."""
        cells = {name: Cell(**cell) for name, cell in values["cells"].items()}
        for cell in cells.values():
            if not all(end is None or isinstance(end, float) for end in (cell.value, cell.low, cell.high)):
                raise TypeError("a value that is no number")
            if not isinstance(cell.n, int) or not isinstance(cell.missing, str):
                raise TypeError("a number of images or a reason of another type")
        return Part(cells, dict(values["curves"]))


def share_cell(hits: Bool[np.ndarray, " n"]) -> Cell:
    """The share of digits of which something holds, with Wilson's interval."""
    count, total = int(hits.sum()), len(hits)
    return Cell(count / total, *share_interval(count, total), total)


def mean_cell(values: Float64[np.ndarray, " n"]) -> Cell:
    """The mean of a share that each digit has of its own, with the bootstrap's interval over the digits."""
    return Cell(float(values.mean()), *paired_bootstrap(values), len(values))


def cell_or_reason(measure: Callable[[], Cell]) -> Cell:
    """What is measured, or a cell with the reason where its data cannot be had."""
    try:
        return measure()
    except UserError as error:
        return missing_cell(error)


def missing_cell(error: UserError) -> Cell:
    """For what cannot be measured: why, and how it could be."""
    return Cell(None, missing=" ".join(str(error).replace(f"{home_folder()}/", "").split()))


def _written(value: float, kind: Kind) -> str:
    if kind == "share":
        return f"{100 * value:.2f} %"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
