"""The architecture study's networks, trained and judged."""

import math
from collections.abc import Sequence

from tqdm import tqdm

from models.registry import build_model, num_parameters
from study.architecture_results import MEASURES, ArchitectureResults, StudiedNetwork
from study.architecture_variants import Variant
from study.generalisation.scorecards import BRIEF, Scorecard, scorecard
from study.sweeps.engines import LocalEngine
from study.sweeps.job import Job
from trainers.generic_trainers.training_run import Setting
from utils.devices import choose_device
from utils.environment import describe_environment
from utils.errors import UserError


def train_and_judge(
    variants: Sequence[Variant], seeds: Sequence[int], num_epochs: int, device: str, command: str
) -> ArchitectureResults:
    """Trains what is missing and judges what was not judged yet.

    Raises UserError where a network could not be trained, and after Ctrl-C KeyboardInterrupt with what to do next.
    """
    jobs = [Job(variant.recipe(num_epochs, device), tuple(seeds)) for variant in variants]
    Setting.of(jobs[0].recipe)  # a device or data that cannot be had are told before anything is trained
    try:
        _train(jobs)
        runs = tqdm([run for job in jobs for run in job.runs], desc="judged", unit="run", disable=None, leave=False)
        cards = {run.path.name: scorecard(run, BRIEF, device) for run in runs}
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped: the same 'mnist architecture' again goes on where it was.") from None
    networks = [
        _studied(variant, [cards[run.path.name] for run in job.runs])
        for variant, job in zip(variants, jobs, strict=True)
    ]
    return ArchitectureResults(command, list(seeds), num_epochs, networks, describe_environment(choose_device(device)))


def _train(jobs: Sequence[Job]) -> None:
    missing = [left for job in jobs if (left := job.unfinished).seeds]
    failures: dict[str, str] = {}
    with tqdm(total=sum(len(job.seeds) for job in missing), desc="trained", unit="run", disable=None) as bar:
        for outcome in LocalEngine().run(missing, math.inf):
            failures |= {outcome.job.run(seed).path.name: reason for seed, reason in outcome.failures.items()}
            bar.update(len(outcome.job.seeds))
    if failures:
        name, reason = next(iter(failures.items()))
        raise UserError(f"{len(failures)} runs failed. {name}: {reason}")


def _studied(variant: Variant, cards: Sequence[Scorecard]) -> StudiedNetwork:
    values = {name: [card.cells[cell].value for card in cards] for name, cell in MEASURES.items()}
    return StudiedNetwork(
        variant.property,
        variant.label,
        variant.model,
        num_parameters(build_model(variant.model)),
        {name: [value for value in found if value is not None] for name, found in values.items() if None not in found},
        [card.run_name for card in cards],
        dict(variant.settings),
    )
