"""The unit of work of a sweep: one recipe with some seeds. A run's name is a hash of its recipe and the seed."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainers.train import DataSplits, resume, train, train_seeds
from utils.errors import UserError
from utils.files import runs_folder
from utils.recipe import Execution, Recipe
from utils.run import EpochMetrics, Run


class Pruned(Exception):
    """The validation accuracy of a run is too low to continue."""


@dataclass(frozen=True)
class Job:
    """A recipe, whose own seed is ignored, and the seeds to train it with."""

    recipe: Recipe
    seeds: tuple[int, ...]
    required_accuracy: tuple[float, ...] = ()
    """Best validation accuracy that a run must reach by each epoch, else it is pruned; empty for no pruning."""

    @property
    def prefix(self) -> str:
        """The names of the runs without `-s<seed>`."""
        return f"{self.recipe.plain_model}-{self.recipe.hash}"

    def run(self, seed: int) -> Run:
        return Run(runs_folder() / f"{self.prefix}-s{seed}")

    @property
    def runs(self) -> list[Run]:
        return [self.run(seed) for seed in self.seeds]

    @property
    def unfinished(self) -> "Job":
        """The same job without the seeds whose runs are finished."""
        return replace(self, seeds=tuple(seed for seed in self.seeds if not self.run(seed).is_finished))

    def falls_short(self, metrics: Sequence[EpochMetrics]) -> bool:
        """Whether a run with these epochs is to be pruned."""
        if not 0 < len(metrics) <= len(self.required_accuracy):
            return False
        return max(row.val_accuracy for row in metrics) < self.required_accuracy[len(metrics) - 1]


@dataclass(frozen=True)
class Outcome:
    """The result of a job. A seed that is neither failed nor pruned is finished."""

    job: Job
    failures: dict[int, str]
    """Seed -> reason."""
    pruned: tuple[int, ...] = ()
    seconds: float = 0.0
    """Wall-clock time of the job, including checkpoints and pictures."""

    @staticmethod
    def failed(job: Job, error: Exception) -> "Outcome":
        """All runs of the job failed with this error."""
        return Outcome(job, dict.fromkeys(job.seeds, _reason(error)))


def do_job(job: Job, execution: Execution, splits: DataSplits) -> Outcome:
    """Trains the unfinished runs of the job in runs/; an interrupted run is resumed.

    A run that fails is reported in the outcome and does not stop the others. The caller holds the locks of the runs.
    """
    started = time.perf_counter()
    failures: dict[int, str] = {}
    pruned, new_seeds = [], []
    for seed in job.unfinished.seeds:
        run = job.run(seed)
        if run.path.exists() and not (run.path / "config.json").exists():
            shutil.rmtree(run.path)  # the process was killed while it created the folder
        if not run.path.exists() and not job.required_accuracy:
            new_seeds.append(seed)
            continue
        try:
            _train_one(job, seed, execution, splits)
        except Pruned:
            pruned.append(seed)
        except Exception as error:  # any error: the other runs continue
            failures[seed] = _reason(error)
    if new_seeds:
        try:
            _, errors = train_seeds(job.recipe, new_seeds, run_name=job.prefix, execution=execution, splits=splits)
            failures |= {seed: _reason(error) for seed, error in errors.items()}
        except Exception as error:
            failures |= {seed: _reason(error) for seed in new_seeds if not job.run(seed).is_finished}
    return Outcome(job, failures, tuple(pruned), time.perf_counter() - started)


def _train_one(job: Job, seed: int, execution: Execution, splits: DataSplits) -> None:
    """Trains or resumes the run of one seed. Raises Pruned if its accuracy is too low."""
    run, recipe = job.run(seed), job.recipe.with_seed(seed)
    callbacks = [_Pruner(job, run)]
    if not run.path.exists():
        train(recipe, run_name=run.name, execution=execution, splits=splits, callbacks=callbacks)
        return
    if run.recipe != recipe:
        raise UserError(f"runs/{run.name} has another recipe: {'; '.join(run.recipe.differences(recipe))}")
    if job.falls_short(run.metrics):
        raise Pruned
    resume(run, execution=execution, splits=splits, callbacks=callbacks)


class _Pruner:
    """A callback that ends training when the run falls short of the required accuracy."""

    def __init__(self, job: Job, run: Run) -> None:
        self.job, self.run = job, run

    def step_done(self) -> None:
        pass

    def epoch_done(self, _metrics: EpochMetrics) -> None:
        if self.job.falls_short(self.run.metrics):
            raise Pruned


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text[:300]}"
