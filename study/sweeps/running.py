"""A sweep as it goes: points out, outcomes in, and what the user is shown meanwhile."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from study.sweeps.engines import Engine
from study.sweeps.job import Job, Outcome
from study.sweeps.plan import Plan
from utils.atomic_files import write_whole
from utils.run_folder import RunFolder


class SweepRun:
    """A plan on an engine. What is finished already counts and is not trained again."""

    def __init__(self, plan: Plan, engine: Engine, deadline: float) -> None:
        """Begins no job after the deadline, by time.monotonic."""
        self.plan, self.engine, self.deadline = plan, engine, deadline
        self.jobs: dict[str, Job] = {}
        """All points so far by the beginning of their runs' names: a search may come to a point again."""
        self.ended: set[str] = set()
        """Names of the runs that are finished, failed or pruned."""
        self.failures: dict[str, str] = {}
        """Why a run failed the last time, by its name."""
        self.pruned: dict[str, None] = {}
        self.seconds = 0.0
        self.seconds_in_runs = 0.0
        self.num_points_left = plan.grid_size if plan.search == "grid" else plan.num_points

    def go(self) -> None:
        """Trains what is missing. After Ctrl-C raises KeyboardInterrupt with what to do next."""
        started = time.monotonic()
        self.bar = tqdm(total=self.num_runs, unit="run", desc="sweep", disable=None)
        try:
            with self.bar:
                self._go()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped: {len(self.finished):,} of {self.num_runs:,} runs are finished. "
                f"The same 'mnist sweep' again trains the others."
            ) from None
        finally:
            self._forget({run.path.name for run in self.finished})  # another sweep may have trained what failed here
            self.seconds = time.monotonic() - started

    def _go(self) -> None:
        if self.plan.search == "grid":
            self.num_points_left = 0
            self._train([Job(recipe, self.plan.seeds) for recipe in dict.fromkeys(self.plan.grid())])
            return

        from study.sweeps.search import Searcher  # Optuna takes a second to import

        searcher = Searcher(self.plan)
        while self.num_points_left and time.monotonic() <= self.deadline:
            count = min(self.engine.num_parallel, self.num_points_left)
            self.num_points_left -= count
            searcher.tell(self._train(searcher.ask(count)))

    def _train(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of these jobs, whole, though the engine trained them in pieces."""
        self.jobs |= {job.prefix: job for job in jobs}
        self.bar.total = self.num_runs
        missing = [job.unfinished for job in jobs]
        for job, left in zip(jobs, missing, strict=True):
            self._count(job.run(seed).path.name for seed in job.seeds if seed not in left.seeds)
        pieces: dict[str, list[Outcome]] = {job.prefix: [] for job in jobs}
        for outcome in self.engine.run([job for job in missing if job.seeds], self.deadline):
            pieces[outcome.job.prefix].append(outcome)
            self._note(outcome)
        return [_whole(job, pieces[job.prefix]) for job in jobs]

    def _note(self, outcome: Outcome) -> None:
        names = {seed: outcome.job.run(seed).path.name for seed in outcome.job.seeds}
        self._forget(names.values())
        for seed, reason in outcome.failures.items():
            self.failures[names[seed]] = reason
            tqdm.write(f"failed: {names[seed]}: {reason}")
        self.pruned |= dict.fromkeys(names[seed] for seed in outcome.pruned)
        self.seconds_in_runs += outcome.seconds
        self._count(names.values())
        self.bar.set_postfix(failed=len(self.failures), refresh=False)

    def _forget(self, names: Iterable[str]) -> None:
        """How these runs ended before."""
        for name in names:
            self.failures.pop(name, None)
            self.pruned.pop(name, None)

    def _count(self, names: Iterable[str]) -> None:
        """Moves the bar by the runs that had not ended before."""
        num_before = len(self.ended)
        self.ended |= set(names)
        self.bar.update(len(self.ended) - num_before)

    @property
    def finished(self) -> list[RunFolder]:
        return [run for job in self.jobs.values() for run in job.runs if run.is_finished]

    @property
    def num_runs(self) -> int:
        """As far as is known: a search that comes to a point again has fewer."""
        return (len(self.jobs) + self.num_points_left) * len(self.plan.seeds)

    @property
    def num_left(self) -> int:
        """Runs that were not begun, or not brought to an end."""
        return self.num_runs - len({run.path.name for run in self.finished} | set(self.failures) | set(self.pruned))

    def record(self, file: Path) -> None:
        """Writes which runs the sweep consists of, and why some are missing."""
        values = {
            "search": self.plan.search,
            "models": self.plan.models,
            "settings": {name: str(choice) for name, choice in self.plan.settings.items()},
            "seeds": self.plan.seeds,
            "finished": [run.path.name for run in self.finished],
            "failed": self.failures,
            "pruned": list(self.pruned),
        }
        write_whole(file, f"{json.dumps(values, indent=2)}\n".encode())


def _whole(job: Job, pieces: Sequence[Outcome]) -> Outcome:
    failures = {seed: reason for piece in pieces for seed, reason in piece.failures.items()}
    return Outcome(job, failures, tuple(seed for piece in pieces for seed in piece.pruned))
