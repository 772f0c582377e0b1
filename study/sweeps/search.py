"""Points of a random or guided search, by Optuna's samplers, asked and told."""

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any, get_type_hints

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.sweeps.job import Job, Outcome
from study.sweeps.plan import Choice, Plan, Range
from trainers.recipe import Recipe, TrainConfig

PRUNED, FAIL = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL
NUM_UNPRUNED = 4  # finished points before any is measured by them
MODEL = "model"


class Searcher:
    """Gives points and takes their results; the same results give the same points again."""

    def __init__(self, plan: Plan) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler if plan.search == "tpe" else optuna.samplers.RandomSampler
        self.plan = plan
        self.study = optuna.create_study(direction="maximize", sampler=sampler(seed=0))
        self.distributions: dict[str, BaseDistribution] = {MODEL: CategoricalDistribution(plan.models)}
        self.distributions |= {name: _distribution(name, choice) for name, choice in plan.settings.items()}
        self.trials: dict[Recipe, list[optuna.Trial]] = {}
        self.curves: list[list[float]] = []

    def ask(self, count: int) -> list[Job]:
        """So many further points; a point that comes again is trained once."""
        bar = self._bar()
        for _ in range(count):
            trial = self.study.ask(self.distributions)
            settings = {name: value for name, value in trial.params.items() if name != MODEL}
            self.trials.setdefault(self.plan.recipe(trial.params[MODEL], settings), []).append(trial)
        return [Job(recipe, self.plan.seeds, bar) for recipe in self.trials]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """How the points ended that were asked for last."""
        by_recipe = {outcome.job.recipe: outcome for outcome in outcomes}
        for recipe, trials in self.trials.items():
            outcome = by_recipe.get(recipe)
            runs = [run for run in outcome.job.runs if run.is_finished] if outcome else []
            for trial in trials:
                if runs:
                    self.study.tell(trial, fmean(run.summary()["val_accuracy"] for run in runs))
                else:
                    self.study.tell(trial, state=PRUNED if outcome and outcome.pruned else FAIL)
            self.curves += [_best_so_far(run) for run in runs]
        self.trials = {}

    def _bar(self) -> tuple[float, ...]:
        """After each epoch the median of what the finished runs had reached."""
        if not self.plan.pruning or len(self.curves) < NUM_UNPRUNED:
            return ()
        return tuple(median(values) for values in zip(*self.curves, strict=False))


def _best_so_far(run: Any) -> list[float]:
    best = 0.0
    return [best := max(best, row.val_accuracy) for row in run.rows()]


def _distribution(name: str, choice: Choice) -> BaseDistribution:
    if not isinstance(choice, Range):
        return CategoricalDistribution(choice)
    if get_type_hints(TrainConfig)[name] is int:
        return IntDistribution(int(choice.low), int(choice.high), log=choice.log)
    return FloatDistribution(choice.low, choice.high, log=choice.log)
