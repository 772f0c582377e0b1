"""A sweep from plan to comparison: trains what is missing, shows progress, records what happened."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from models.registry import build_model
from study.comparison.compare import compare
from study.sweeps.executors import Executor, LocalExecutor
from study.sweeps.job import Job
from study.sweeps.plan import Plan
from study.sweeps.ray_executor import RayExecutor, Resources
from utils.data.datasets import class_names
from utils.errors import UserError
from utils.files import make_folder, study_folder, write_whole
from utils.recipe import Execution
from utils.run import Run
from utils.track import track

ExecutorName = Literal["local", "ray"]
FINISHED, PRUNED = "finished", "pruned"


def run_sweep(
    plan: Plan,
    execution: Execution = Execution(),
    executor: ExecutorName = "local",
    *,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float = 0,
    max_hours: float = math.inf,
    output: Path | None = None,
) -> list[Run]:
    """Trains the missing runs of the plan and compares all its runs. Returns the finished runs.

    Writes sweep.json and the comparison into `output`/<plan name>. `address`, `cpus_per_run` and `gpus_per_run` belong
    to the ray executor. Raises UserError for a bad plan before anything is trained, and at the end if runs failed.
    """
    if executor == "local" and (address or cpus_per_run is not None or gpus_per_run):
        raise UserError("--address, --cpus-per-run and --gpus-per-run belong to --executor ray")
    if executor == "ray" and ("init_from" in plan.fields or plan.base.init_from):
        raise UserError("--init-from names a run in runs/, which other machines do not have: use --executor local")
    if not max_hours > 0:
        raise UserError(f"--max-hours {max_hours}: expected above 0")
    for dataset in plan.datasets:
        for model in plan.models:
            build_model(model, len(class_names(dataset)))
    chosen: Executor = (
        LocalExecutor(execution)
        if executor == "local"
        else RayExecutor(address, Resources(cpus_per_run, gpus_per_run), execution)
    )
    folder = (output or study_folder() / "sweeps") / plan.name
    with contextlib.closing(chosen):
        sweep = Sweep(plan, chosen, time.monotonic() + 3600 * max_hours)
        make_folder(folder)
        try:
            sweep.train()
        finally:
            sweep.record(folder / "sweep.json")
    sweep.report(folder)
    return sweep.finished


class Sweep:
    """A plan and the state of its runs. Runs that are finished are not trained again."""

    def __init__(self, plan: Plan, executor: Executor, deadline: float = math.inf) -> None:
        """No job is started after the deadline, which is a time.monotonic() value."""
        self.plan, self.executor, self.deadline = plan, executor, deadline
        self.jobs: dict[str, Job] = {}
        """All points so far by the prefix of their runs' names; a search may propose a point twice."""
        self.ended: dict[str, str] = {}
        """Name of a run that has ended -> FINISHED, PRUNED, or the reason of its failure."""
        self.seconds = 0.0
        self.seconds_in_runs = 0.0
        self.num_points_left = plan.grid_size if plan.search == "grid" else plan.num_points
        if plan.search != "grid":
            from study.sweeps.search import Searcher  # with Optuna, which is optional

            self.searcher = Searcher(plan)

    def train(self) -> None:
        """Trains the missing runs. Ctrl-C raises KeyboardInterrupt with a message how to continue."""
        started = time.monotonic()
        self.bar = track(total=self.num_runs, unit="run", desc="sweep")
        try:
            with self.bar:
                if self.plan.search == "grid":
                    self.num_points_left = 0
                    self._train([Job(recipe, self.plan.seeds) for recipe in dict.fromkeys(self.plan.grid())])
                else:
                    self._search()
        except KeyboardInterrupt as stop:
            stop.args = (
                f"stopped: {len(self.finished):,} of {self.num_runs:,} runs are finished. "
                f"Repeat the same 'mnist sweep' to train the others.",
            )
            raise
        finally:
            self._note({run.name: FINISHED for run in self.finished})  # another sweep may have finished runs meanwhile
            self.seconds = time.monotonic() - started

    def _search(self) -> None:
        while self.num_points_left and time.monotonic() <= self.deadline:
            count = min(self.executor.num_parallel, self.num_points_left)
            self.num_points_left -= count
            self._train(self.searcher.ask(count))
            self.searcher.tell(self.pruned)

    def _train(self, jobs: Sequence[Job]) -> None:
        self.jobs |= {job.prefix: job for job in jobs}
        self.bar.total = self.num_runs
        self._note({run.name: FINISHED for job in jobs for run in job.runs if run.is_finished})
        unfinished = [missing for job in jobs if (missing := job.unfinished).seeds]
        for outcome in self.executor.run(unfinished, self.deadline):
            self.seconds_in_runs += outcome.seconds
            names = {seed: outcome.job.run(seed).name for seed in outcome.job.seeds}
            for seed, reason in outcome.failures.items():
                track.write(f"failed: {names[seed]}: {reason}")
            failures = {names[seed]: reason for seed, reason in outcome.failures.items()}
            pruned = {names[seed]: PRUNED for seed in outcome.pruned}
            self._note({**dict.fromkeys(names.values(), FINISHED), **pruned, **failures})

    def _note(self, ended: Mapping[str, str]) -> None:
        """Records how these runs ended. The last outcome of a run counts."""
        self.ended |= ended
        self.bar.set_postfix(failed=len(self.failures), refresh=False)
        self.bar.update(len(self.ended) - self.bar.n)

    @property
    def finished(self) -> list[Run]:
        return [run for job in self.jobs.values() for run in job.runs if run.is_finished]

    @property
    def failures(self) -> dict[str, str]:
        """Name of a failed run -> reason."""
        return {name: how for name, how in self.ended.items() if how not in (FINISHED, PRUNED)}

    @property
    def pruned(self) -> set[str]:
        """Names of the pruned runs."""
        return {name for name, how in self.ended.items() if how == PRUNED}

    @property
    def num_runs(self) -> int:
        """Number of runs as known so far; a search that proposes a point twice has fewer."""
        return (len(self.jobs) + self.num_points_left) * len(self.plan.seeds)

    @property
    def num_left(self) -> int:
        """Number of runs that were not started or have not ended."""
        return self.num_runs - len(self.ended)

    def record(self, file: Path) -> None:
        """Writes the plan, the finished runs and the reasons of the failed ones as JSON."""
        values = {
            "search": self.plan.search,
            "models": self.plan.models,
            "fields": {name: str(choice) for name, choice in self.plan.fields.items()},
            "seeds": self.plan.seeds,
            "finished": [run.name for run in self.finished],
            "failed": self.failures,
            "pruned": sorted(self.pruned),
        }
        write_whole(file, f"{json.dumps(values, indent=2)}\n".encode())

    def report(self, folder: Path) -> None:
        """Prints the counts and writes the comparison of the finished runs. Raises UserError if runs failed."""
        print(
            f"{len(self.finished):,} runs finished, {len(self.failures)} failed, {len(self.pruned)} pruned, "
            f"{self.num_left:,} left; {self.seconds:.1f} s, of which {self.seconds_in_runs:.1f} s in runs"
        )
        if self.finished:
            try:
                compare(self.finished, folder)
            except UserError as error:  # the runs exist, and the failures are still to be reported
                print(f"not compared: {error}", file=sys.stderr)
        if self.failures:
            name, reason = next(iter(self.failures.items()))
            raise UserError(f"{len(self.failures)} runs failed (reasons in sweep.json). {name}: {reason}")
