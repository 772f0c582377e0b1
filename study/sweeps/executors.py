"""Executors train the jobs of a sweep. This file: the local executor, the locks of runs, jobs in pieces."""

import contextlib
import functools
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from study.sweeps.job import Job, Outcome, do_job
from trainers.train import DataSplits, load_splits, num_together
from utils.locks import RunIsLocked, RunLock
from utils.recipe import Execution, Recipe
from utils.run import Run

SplitsLoader = Callable[[Recipe], DataSplits]


@runtime_checkable
class Executor(Protocol):
    """Trains jobs. The finished runs of a job are in runs/ when its outcome is returned."""

    num_parallel: int
    """Number of jobs that are trained at the same time."""

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        """Yields the outcomes as jobs end. Starts no job after the deadline, which is a time.monotonic() value."""
        ...

    def close(self) -> None:
        """Releases the resources of the executor."""
        ...


class LocalExecutor:
    """Trains the jobs one after another in this process."""

    num_parallel = 1

    def __init__(self, execution: Execution = Execution()) -> None:
        self.execution = execution
        self.load_splits = cached_load_splits()

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        with RunLocks() as locks:
            for piece in pieces(jobs, self.execution, self.load_splits, locks):
                if time.monotonic() > deadline:
                    return
                if isinstance(piece, Outcome):
                    yield piece
                    continue
                with contextlib.redirect_stdout(io.StringIO()):  # a sweep prints its own progress
                    outcome = do_job(piece, self.execution, self.load_splits(piece.recipe))
                locks.release(piece.runs)
                yield outcome

    def close(self) -> None:
        pass


def cached_load_splits() -> SplitsLoader:
    """`load_splits` that remembers the last data: consecutive jobs mostly use the same."""
    load = functools.lru_cache(maxsize=1)(load_splits)
    fields = ("dataset", "validation_size", "validation", "train_size")
    return lambda recipe: load(Recipe(**{name: getattr(recipe, name) for name in fields}))


class RunLocks:
    """The locks of the runs that a sweep trains, so that two sweeps may overlap in time. Releases them at the end."""

    def __init__(self) -> None:
        self.held: dict[Run, RunLock] = {}

    def __enter__(self) -> "RunLocks":
        return self

    def __exit__(self, *_: object) -> None:
        self.release(list(self.held))

    def acquire(self, run: Run) -> str:
        """Locks the run. If another process has locked it, returns a message that names the process, else nothing."""
        lock = RunLock(run.path)
        try:
            lock.acquire()
        except RunIsLocked as error:
            return " ".join(str(error).split())
        self.held[run] = lock
        return ""

    def release(self, runs: Iterable[Run]) -> None:
        """Unlocks the runs."""
        for run in runs:
            self.held.pop(run).release()


def pieces(jobs: Sequence[Job], execution: Execution, load: SplitsLoader, locks: RunLocks) -> Iterator[Job | Outcome]:
    """Splits jobs into pieces of as many seeds as are trained together, and locks the runs of each piece.

    Yields an outcome for what needs no training: runs without data, runs that were finished in the meantime and runs
    that another process trains.
    """
    for job in jobs:
        try:
            load(job.recipe)
        except Exception as error:  # any error: the other jobs continue
            yield Outcome.failed(job, error)
            continue
        size = _num_together(job, execution)
        for start in range(0, len(job.seeds), size):
            piece = replace(job, seeds=job.seeds[start : start + size])
            locked = {seed: reason for seed in piece.seeds if (reason := locks.acquire(piece.run(seed)))}
            unfinished = piece.unfinished.seeds  # checked while holding the locks
            seeds = tuple(seed for seed in unfinished if seed not in locked)
            ended = tuple(seed for seed in piece.seeds if seed not in seeds)
            if ended:
                locks.release(piece.run(seed) for seed in ended if seed not in locked)
                yield Outcome(replace(piece, seeds=ended), locked)
            if seeds:
                yield replace(piece, seeds=seeds)


def _num_together(job: Job, execution: Execution) -> int:
    """Number of seeds to train together. All, if the recipe cannot be trained here: then they fail as one piece."""
    if job.required_accuracy or len(job.seeds) == 1:
        return 1
    try:
        return num_together(job.recipe, execution)
    except Exception:  # do_job reports it; a Ray worker may have the device that this machine lacks
        return len(job.seeds)
