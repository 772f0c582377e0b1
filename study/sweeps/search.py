"""Random and guided (tpe) search for points of a sweep, with Optuna's samplers."""

from collections.abc import Collection
from itertools import accumulate
from statistics import fmean, median

from study.sweeps.job import Job
from study.sweeps.plan import Plan, Range, Values
from utils.errors import needs_extra
from utils.recipe import FIELDS
from utils.run import Run

with needs_extra("sweep"):
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

PRUNED, FAIL = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL
NUM_UNPRUNED = 4  # runs that must be finished before any run is pruned
MODEL = "model"


class Searcher:
    """Proposes points and receives their results. It is deterministic: the same results give the same points."""

    def __init__(self, plan: Plan) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler if plan.search == "tpe" else optuna.samplers.RandomSampler
        self.plan = plan
        self.study = optuna.create_study(direction="maximize", sampler=sampler(seed=0))
        self.distributions: dict[str, BaseDistribution] = {MODEL: CategoricalDistribution(plan.models)}
        self.distributions |= {name: _distribution(name, values) for name, values in plan.fields.items()}
        self.trials: dict[Job, list[optuna.Trial]] = {}
        self.curves: list[list[float]] = []
        """Best validation accuracy so far after each epoch, of each finished run."""

    def ask(self, count: int) -> list[Job]:
        """Jobs for this many further points; equal points make one job."""
        required_accuracy = self.required_accuracy()
        for _ in range(count):
            trial = self.study.ask(self.distributions)
            fields = {name: value for name, value in trial.params.items() if name != MODEL}
            job = Job(self.plan.recipe(trial.params[MODEL], fields), self.plan.seeds, required_accuracy)
            self.trials.setdefault(job, []).append(trial)
        return list(self.trials)

    def tell(self, pruned: Collection[str]) -> None:
        """Records the results of the jobs of the last `ask`, given the names of all pruned runs."""
        for job, trials in self.trials.items():
            finished = [run for run in job.runs if run.is_finished]
            for trial in trials:
                if finished:
                    self.study.tell(trial, fmean(run.summary.val_accuracy for run in finished))
                else:
                    self.study.tell(trial, state=PRUNED if any(run.name in pruned for run in job.runs) else FAIL)
            self.curves += [_best_so_far(run) for run in finished]
        self.trials = {}

    def required_accuracy(self) -> tuple[float, ...]:
        """The median of `curves` after each epoch; empty without pruning or with too few finished runs."""
        if not self.plan.pruning or len(self.curves) < NUM_UNPRUNED:
            return ()
        return tuple(median(values) for values in zip(*self.curves, strict=False))


def _best_so_far(run: Run) -> list[float]:
    return list(accumulate((row.val_accuracy for row in run.metrics), max))


def _distribution(name: str, values: Values) -> BaseDistribution:
    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    if FIELDS[name] is int:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)
