"""Jobs cut into stacks, the pieces that engines train: what they share is loaded once, their runs are locked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from study.sweeps.job import Job, Outcome
from study.sweeps.run_locks import RunLocks
from trainers.generic_trainers.training_run import Digits, Setting
from trainers.recipe import Recipe, TrainConfig

TAKEN = "another sweep trains this run: give the same command again when that sweep is over"


class Loaded:
    """What jobs that follow each other share: digits as long as they stay the same, the setting likewise."""

    def __init__(self) -> None:
        self._digits: tuple[tuple[str, float, float], Digits] | None = None
        self._setting: tuple[Recipe, Setting] | None = None

    def digits(self, config: TrainConfig) -> Digits:
        """Raises UserError where they cannot be had."""
        key = (config.dataset, config.validation_size, config.train_size)
        if self._digits is None or self._digits[0] != key:
            self._digits = (key, Digits.of(config))
        return self._digits[1]

    def setting(self, recipe: Recipe) -> Setting:
        """Of runs that begin now. Raises UserError as `Setting.of`."""
        if self._setting is None or self._setting[0] != recipe:
            self._setting = (recipe, Setting.of(recipe, self.digits(recipe.train)))
        return replace(self._setting[1], started=perf_counter())


def in_stacks(jobs: Sequence[Job], loaded: Loaded, locks: RunLocks) -> Iterator[Job | Outcome]:
    """Jobs of as many seeds as are trained together, the smallest piece that can be lost, with their runs locked; and
    how those ended that are not to be trained: without digits, finished meanwhile, or another sweep's."""
    for job in jobs:
        try:
            loaded.digits(job.recipe.train)
        except Exception as error:  # the other jobs go on whatever it is
            yield Outcome.of_error(job, error)
            continue
        size = _num_together(job, loaded)
        for start in range(0, len(job.seeds), size):
            yield from _locked(replace(job, seeds=job.seeds[start : start + size]), locks)


def _num_together(job: Job, loaded: Loaded) -> int:
    """All seeds where the recipe cannot be trained: by an engine that cannot either, they fail as one."""
    if job.bar or len(job.seeds) == 1:
        return 1
    try:
        return loaded.setting(job.recipe).num_together
    except Exception:  # told by who trains it: Ray's workers may have the device that is missing here
        return len(job.seeds)


def _locked(job: Job, locks: RunLocks) -> Iterator[Job | Outcome]:
    taken = {seed: TAKEN for seed in job.seeds if not locks.take(job.run(seed))}
    left = tuple(seed for seed in job.unfinished.seeds if seed not in taken)  # looked at once nobody else writes
    ended = tuple(seed for seed in job.seeds if seed not in left)
    if ended:
        locks.give_back(job.run(seed) for seed in ended if seed not in taken)
        yield Outcome(replace(job, seeds=ended), taken)
    if left:
        yield replace(job, seeds=left)
