"""What the architecture study measured, and how each network differs from the baseline."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from study.architecture_variants import BASELINE
from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from utils.errors import UserError
from utils.paths import shown, study_folder
from utils.statistics import difference_interval, mean_interval, told_apart, welch_p_value

RESULTS = "results.json"
# Column -> the scorecard's cell.
MEASURES = {
    "clean": "MNIST test",
    "moved": NEARBY,
    "corrupted": MEAN,
    "USPS": "USPS",
    "told from Fashion": "Fashion-MNIST: AUROC, energy",
    "told from KMNIST": "KMNIST: AUROC, energy",
}
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, RecursionError)  # what reading foreign values may raise


@dataclass(frozen=True)
class StudiedNetwork:
    """A variant with its values, seed by seed; a measure whose data were missing has none."""

    property: str
    label: str
    model: str
    num_parameters: int
    values: dict[str, list[float]]
    runs: list[str]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """A network's mean minus the baseline's."""

    difference: float
    low: float
    """Ends of Welch's 95 % interval over the seeds."""
    high: float
    is_told: bool
    """Whether it stands out among all effects of the study, with one false discovery in twenty."""

    @staticmethod
    def of(values: Sequence[float], baseline: Sequence[float], is_told: bool) -> "Effect":
        difference = mean_interval(values)[0] - mean_interval(baseline)[0]
        return Effect(difference, *difference_interval(values, baseline), is_told)


@dataclass(frozen=True)
class ArchitectureResults:
    """A study: the baseline first, then the networks that differ from it."""

    command: str
    seeds: list[int]
    num_epochs: int
    networks: list[StudiedNetwork]
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def baseline(self) -> StudiedNetwork:
        return self.networks[0]

    @property
    def others(self) -> list[StudiedNetwork]:
        return self.networks[1:]

    @cached_property
    def effects(self) -> dict[tuple[str, str], Effect]:
        """By the network's name and the measure."""
        pairs = {
            (name_of(network), measure): (network.values[measure], self.baseline.values[measure])
            for network in self.others
            for measure in MEASURES
            if measure in network.values and measure in self.baseline.values
        }
        told = told_apart([welch_p_value(*pair) for pair in pairs.values()])
        return {key: Effect.of(*pair, is_told) for (key, pair), is_told in zip(pairs.items(), told, strict=True)}

    def write(self, folder: Path) -> None:
        from utils.atomic_files import write_whole

        write_whole(folder / RESULTS, json.dumps(asdict(self), indent=1, allow_nan=False).encode())


def name_of(network: StudiedNetwork) -> str:
    return f"{network.property}: {network.label}"


def architecture_folder() -> Path:
    return study_folder() / "architecture"


def largest_study() -> ArchitectureResults | None:
    """The study with the most runs of those that were made; None where there is none. Raises UserError for damage."""
    studies = [read_results(file) for file in sorted(architecture_folder().glob(f"*/{RESULTS}"))]
    return max(studies, key=lambda study: len(study.networks) * len(study.seeds), default=None)


def read_results(file: Path) -> ArchitectureResults:
    """What `write` wrote. Raises UserError for anything else."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        networks = [StudiedNetwork(**network) for network in values.pop("networks")]
        results = ArchitectureResults(**values, networks=networks)
        if results.baseline.property != BASELINE.property or not isinstance(results.command, str):
            raise ValueError("no baseline, or no command")
        _check_numbers([results.num_epochs, *results.seeds])
        for network in networks:
            _check_numbers([network.num_parameters, *(value for seeds in network.values.values() for value in seeds)])
            f"{network.model} {network.settings.items()} {network.runs[0]}"
    except (*DAMAGE, IndexError, OSError) as error:
        reason = " ".join(str(error).split())[:80]
        advice = "Move it away: 'mnist architecture' makes it again."
        raise UserError(f"{shown(file)} is damaged ({reason}).\n{advice}") from None
    return results


def _check_numbers(values: Sequence[object]) -> None:
    for value in values:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise TypeError("a value that is no number")
