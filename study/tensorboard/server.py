"""TensorBoard on a view of the runs, kept up to date until Ctrl-C."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from study.tensorboard.view import View
from utils.errors import UserError
from utils.files import runs_folder, shown, study_folder
from utils.ports import HOST, listen
from utils.run import Run

RELOAD_SECONDS, UPDATE_SECONDS = 2, 4  # of TensorBoard; of the view
MAX_START_SECONDS = 120
MAX_ROWS = 20  # of the table in the terminal
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def serve_tensorboard(choose: Callable[[], Sequence[Run]], port: int = 6006) -> None:
    """Serves TensorBoard on this machine until Ctrl-C and shows the chosen runs, also those that begin later.

    `choose` gives the runs each time that the view is updated. Port 0 takes a free port. The view is a folder of its
    own per port. Raises UserError if there is no run or if the port is in use.
    """
    with listen(port) as listener:  # TensorBoard opens the port itself
        port = listener.getsockname()[1]
    folder = study_folder() / "tensorboard" / f"port-{port}"
    if not choose():
        raise UserError(f"no run to show in {shown(runs_folder())}: 'mnist train' creates one")
    view = View(folder, choose)
    log = folder / "tensorboard.log"
    for name in ("SIGTERM", "SIGHUP"):  # like Ctrl-C, so that neither TensorBoard nor the view is left behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    # TensorBoard takes seconds to start, in which the view is made.
    with log.open("w") as output, start_tensorboard(folder, port, output) as process:
        try:
            view.update()
            if not view.runs:
                raise UserError(f"no readable run to show. {next(iter(view.notes))}")
            print(report(view), flush=True)
            wait_until_served(process, port, log)
            print(links(port, has_means=bool(view.groups)), flush=True)
            printed = len(view.notes)
            while process.poll() is None:
                time.sleep(UPDATE_SECONDS)
                view.update()
                for note in list(view.notes)[printed:]:
                    print(note, file=sys.stderr)
                printed = len(view.notes)
            raise UserError(f"TensorBoard has ended: {last_line(log)}")
        except KeyboardInterrupt:
            pass
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def start_tensorboard(folder: Path, port: int, output: IO[str]) -> subprocess.Popen[bytes]:
    """The process of TensorBoard, which reads all event files of a run, also those that grow at the same time."""
    arguments = ["--logdir", str(folder), "--host", HOST, "--port", str(port)]
    arguments += ["--reload_interval", str(RELOAD_SECONDS), "--reload_multifile", "true"]
    return subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *arguments], stdout=output, stderr=subprocess.STDOUT
    )


def wait_until_served(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Raises UserError if TensorBoard ends or does not answer."""
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < MAX_START_SECONDS:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/data/environment", timeout=5):
            return
        time.sleep(0.1)
    raise UserError(f"TensorBoard did not start: {last_line(log)}")


def report(view: View) -> str:
    """The table of groups, and what could not be shown."""
    header, rows = view.table()
    more = len(rows) - MAX_ROWS
    lines = aligned([header, *rows[:MAX_ROWS]])
    if more > 0:
        lines.append(f"... and {more} more groups: page Text, run (all groups)")
    lines.append(
        "means over the seeds with 95 % intervals (Student's t), best on validation first; curves: runs named (mean)"
    )
    return "\n".join([*lines, *view.notes])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines: the first column left-aligned, numbers right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def links(port: int, has_means: bool) -> str:
    """Where to look, for the terminal."""
    address = f"http://{HOST}:{port}"
    lines = [
        f"TensorBoard (Ctrl-C stops it): {address}",
        f"  settings and results, seeds averaged   {address}/#hparams",
    ]
    if has_means:
        lines += [
            f"  mean curves                            {address}/?runFilter=mean&smoothing=0#timeseries",
            f"  mean curves with 95 % bands            {address}/#custom_scalars&regexInput=mean&_smoothingWeight=0",
        ]
    return "\n".join(lines)


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {shown(log)}"


def filtered_runs(
    names: Sequence[str] = (),
    model: str | None = None,
    dataset: str | None = None,
    since: datetime | None = None,
    last: int | None = None,
) -> list[Run]:
    """The runs of these names, by default all, the oldest first, that pass the filters, and of these the last ones."""
    runs = [Run.find(name) for name in names] if names else Run.all()
    kept = [run for run in runs if _passes(run, model, dataset, since)]
    return kept[-last:] if last else kept


def _passes(run: Run, model: str | None, dataset: str | None, since: datetime | None) -> bool:
    try:
        return (
            (model is None or run.recipe.model == model)
            and (dataset is None or run.recipe.dataset == dataset)
            and (since is None or datetime.fromisoformat(run.environment["started"]).astimezone() >= since)
        )
    except (UserError, KeyError, ValueError):
        return model is dataset is since is None


def parse_since(text: str) -> datetime:
    """The time of `2026-11-20`, `2026-11-20T18:00`, or so long ago: `30m`, `2h`, `3d`, `1w`. Raises UserError."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    try:
        if found:
            return datetime.now().astimezone() - timedelta(**{UNITS[found[2]]: int(found[1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UserError(f"--since {text[:40]}: expected a date such as 2026-11-20, or 30m, 2h, 3d, 1w") from None
