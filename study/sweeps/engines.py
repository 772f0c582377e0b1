"""What trains a sweep's jobs: this process, or Ray on many machines, behind one interface."""

import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from study.sweeps.job import Job, Outcome, do_job
from trainers.generic_trainers.training_run import Digits, Setting
from trainers.recipe import TrainConfig
from utils.errors import UserError


@runtime_checkable
class Engine(Protocol):
    """Trains jobs; all that it finishes lies in runs/ when the outcome is given."""

    num_parallel: int
    """Jobs at a time."""

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        """The outcomes as they come. None is begun after the deadline, by time.monotonic."""
        ...

    def close(self) -> None:
        """Gives back what the engine holds."""
        ...


class LoadedDigits:
    """The digits of the jobs, loaded once for as long as they stay the same."""

    def __init__(self) -> None:
        self.key: tuple[str, float, float] | None = None
        self.digits: Digits | None = None

    def of(self, config: TrainConfig) -> Digits:
        """Raises UserError where they cannot be had."""
        key = (config.dataset, config.validation_size, config.train_size)
        if self.key != key or self.digits is None:
            self.key, self.digits = key, Digits.of(config)
        return self.digits


def in_stacks(jobs: Sequence[Job], digits: LoadedDigits) -> Iterator[Job]:
    """The jobs cut so that each holds as many seeds as are trained together: the smallest piece that can be lost.

    A job whose recipe cannot be trained at all stays whole, to fail as one.
    """
    for job in jobs:
        try:
            size = 1 if job.bar else Setting.of(job.recipe, digits.of(job.recipe.train)).num_together
        except UserError:
            size = len(job.seeds)
        for start in range(0, len(job.seeds), size):
            yield replace(job, seeds=job.seeds[start : start + size])


class LocalEngine:
    """This process, job after job."""

    num_parallel = 1

    def __init__(self) -> None:
        self.digits = LoadedDigits()

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        for job in in_stacks(jobs, self.digits):
            if time.monotonic() > deadline:
                return
            with contextlib.redirect_stdout(io.StringIO()):  # the sweep has lines of its own
                outcome = self._do(job)
            yield outcome

    def _do(self, job: Job) -> Outcome:
        try:
            digits = self.digits.of(job.recipe.train)
        except UserError as error:
            return Outcome(job, dict.fromkeys(job.seeds, str(error)))
        return do_job(job, digits)

    def close(self) -> None:
        pass
