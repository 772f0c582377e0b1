"""Options that several commands share, and the choice of runs."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from utils.errors import UserError
from utils.files import output_folder, runs_folder, shown
from utils.run import Run

SplitName = Literal["test", "train", "validation"]
Split = Annotated[
    SplitName, tyro.conf.arg(help="The test set, the digits trained on, or the digits held out for validation.")
]
Device = Annotated[str, tyro.conf.arg(help="auto (a GPU if available), cpu, cuda, cuda:1 or mps.")]
DATASET_HELP = (
    "Data set: mnist, digits (bundled with scikit-learn), another name (an unknown one lists all), or "
    "csv:FILE[,FILE...][,test=FILE or fraction]."
)
Dataset = Annotated[str, tyro.conf.arg(help=DATASET_HELP)]
OtherDataset = Annotated[str | None, tyro.conf.arg(help=f"{DATASET_HELP} By default the data set of the run.")]
OneRun = Annotated[
    str | None,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[RUN]", help="Run by folder or name; by default the newest finished run."),
]
SeveralRuns = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[RUN ...]", help="Runs by folder or name; by default the newest finished run."),
]
Seeds = Annotated[str, tyro.conf.arg(metavar="FIRST:END")]
Picture = Annotated[
    Path | None,
    tyro.conf.arg(
        metavar="FILE", help="Picture of a digit (photographed, scanned or drawn) instead of a digit of the data set."
    ),
]
RunName = Annotated[str | None, tyro.conf.arg(metavar="NAME")]


@dataclass(frozen=True)
class OneRunOptions:
    """A run, and where its pages go."""

    run: OneRun = None
    device: Device = "auto"
    output: Path = field(default_factory=lambda: output_folder("model_interpretation"))
    """Folder in which the run gets a folder of its name."""


@dataclass(frozen=True)
class DigitOptions(OneRunOptions):
    """One digit: of a split of the run's data set, or of a picture file."""

    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Number of the digit in the split, from 0; by default a random digit."""
    image: Picture = None
    split: Split = "test"


def chosen_run(name: str | None) -> Run:
    """The run of this name, by default the newest finished run. Raises UserError for an unfinished or damaged run."""
    if name is None:
        return Run.finished()[-1]
    run = Run.find(name)
    if not run.problem:
        return run
    is_unfinished = run.problem.startswith("unfinished")
    advice = f"mnist train --resume {named(run)}" if is_unfinished else f"mnist evaluate {named(run)} --repair"
    raise UserError(f"run {run.name} is {run.problem}: expected a finished run.\nTry: {advice}")


def chosen_runs(names: Sequence[str]) -> list[Run]:
    """These runs, each once; by default the newest finished run. Raises UserError as `chosen_run`."""
    runs = map(chosen_run, names) if names else [chosen_run(None)]
    return list({run.path.resolve(): run for run in runs}.values())


def chosen_seeds(text: str) -> list[int]:
    """The seeds of --seeds. A single number is one seed, and a message says so. Raises UserError for other texts."""
    from trainers.recipes import parse_seeds

    seeds = parse_seeds(text)
    if text.isdecimal() and seeds[0] > 0:
        print(f"one seed, {seeds[0]}" + (f" (0:{seeds[0]} for {seeds[0]} seeds)" if seeds[0] > 1 else ""))
    return seeds


def named(*runs: Run) -> str:
    """The runs as a user would type them: names in runs/, else paths."""
    in_runs = runs_folder().resolve()
    return shlex.join(run.name if run.path.parent.resolve() == in_runs else shown(run.path) for run in runs)
