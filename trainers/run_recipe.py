"""The command line of every trainer: flags -> recipe -> run."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import tyro

from trainers.recipe import Recipe
from utils.command_line import parse_command_line
from utils.csv_name import CsvName
from utils.errors import UserError, exit_on_user_error
from utils.paths import program, runs_folder, shown
from utils.run_folder import RunFolder
from utils.statistics import mean_interval

MAX_SEEDS = 10_000


@dataclass(frozen=True)
class TrainCommand:
    recipe: Recipe
    threads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """CPU threads; by default those of OMP_NUM_THREADS, else one for small fully connected networks and one per core
    for all others. Another number gives the same result within rounding. --resume keeps the run's number."""
    run_name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the run's folder in runs/; by default model, time and seed."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a run that was stopped, to go on with. Its recipe is taken from there."""
    seeds: Annotated[str | None, tyro.conf.arg(metavar="FIRST:END")] = None
    """Several seeds, each in a run of its own, in place of --seed: 0:32 for 0 to 31, or 1,5,7. Networks that are
    trained quicker together are. NAME of --run-name is then the beginning of their names."""


def main(recipe: Recipe, description: str | None, argv: list[str] | None = None, prog: str | None = None) -> None:
    """Trains by the recipe, every field of which the command line can change; `description` heads the --help."""
    with exit_on_user_error():
        run_command(recipe, description, sys.argv[1:] if argv is None else argv, prog or sys.argv[0])


def run_command(recipe: Recipe, description: str | None, argv: list[str], prog: str) -> list[RunFolder]:
    """As `main`, but raises UserError. Returns the finished runs."""
    resumed = _run_to_resume(argv)
    if resumed:
        command = _resume_command(resumed, recipe, description, argv, prog)
    else:
        command = parse_command_line(TrainCommand, argv, prog, description, TrainCommand(recipe))
        command = replace(command, recipe=with_lasting_names(command.recipe))
        if not command.recipe.model:
            raise UserError(f"say which network: {prog} --model NAME.\nSee {prog} --help")

    seeds = [] if command.seeds is None else parse_seeds(command.seeds)
    if seeds and resumed:
        raise UserError("--seeds makes new runs; leave it out with --resume")
    if seeds and any(argument.partition("=")[0] == "--seed" for argument in argv):
        raise UserError("--seeds stands in place of --seed: leave one of them out")

    from trainers.generic_trainers.training_run import Setting, train, train_seeds  # torch: only now

    threads = command.threads
    if threads is None and resumed:
        threads = _recorded_threads(resumed)
    setting = Setting.of(command.recipe, num_threads=threads)
    if seeds:
        verdicts, failures = train_seeds(command.recipe, seeds, command.run_name, setting)
        report_seeds(verdicts)
        if failures:
            seed, failure = next(iter(failures.items()))
            raise UserError(f"{len(failures)} of {len(seeds)} networks could not go on. Seed {seed}: {failure}")
        return [run for run, _ in verdicts]
    run, summary = train(command.recipe, command.run_name, resumed, setting)
    report(run, summary)
    return [run]


