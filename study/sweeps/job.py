"""The smallest piece of a sweep: a recipe with some seeds, whose runs are named by what the recipe holds."""

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from trainers.generic_trainers.training_run import Setting, train, train_seeds
from trainers.recipe import Recipe, TrainConfig
from utils.errors import UserError
from utils.paths import runs_folder
from utils.run_folder import EpochMetrics, RunFolder


class Pruned(Exception):
    """The run is not worth going on with."""


@dataclass(frozen=True)
class Job:
    """A recipe, whose own seed does not count, and seeds that are trained together where that pays."""

    recipe: Recipe
    seeds: tuple[int, ...]
    bar: tuple[float, ...] = ()
    """The validation accuracy to hold after each epoch, from where there is one; below it a run is pruned."""

    @cached_property
    def prefix(self) -> str:
        """The runs' name but for the seed: the model, and a hash of all settings that are not the defaults."""
        defaults = dataclasses.asdict(TrainConfig())
        settings = {
            name: value
            for name, value in dataclasses.asdict(self.recipe.train).items()
            if name != "seed" and value != defaults[name]
        }
        content = json.dumps([self.recipe.model, settings], sort_keys=True)
        plain_model = re.sub(r"[^A-Za-z0-9_.]+", "_", self.recipe.model).strip("_")[:60]
        return f"{plain_model}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"

    def run(self, seed: int) -> RunFolder:
        return RunFolder(runs_folder() / f"{self.prefix}-s{seed}")

    @property
    def runs(self) -> list[RunFolder]:
        return [self.run(seed) for seed in self.seeds]

    def with_seed(self, seed: int) -> Recipe:
        return replace(self.recipe, train=replace(self.recipe.train, seed=seed))

    @property
    def unfinished(self) -> "Job":
        """The same without the seeds whose runs are finished."""
        return replace(self, seeds=tuple(seed for seed in self.seeds if not self.run(seed).is_finished))

    def is_below(self, rows: Sequence[EpochMetrics]) -> bool:
        """Whether the best epoch so far does not hold the bar."""
        if not 0 < len(rows) <= len(self.bar):
            return False
        return max(row.val_accuracy for row in rows) < self.bar[len(rows) - 1]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: seeds that are in neither of these are finished."""

    job: Job
    failures: dict[int, str]
    """Why a run could not be trained, by seed."""
    pruned: tuple[int, ...] = ()
    seconds: float = 0.0
    """That it took, the runs' pictures and checkpoints included."""

    @staticmethod
    def of_error(job: Job, error: Exception) -> "Outcome":
        """None of the runs could be trained, for this reason."""
        return Outcome(job, dict.fromkeys(job.seeds, _reason(error)))


def do_job(job: Job, setting_of: Callable[[Recipe], Setting] = Setting.of) -> Outcome:
    """Trains what is not finished: goes on with runs that were stopped, and makes the others, in runs/.

    What goes wrong with a run is told in the outcome and stops nothing. No other process may be at these runs.
    """
    started = time.perf_counter()
    failures: dict[int, str] = {}
    pruned, fresh = [], []
    for seed in job.unfinished.seeds:
        run = job.run(seed)
        if run.path.exists() and not (run.path / "config.json").exists():
            shutil.rmtree(run.path)  # killed before it began
        if job.bar or run.path.exists():
            try:
                _train_one(job, seed, run, setting_of)
            except Pruned:
                pruned.append(seed)
            except Exception as error:  # the others go on whatever it is
                failures[seed] = _reason(error)
        else:
            fresh.append(seed)
    if fresh:
        try:
            _, failed = train_seeds(job.recipe, fresh, job.prefix, setting_of(job.recipe))
            failures |= {seed: _reason(error) for seed, error in failed.items()}
        except Exception as error:
            failures |= {seed: _reason(error) for seed in fresh if not job.run(seed).is_finished}
    return Outcome(job, failures, tuple(pruned), time.perf_counter() - started)


def _train_one(job: Job, seed: int, run: RunFolder, setting_of: Callable[[Recipe], Setting]) -> None:
    recipe = job.with_seed(seed)
    resumed = None
    if run.path.exists():
        found = Recipe.from_json(run.config())
        if found != recipe:
            raise UserError(f"runs/{run.path.name} is of another recipe: {'; '.join(found.differences(recipe))}")
        if job.is_below(run.rows()):
            raise Pruned
        resumed = run
    train(recipe, run.path.name, resumed, setting_of(job.recipe), [_Pruner(job, run)])


class _Pruner:
    """An observer of the trainer that ends it where the bar is not held."""

    def __init__(self, job: Job, run: RunFolder) -> None:
        self.job, self.run = job, run

    def step_done(self) -> None:
        pass

    def epoch_done(self, _row: EpochMetrics) -> None:
        if self.job.is_below(self.run.rows()):
            raise Pruned


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
