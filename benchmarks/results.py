"""What every benchmark shares: where its figures go, on which machine they were taken, medians with spread."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch

from utils.environment import device_name
from utils.errors import UserError
from utils.paths import PROJECT_FOLDER, data_folder, shown

OUTPUT = Path(__file__).parent / "output"
CPU = torch.device("cpu")
DEVICE = torch.device("cuda") if torch.cuda.is_available() else CPU


def at_least_one(text: str) -> int:
    """A count on the command line, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return int(text)


def write(name: str, values: dict[str, Any], device: torch.device = DEVICE) -> None:
    """benchmarks/output/NAME.json, with date, machine and torch, as they stand under each table."""
    made_on = {"date": date.today().isoformat(), "machine": device_name(device), "torch": torch.__version__}
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / f"{name}.json").write_text(json.dumps({**made_on, **values}, indent=2) + "\n")


def read(name: str) -> dict[str, Any]:
    """What `write` wrote last. Raises UserError where nothing was measured yet."""
    file = OUTPUT / f"{name}.json"
    if not file.exists():
        raise UserError(f"{shown(file)}: not there; python benchmarks/{name}.py writes it")
    values: dict[str, Any] = json.loads(file.read_text())
    return values


def spread(values: list[float], digits: int = 2) -> str:
    """The median with the range, as in `1.23 (1.20 to 1.30)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


@contextmanager
def runs_to_throw_away() -> Iterator[None]:
    """Runs that are made meanwhile lie in a folder that is then removed; the data stay where they are."""
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
    """What a module prints last, as JSON, from a fresh process with these further environment variables.

    Raises ModuleNotFoundError if the process lacks a package.
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