def parse_seeds(text: str) -> list[int]:
    """The seeds of `0:32` (the end left out) or `1,5,7`. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d{1,18}):(\d{1,18})", text)
    if found:
        seeds: Sequence[int] = range(int(found[1]), int(found[2]))
    else:
        seeds = [int(part) for part in text.split(",")] if re.fullmatch(r"\d{1,18}(,\d{1,18})*", text) else []
    if not 1 <= len(seeds) <= MAX_SEEDS or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text[:80]}: expected 1 to {MAX_SEEDS:,} different seeds, as FIRST:END or 1,5,7")
    return list(seeds)


def with_lasting_names(recipe: Recipe) -> Recipe:
    """What the recipe reads under names that hold in other folders too, where its run is judged later: CSV files from
    the root, the run to start from by its name in runs/ or from the root. Without a model it takes that run's.

    Raises UserError where there is no such run.
    """
    if recipe.train.dataset.startswith("csv:"):
        recipe = replace(recipe, train=replace(recipe.train, dataset=str(CsvName.parse(recipe.train.dataset))))
    if not recipe.train.start:
        return recipe
    run = RunFolder.find(recipe.train.start)
    is_ours = run.path.absolute().parent == runs_folder().absolute()
    start = run.path.name if is_ours else str(run.path.absolute())
    return Recipe(recipe.model or run.config()["model"], replace(recipe.train, start=start))


def _run_to_resume(argv: list[str]) -> RunFolder | None:
    """The run that --resume names: it must be known before the other flags can be compared with its recipe."""
    for position, argument in enumerate(argv):
        flag, _, value = argument.partition("=")
        if flag == "--resume":
            return RunFolder.find(value or next(iter(argv[position + 1 :]), ""))
    return None


def _resume_command(
    run: RunFolder, recipe: Recipe, description: str | None, argv: list[str], prog: str
) -> TrainCommand:
    """The command line on top of the run's own recipe, which no flag may change."""
    stored = Recipe.from_json(run.read_json("config.json"))
    if recipe.model not in ("", stored.model):
        raise UserError(
            f"{shown(run.path)} is a run of {stored.model}, not of {recipe.model}.\n"
            f"Go on with it by: mnist train --resume {shown(run.path)}"
        )
    command = parse_command_line(TrainCommand, argv, prog, description, TrainCommand(stored))
    if command.recipe != stored:
        raise UserError(
            f"{shown(run.path)} goes on with its own recipe: {'; '.join(stored.differences(command.recipe))}.\n"
            "Leave these options out, or start a new run."
        )
    if command.run_name:
        raise UserError("--run-name names a new run; leave it out with --resume")
    if run.is_finished:
        raise UserError(f"{shown(run.path)} is finished: see its summary.json, or start a new run")
    return command


def _recorded_threads(run: RunFolder) -> int | None:
    """The number of threads that the run began with, if this machine has as many cores: with it, a resumed run ends
    bit-equal."""
    from utils.threads import available_cores

    found = run.read_json("environment.json").get("num_threads")
    return found if isinstance(found, int) and 1 <= found <= available_cores() else None


def report_seeds(verdicts: list[tuple[RunFolder, dict[str, Any]]]) -> None:
    """Prints a line a seed, their mean with its interval, and where to look at them."""
    for run, summary in verdicts:
        print(
            f"seed {summary['seed']:>4}  test accuracy {summary['test_accuracy']:.2%} "
            f"({summary['test_num_correct']:,} right)  {shown(run.path)}"
        )
    if len(verdicts) < 2:
        return
    mean, half_width = mean_interval([summary["test_accuracy"] for _, summary in verdicts])
    seconds = sum(summary["train_seconds"] for _, summary in verdicts)
    print(
        f"mean of {len(verdicts)} test accuracy {mean:.2%} ± {half_width:.2%}, {seconds:.1f} s of training\n"
        f"compare them: {program('mnist')} compare"
    )


def report(run: RunFolder, summary: dict[str, Any]) -> None:
    """Prints the verdict and where to look at it."""
    report_verdict(summary)
    print(f"run: {shown(run.path)}\ncurves and pictures: {program('tensorboard')} --logdir {shown(run.path.parent)}")


def report_verdict(summary: dict[str, Any]) -> None:
    """Prints how long it took and how good the network is."""
    print(
        f"judged: epoch {summary['best_epoch']} of {summary['num_epochs_run']}, "
        f"{summary['train_seconds']:.1f} s of training, {summary['total_seconds']:.1f} s in all\n"
        f"test accuracy {summary['test_accuracy']:.2%} ({summary['test_num_correct']:,} right), "
        f"test loss {summary['test_loss']:.4f}"
    )
