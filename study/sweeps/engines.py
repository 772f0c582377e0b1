"""What trains a sweep's jobs: this process, or Ray on many machines, behind one interface."""

import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from study.sweeps.job import Job, Outcome, do_job
from study.sweeps.run_locks import RunLocks
from study.sweeps.stacks import Loaded, in_stacks


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


class LocalEngine:
    """This process, job after job."""

    num_parallel = 1

    def __init__(self) -> None:
        self.loaded = Loaded()

    def run(self, jobs: Sequence[Job], deadline: float) -> Iterator[Outcome]:
        with RunLocks() as locks:
            for piece in in_stacks(jobs, self.loaded, locks):
                if time.monotonic() > deadline:
                    return
                if isinstance(piece, Outcome):
                    yield piece
                    continue
                with contextlib.redirect_stdout(io.StringIO()):  # the sweep has lines of its own
                    outcome = do_job(piece, self.loaded.setting)
                locks.give_back(piece.runs)
                yield outcome

    def close(self) -> None:
        pass
