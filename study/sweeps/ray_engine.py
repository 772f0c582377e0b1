"""Sweeps on Ray: this machine's cores, or a cluster that is there already. Only the driver writes runs/."""

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.registry import build_model
from study.sweeps.job import Job, Outcome, do_job
from study.sweeps.run_locks import RunLocks
from study.sweeps.stacks import Loaded, in_stacks
from trainers.generic_trainers.training_run import Digits, Setting
from utils.atomic_files import make_folder, write_whole
from utils.errors import UserError
from utils.paths import runs_folder
from utils.threads import choose_num_threads

MAX_RETRIES = 3  # of a job whose worker or node was lost
SMALLEST_SHARE = 0.0001  # of a CPU or GPU, in Ray's fixed-point numbers
PATIENCE_SECONDS = 5.0  # with an address where Ray should answer
Files = dict[str, bytes]  # of runs/, by path


@dataclass(frozen=True)
class Resources:
    """What each job takes of the cluster."""

    cpus: float | None
    """None: one per thread of the job (utils/threads.py)."""
    gpus: float

    def __post_init__(self) -> None:
        """Raises UserError for what Ray does not give."""
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if value is not None and not (value == 0 or value >= SMALLEST_SHARE):
                raise UserError(f"--{name}-per-run {value:g}: expected 0, or {SMALLEST_SHARE:g} and more")
        if self.gpus > 1 and self.gpus % 1:
            raise UserError(f"--gpus-per-run {self.gpus:g}: expected a whole number, or a share below 1")
        if self.cpus == 0 == self.gpus:
            raise UserError("--cpus-per-run and --gpus-per-run: expected one of them above 0")

    def cpus_of(self, num_threads: int) -> float:
        """CPUs that Ray reserves for a job of that many threads."""
        return num_threads if self.cpus is None else self.cpus

    def slots(self, cpus: float, gpus: float) -> int:
        """How many jobs a machine with so many takes at a time."""
        counts = [has / takes for has, takes in ((cpus, self.cpus_of(1)), (gpus, self.gpus)) if takes]
        return int(min(counts))


class RayEngine:
    """Tasks of a Ray cluster, one a job; the digits lie once in its object store."""

    def __init__(self, address: str | None, resources: Resources) -> None:
        """Starts Ray on this machine, or joins the one at this address. Raises UserError where that cannot be."""
        try:
            import ray
        except ImportError:
            raise UserError(
                "Ray is not installed: pip install -r requirements-cluster.txt, or leave out --engine ray"
            ) from None
        self.ray = ray
        self.resources = resources
        self.loaded = Loaded()
        self.stored: tuple[Digits, Any] | None = None
        if address not in (None, "auto"):
            _expect_an_answer(str(address))
        try:
            ray.init(address, include_dashboard=False if address is None else None, log_to_driver=False,
                     logging_level=logging.ERROR, ignore_reinit_error=True)  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"cannot join Ray at {address}: {' '.join(str(error).split())[:200]}") from None
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.max_cpus = max(1, int(max((node.get("CPU", 0) for node in nodes), default=1)))
        self.num_parallel = sum(resources.slots(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        if not self.num_parallel:
            self.close()
            raise UserError(
                f"a run takes {resources.cpus_of(1):g} CPUs and {resources.gpus:g} GPUs, more than any machine of the "
                "cluster has: choose fewer --cpus-per-run or --gpus-per-run"
            )

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        task = self.ray.remote(num_gpus=self.resources.gpus, max_retries=MAX_RETRIES, retry_exceptions=False)(
            _do_remotely
        )
        with RunLocks() as locks:
            waiting = in_stacks(jobs, self.loaded, locks)
            running: dict[Any, Job] = {}
            is_more = True
            while is_more or running:
                while is_more and len(running) < 2 * self.num_parallel:  # the next lie ready where one ends
                    piece = next(waiting, None)
                    if piece is None or time.monotonic() > deadline:
                        is_more = False
                    elif isinstance(piece, Outcome):
                        yield piece
                    else:
                        stored = self._store(self.loaded.digits(piece.recipe.train))
                        threads = min(choose_num_threads(build_model(piece.recipe.model)), self.max_cpus)
                        placed = task.options(num_cpus=self.resources.cpus_of(threads))
                        running[placed.remote(piece, stored, _files_of(piece), threads)] = piece
                if running:
                    [done], _ = self.ray.wait(list(running), num_returns=1)
                    job = running.pop(done)
                    outcome = self._received(job, done)
                    locks.give_back(job.runs)
                    yield outcome

    def _store(self, digits: Digits) -> Any:
        if self.stored is None or self.stored[0] is not digits:
            self.stored = (digits, self.ray.put(digits))
        return self.stored[1]

    def _received(self, job: Job, reference: Any) -> Outcome:
        try:
            outcome, files = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return Outcome(job, dict.fromkeys(job.seeds, reason))
        _write_runs(files)
        found: Outcome = outcome
        return found

    def close(self) -> None:
        self.ray.shutdown()


def _expect_an_answer(address: str) -> None:
    """Raises UserError where nothing listens there: Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PATIENCE_SECONDS):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"no Ray at '{address[:100]}': {error}. Expected HOST:PORT, or auto for one here") from None


def _do_remotely(job: Job, digits: Digits, files: Files, threads: int) -> tuple[Outcome, Files]:
    """On a worker: the job in an empty home of its own, and what then lies in its runs/."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MNIST_STUDY_HOME"] = home
        for name, content in files.items():
            write_whole(runs_folder() / name, content)
        # The driver's number of threads: sums are rounded differently with another one.
        outcome = do_job(job, partial(Setting.of, digits=digits, num_threads=threads))
        return outcome, _files_of(job)


def _files_of(job: Job) -> Files:
    """All files of the job's runs that there are."""
    return {
        str(file.relative_to(runs_folder())): file.read_bytes()
        for run in job.runs
        for file in run.path.rglob("*")
        if file.is_file()
    }


def _write_runs(files: Files) -> None:
    """Puts each run into runs/ whole: written beside it, then renamed."""
    names = {Path(name).parts[0] for name in files}
    for run_name in sorted(names):
        part, final = runs_folder() / f".{run_name}.part", runs_folder() / run_name
        shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        for name, content in files.items():
            if Path(name).parts[0] == run_name:
                write_whole(part / Path(*Path(name).parts[1:]), content)
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
