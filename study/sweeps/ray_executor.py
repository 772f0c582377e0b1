"""Sweeps on Ray, on this machine or an existing cluster. Only the driver, the process of the sweep, writes runs/."""

import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.registry import build_model
from study.sweeps.executors import RunLocks, cached_load_splits, pieces
from study.sweeps.job import Job, Outcome, do_job
from trainers.train import DataSplits
from utils.errors import UserError, needs_extra
from utils.files import new_folder, runs_folder, write_whole
from utils.recipe import Execution
from utils.runtime import choose_num_threads

MAX_RETRIES = 3  # of a job whose worker or node was lost
SMALLEST_SHARE = 0.0001  # of a CPU or GPU: Ray counts in fixed-point numbers
CONNECT_SECONDS = 5.0  # maximum time to connect to an address
Files = dict[str, bytes]  # path within runs/ -> content


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs that Ray reserves for each job."""

    cpus: float | None
    """None for one CPU per thread of the job."""
    gpus: float

    def __post_init__(self) -> None:
        """Raises UserError for amounts that Ray cannot reserve."""
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if value is not None and not (value == 0 or value >= SMALLEST_SHARE):
                raise UserError(f"--{name}-per-run {value:g}: expected 0, or at least {SMALLEST_SHARE:g}")
        if self.gpus > 1 and self.gpus % 1:
            raise UserError(f"--gpus-per-run {self.gpus:g}: expected a whole number, or a fraction below 1")
        if self.cpus == 0 == self.gpus:
            raise UserError("--cpus-per-run and --gpus-per-run: expected one of them above 0")

    def cpus_for(self, num_threads: int) -> float:
        """CPUs for a job with this many threads."""
        return num_threads if self.cpus is None else self.cpus

    def num_slots(self, cpus: float, gpus: float) -> int:
        """Number of jobs at the same time on a machine with these CPUs and GPUs."""
        counts = [has / takes for has, takes in ((cpus, self.cpus_for(1)), (gpus, self.gpus)) if takes]
        return int(min(counts))


class RayExecutor:
    """Runs each job as a Ray task. The data set lies once in Ray's object store."""

    def __init__(self, address: str | None, resources: Resources, execution: Execution = Execution()) -> None:
        """Starts Ray on this machine, or joins the cluster at this address. Raises UserError if that fails."""
        with needs_extra("ray"):
            import ray
        self.ray = ray
        self.resources = resources
        self.execution = execution
        self.load_splits = cached_load_splits()
        self.stored: tuple[DataSplits, Any] | None = None
        if address not in (None, "auto"):
            _check_address(str(address))
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address, include_dashboard=False if address is None else None, log_to_driver=False,
                     logging_level=logging.ERROR, ignore_reinit_error=True)  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"cannot join Ray at {address}: {' '.join(str(error).split())[:200]}") from None
        if signal.getsignal(signal.SIGTERM) is not handler and callable(handler):
            signal.signal(signal.SIGTERM, handler)  # ray.init replaces it by one that ends without a message
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.max_cpus = max(1, int(max((node.get("CPU", 0) for node in nodes), default=1)))
        self.num_parallel = sum(resources.num_slots(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        if not self.num_parallel:
            self.close()
            raise UserError(
                f"a run takes {resources.cpus_for(1):g} CPUs and {resources.gpus:g} GPUs, more than any machine of the "
                "cluster has: choose fewer --cpus-per-run or --gpus-per-run"
            )
        self.task = ray.remote(num_gpus=resources.gpus, max_retries=MAX_RETRIES, retry_exceptions=False)(_do_remotely)

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        with RunLocks() as locks:
            waiting = pieces(jobs, self.execution, self.load_splits, locks)
            running: dict[Any, Job] = {}
            has_more = True
            while has_more or running:
                while has_more and len(running) < 2 * self.num_parallel:  # the next jobs are queued at the workers
                    piece = next(waiting, None)
                    if piece is None or time.monotonic() > deadline:
                        has_more = False
                    elif isinstance(piece, Outcome):
                        yield piece
                    else:
                        running[self._start(piece)] = piece
                if running:
                    [done], _ = self.ray.wait(list(running), num_returns=1)
                    job = running.pop(done)
                    outcome = self._receive(job, done)
                    locks.release(job.runs)
                    yield outcome

    def close(self) -> None:
        self.ray.shutdown()

    def _start(self, job: Job) -> Any:
        """Starts the task of the job. Returns its reference.

        The worker uses the number of threads that this machine would, because it decides how sums are rounded.
        """
        threads = self.execution.threads
        if threads is None:
            threads = min(choose_num_threads(build_model(job.recipe.model, None)), self.max_cpus)
        splits = self._stored_splits(self.load_splits(job.recipe))
        task = self.task.options(num_cpus=self.resources.cpus_for(threads))
        return task.remote(job, replace(self.execution, threads=threads), splits, _files_of(job))

    def _stored_splits(self, splits: DataSplits) -> Any:
        """A reference to the splits in Ray's object store."""
        if self.stored is None or self.stored[0] is not splits:
            self.stored = (splits, self.ray.put(splits))
        return self.stored[1]

    def _receive(self, job: Job, reference: Any) -> Outcome:
        try:
            outcome, files = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return Outcome.failed(job, error)
        _write_runs(files)
        received: Outcome = outcome
        return received


def _check_address(address: str) -> None:
    """Raises UserError if nothing listens at the address: Ray itself would retry for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"no Ray at '{address[:100]}': {error}. Expected HOST:PORT, or auto for one here") from None


def _do_remotely(job: Job, execution: Execution, splits: DataSplits, files: Files) -> tuple[Outcome, Files]:
    """On a worker: does the job in a temporary home that holds these files. Returns the files of its runs."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MNIST_STUDY_HOME"] = home
        for name, content in files.items():
            write_whole(runs_folder() / name, content)
        outcome = do_job(job, execution, splits)
        return outcome, _files_of(job)


def _files_of(job: Job) -> Files:
    """All existing files of the job's runs."""
    return {
        str(file.relative_to(runs_folder())): file.read_bytes()
        for run in job.runs
        for file in run.path.rglob("*")
        if file.is_file()
    }


def _write_runs(files: Files) -> None:
    """Writes each run beside its place in runs/ and renames it, so that no run is ever incomplete."""
    for run_name in sorted({Path(name).parts[0] for name in files}):
        final = runs_folder() / run_name
        with new_folder(final) as folder:
            for name, content in files.items():
                if Path(name).parts[0] == run_name:
                    write_whole(folder / Path(*Path(name).parts[1:]), content)
            shutil.rmtree(final, ignore_errors=True)
