"""Confusion matrices, metrics, mistakes and calibration of runs: pictures, metrics.json and report.html for each."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from utils.atomic_files import write_whole
from utils.command_line import parse_command_line
from utils.errors import exit_on_user_error
from utils.run_folder import RunFolder

OUTPUT = Path(__file__).resolve().parent / "output"


@dataclass(frozen=True)
class InterpretCommand:
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default the newest, `all` for all that are finished."""
    split: tuple[Literal["train", "test"], ...] = ("train", "test")
    """Which digits: those that the network learned from, and the test set."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1 or mps."""
    output: Path = OUTPUT
    """Folder in which each run gets a folder of its name."""


def main(argv: list[str]) -> None:
    """Shows what a trained network does well and what not: confusion matrices, metrics per class, worst mistakes,
    least sure right answers, calibration, history; as pictures, metrics.json, report.html, and in TensorBoard."""
    options = parse_command_line(InterpretCommand, argv, "mnist interpret", main.__doc__)
    runs = chosen_runs(options.runs)

    from tqdm import tqdm  # torch and matplotlib too: only once the command line is right

    from model_interpretation.interpretation import interpret_run
    from model_interpretation.interpretation_report import headline_rows, report_page
    from model_interpretation.picture_page import write_overview
    from utils.devices import choose_device
    from utils.figures import as_png
    from utils.paths import shown

    device = choose_device(options.device)
    for run in tqdm(runs, desc="runs", disable=None, leave=False):
        metrics, figures = interpret_run(run, list(dict.fromkeys(options.split)), device)
        folder = options.output / run.path.name
        write_whole(folder / "metrics.json", f"{json.dumps({'run': run.path.name, **metrics}, indent=2)}\n".encode())
        pictures = {name: as_png(figure) for name, figure in figures.items()}
        for name, png in pictures.items():
            write_whole(folder / f"{name}.png", png)
        write_whole(folder / "report.html", report_page(run, metrics, pictures).encode())
        write_overview(folder)
        tqdm.write(f"{run.path.name}")
        for name, *values in [["", *metrics], *headline_rows(metrics)]:
            tqdm.write(f"  {name:45}" + "".join(f"{value:>20}" for value in values))
        tqdm.write(f"  report and pictures: {shown(folder)}/report.html\n")


def chosen_runs(names: tuple[str, ...]) -> list[RunFolder]:
    """The runs of these names; the newest finished one where none is named. Raises UserError where there is none."""
    if names == ("all",):
        return RunFolder.finished()
    return [RunFolder.find_or_newest(name) for name in names or (None,)]


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
