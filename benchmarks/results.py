"""Shared by all benchmarks: result files, runs, processes, and the tables in README.md and docs/.

python -m benchmarks.results      # writes the tables of the newest results and of the report into the documents
"""

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo  # torch imports it with the first optimizer; without this line the import would be measured

from trainers.train import resume, train
from utils.errors import UserError, exit_on_user_error
from utils.files import PROJECT_FOLDER, data_folder, runs_folder, shown
from utils.recipe import Recipe
from utils.run import Run
from utils.runtime import device_name

if TYPE_CHECKING:
    from study.report.evidence import Network

OUTPUT = Path(__file__).parent / "output"
REPORT = PROJECT_FOLDER / "docs" / "report.json"  # by `mnist report --output docs`
NOT_MEASURED = "Not measured yet: `mnist report --output docs` writes docs/report.json."
CPU = torch.device("cpu")
DEVICE = torch.device("cuda") if torch.cuda.is_available() else CPU
DOCUMENTS = [
    PROJECT_FOLDER / "README.md",
    PROJECT_FOLDER / "benchmarks" / "README.md",
    *sorted((PROJECT_FOLDER / "docs").glob("*.md")),
]


def script_parser(description: str | None, **counts: int) -> argparse.ArgumentParser:
    """A parser whose help shows the docstring of the script unchanged, with an option for each count (its default)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=_at_least_one, default=default)
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)


def write(name: str, values: dict[str, Any], device: torch.device = DEVICE) -> None:
    """Writes benchmarks/output/NAME.json with date, machine and torch version."""
    measured_on = {"date": date.today().isoformat(), "machine": device_name(device), "torch": torch.__version__}
    (OUTPUT / f"{name}.json").write_text(json.dumps({**measured_on, **values}, indent=2) + "\n")


def read(name: str) -> dict[str, Any]:
    """The newest values of a benchmark. Raises UserError if there are none."""
    file = OUTPUT / f"{name}.json"
    if not file.exists():
        raise UserError(f"{shown(file)} is missing: run the benchmark in benchmarks/ that writes it")
    values: dict[str, Any] = json.loads(file.read_text())
    return values


def with_tables(text: str) -> str:
    """The text with the newest table of a benchmark between each `<!-- table NAME -->` and `<!-- end -->`.

    The function `markdown` of benchmarks/NAME.py makes the table; `<!-- table NAME:function -->` names another one. The
    table `report` and the list `report:findings` come from docs/report.json.
    """
    return re.sub(r"(<!-- table (\w+):?(\w*) -->\n).*?(<!-- end -->)", _with_table, text, flags=re.DOTALL)


def _with_table(match: re.Match[str]) -> str:
    start, name, function, end = match.groups()
    if name == "report":
        return f"{start}{report_findings() if function == 'findings' else report_table()}\n{end}"
    values = read(name)
    table = getattr(importlib.import_module(f"benchmarks.{name}"), function or "markdown")(values)
    return f"{start}{table}\n\n{values['machine']}, torch {values['torch']}, {values['date']}.\n{end}"


def report_table() -> str:
    """The results of the recipes in docs/report.json, in Markdown, with the machine and the date of the last run."""
    from study.report.answer import headline_table  # here, so that benchmarks do not measure the memory of matplotlib

    if not REPORT.exists():
        return NOT_MEASURED
    with recorded_networks() as networks:
        header, rows = headline_table(networks)
        environments = [run.environment for network in networks for run in network.group.runs]
    machines = sorted({environment["device"] for environment in environments})
    versions = sorted({environment["packages"]["torch"] for environment in environments})
    last = max(environment["started"][:10] for environment in environments)
    table = markdown_table(header, [[label if ", " in label else f"`{label}`", *cells] for label, *cells in rows])
    return f"{table}\n\n{'; '.join(machines)}, torch {', '.join(versions)}, {last}."


def report_findings() -> str:
    """The findings of docs/report.json as a list in Markdown."""
    from study.report.answer import headline_findings

    if not REPORT.exists():
        return NOT_MEASURED
    with recorded_networks() as networks:
        return "\n".join(f"- **{heading}** {text}" for heading, text in headline_findings(networks))


@contextmanager
def recorded_networks() -> "Iterator[list[Network]]":
    """The networks of docs/report.json, with their runs in a temporary folder."""
    from study.report.recorded import read_recorded

    with tempfile.TemporaryDirectory() as restored_runs:
        yield read_recorded(REPORT, Path(restored_runs)).networks


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; its cells are Markdown too."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(header)}", *lines[1:]])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median with the range, such as `1.23 (1.20 to 1.30)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def finished_runs(recipe: Recipe, name: str, seeds: Sequence[int]) -> list[Run]:
    """The runs NAME-sSEED in runs/. Missing runs are trained, unfinished runs resumed.

    Raises UserError for a run with another recipe.
    """
    return [_finished_run(recipe.with_seed(seed), f"{name}-s{seed}") for seed in seeds]


def _finished_run(recipe: Recipe, name: str) -> Run:
    run = Run(runs_folder() / name)
    if not run.path.exists():
        return train(recipe, run_name=name)
    if run.recipe != recipe:
        difference = run.recipe.differences(recipe)[0]
        raise UserError(f"{shown(run.path)} has another recipe: {difference}.\nMove it to another folder first.")
    return run if run.is_finished else resume(run)


@contextmanager
def runs_to_throw_away() -> Iterator[None]:
    """New runs go to a temporary folder, which is removed at the end. The data folder stays the same."""
    data = data_folder()
    before = os.environ.get("MNIST_STUDY_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MNIST_STUDY_HOME"] = folder
        (Path(folder) / "data").symlink_to(data)
        try:
            yield
        finally:
            os.environ.pop("MNIST_STUDY_HOME")
            if before is not None:
                os.environ["MNIST_STUDY_HOME"] = before


def in_a_process(
    module: str, *arguments: str, python: str = sys.executable, variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Runs a module in a fresh process with additional environment variables. Returns its last output line, as JSON.

    Raises ModuleNotFoundError if the process lacks a package, RuntimeError if it fails otherwise.
    """
    done = subprocess.run(
        [python, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(variables or {}), "PYTHONPATH": str(PROJECT_FOLDER)},
    )
    if "ModuleNotFoundError" in done.stderr:
        raise ModuleNotFoundError(done.stderr.splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


if __name__ == "__main__":
    with exit_on_user_error():
        for document in DOCUMENTS:
            document.write_text(with_tables(document.read_text()))
