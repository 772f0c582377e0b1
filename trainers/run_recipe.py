"""The command line of every trainer: flags -> recipe -> run."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from trainers.recipe import Recipe
from utils.command_line import parse_command_line
from utils.errors import UserError, exit_on_user_error
from utils.paths import program, shown
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class TrainCommand:
    recipe: Recipe
    run_name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the run's folder in runs/; by default model, time and seed."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a run that was stopped, to go on with. Its recipe is taken from there."""


def main(recipe: Recipe, description: str | None, argv: list[str] | None = None, prog: str | None = None) -> None:
    """Trains by the recipe, every field of which the command line can change; `description` heads the --help."""
    with exit_on_user_error():
        run_command(recipe, description, sys.argv[1:] if argv is None else argv, prog or sys.argv[0])


def run_command(recipe: Recipe, description: str | None, argv: list[str], prog: str) -> None:
    """As `main`, but raises UserError."""
    resumed = _run_to_resume(argv)
    if resumed:
        command = _resume_command(resumed, recipe, description, argv, prog)
    else:
        command = parse_command_line(TrainCommand, argv, prog, description, TrainCommand(recipe))
        command = replace(command, recipe=_with_absolute_paths(command.recipe))
        if not command.recipe.model:
            raise UserError(f"say which network: {prog} --model NAME, or a trainer's name first.\nSee {prog} --help")

    from trainers.generic_trainers.training_run import train  # torch: only once the command line is right

    report(*train(command.recipe, command.run_name, resumed))


def _with_absolute_paths(recipe: Recipe) -> Recipe:
    """A run is judged later from other folders, so the CSV files of its data set are named from the root."""
    if not recipe.train.dataset.startswith("csv:"):
        return recipe
    entries = [entry.rpartition("test=") for entry in recipe.train.dataset.removeprefix("csv:").split(",") if entry]
    absolute = ",".join(f"{mark}{Path(file).absolute()}" for _, mark, file in entries)
    return replace(recipe, train=replace(recipe.train, dataset=f"csv:{absolute}"))


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


def report(run: RunFolder, summary: dict[str, Any]) -> None:
    """Prints the verdict and where to look at it."""
    print(
        f"best epoch {summary['best_epoch']} of {summary['num_epochs_run']} by validation, "
        f"{summary['train_seconds']:.1f} s of training, {summary['total_seconds']:.1f} s in all\n"
        f"test accuracy {summary['test_accuracy']:.2%} ({summary['test_num_correct']:,} right), "
        f"test loss {summary['test_loss']:.4f}\n"
        f"run: {shown(run.path)}\n"
        f"curves and pictures: {program('tensorboard')} --logdir {shown(run.path.parent)}"
    )
