"""From a recipe to a judged run: data, model, trainer, final evaluation. Or from a recipe and seeds to many."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from models.registry import build_model, num_parameters
from models.trained import BEST_KEYS, load_trained
from trainers.generic_trainers.basic_trainer import BasicTrainer, Observer
from trainers.generic_trainers.numpy_trainer import NumpyTrainer, choose_numpy_precision
from trainers.generic_trainers.progress import Progress
from trainers.generic_trainers.stacked_trainer import StackedTrainer, stack_size
from trainers.generic_trainers.tensorboard_log import TensorBoardLog
from trainers.recipe import Recipe, TrainConfig
from utils.answers import Answers
from utils.checkpoints import load_checkpoint, load_weights
from utils.datasets import load_dataset, load_training_sets
from utils.devices import choose_compile, choose_device, choose_precision
from utils.environment import describe_environment
from utils.errors import DISK_ERRORS, UserError
from utils.evaluation import predict_logits, score
from utils.image_set import ImageSet
from utils.paths import program, shown
from utils.randomness import random_seed
from utils.run_folder import RunFolder, judged_row
from utils.threads import use_threads

Verdict = tuple[RunFolder, dict[str, Any]]  # a run and its summary


@dataclass(frozen=True)
class Digits:
    """What a recipe's runs learn from and are judged on; recipes that name the same can share them."""

    train_set: ImageSet
    validation_set: ImageSet
    test_set: ImageSet  # had now rather than found missing in the end; looked at then

    @staticmethod
    def of(config: TrainConfig) -> "Digits":
        """Raises UserError where they cannot be had."""
        train_set, validation_set = load_training_sets(config.dataset, config.validation_size, config.train_size)
        return Digits(train_set, validation_set, load_dataset(config.dataset, "test"))


@dataclass(frozen=True)
class Setting:
    """What the runs of one recipe share, whatever their seed."""

    started: float
    num_parameters: int
    num_threads: int
    num_together: int
    """How many networks are best trained together."""
    device: torch.device
    precision: str
    compile_mode: str
    train_set: ImageSet
    validation_set: ImageSet
    test_set: ImageSet

    @staticmethod
    def of(recipe: Recipe, digits: Digits | None = None, num_threads: int | None = None) -> "Setting":
        """Finds all that can be wrong with the recipe, before a folder is made. Sets torch's number of threads, by
        default as `utils.threads` has it. Raises UserError."""
        started = time.perf_counter()
        config = recipe.train
        device = choose_device("cpu" if config.engine == "numpy" and config.device == "auto" else config.device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # streams and graphs are those of the current device
        model = starting_model(recipe)
        num_threads = use_threads(model, num_threads)
        if config.engine == "numpy":
            precision = choose_numpy_precision(model, config)
        else:
            precision = choose_precision(config.precision, device, model)
        compile_mode = choose_compile(config.compile, device)
        num_together = stack_size(model, config, device, compile_mode)
        digits = digits or Digits.of(config)
        train_set, validation_set = digits.train_set, digits.validation_set
        if config.preload:  # once, whatever the number of runs
            with _advice_on_memory(device):
                train_set, validation_set = train_set.to(device), validation_set.to(device)
        return Setting(
            started, num_parameters(model), num_threads, num_together, device, precision, compile_mode,
            train_set, validation_set, digits.test_set,
        )  # fmt: skip

    def describe(self, recipe: Recipe, num_together: int = 1) -> str:
        """The line that tells what was chosen where the recipe says auto."""
        together = f"{num_together} networks of " if num_together > 1 else ""
        by = "by NumPy " if recipe.train.engine == "numpy" else ""
        plural = "" if self.num_threads == 1 else "s"
        threads = f" ({self.num_threads} thread{plural})" if self.device.type == "cpu" else ""
        compiled = "" if self.compile_mode == "none" else f", {self.compile_mode}"
        return (
            f"{recipe.model}: {together}{self.num_parameters:,} parameters, "
            f"{self.precision} {by}on {self.device}{threads}{compiled}, {len(self.train_set):,} digits"
        )


def train(
    recipe: Recipe,
    run_name: str | None = None,
    resumed: RunFolder | None = None,
    setting: Setting | None = None,
    observers: Sequence[Observer] = (),
) -> Verdict:
    """Trains, chooses the best epoch by validation, looks at the test set once. Returns the run and its summary.

    Makes a new run, or goes on with `resumed`, whose recipe must be this one; `setting`, of this recipe, saves finding
    it. All that can be wrong with the recipe is found before the folder is made. Raises UserError, and what an observer
    raises; after Ctrl-C KeyboardInterrupt, with what to do next.
    """
    setting = setting or Setting.of(recipe)
    run = resumed or new_run(recipe, run_name, setting)
    with _what_to_do_next([run], setting.device):
        return _train_alone(recipe, setting, run, observers)


def train_seeds(
    recipe: Recipe, seeds: Sequence[int], run_name: str | None = None, setting: Setting | None = None
) -> tuple[list[Verdict], dict[int, UserError]]:
    """The recipe with each of these seeds, in a run of its own: together where that is quicker, else in turn.

    Returns the runs that were finished, and by seed why another could not go on, which stops none of the others.
    `run_name` is the beginning of their names. Raises as `train` does.
    """
    setting = setting or Setting.of(recipe)
    recipes = [replace(recipe, train=replace(recipe.train, seed=seed)) for seed in seeds]
    names = [f"{run_name}-s{seed}" if run_name else None for seed in seeds]
    for name in names:
        RunFolder.check_name(name)
    size = setting.num_together
    verdicts: list[Verdict] = []
    failures: dict[int, UserError] = {}
    for start in range(0, len(seeds), size):
        some = recipes[start : start + size]
        runs = [new_run(one, name, setting, len(some)) for one, name in zip(some, names[start:], strict=False)]
        with _what_to_do_next(runs, setting.device, seeds[start + size :]):
            if len(some) > 1:
                verdicts += _train_together(some, setting, runs, failures)
            else:
                try:
                    verdicts.append(_train_alone(some[0], setting, runs[0]))
                except UserError as error:
                    failures[some[0].train.seed] = error
        setting = replace(setting, started=time.perf_counter())  # the data are loaded
        if setting.device.type == "cuda":
            gc.collect()  # a trainer and its graph on the device hold each other
    return verdicts, failures


@contextmanager
def _advice_on_memory(device: torch.device, kept: str = "Nothing is lost.") -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"{device} has too little memory: try a smaller --batch-size or --no-preload.\n{kept}"
        ) from None


@contextmanager
def _what_to_do_next(runs: list[RunFolder], device: torch.device, seeds_left: Sequence[int] = ()) -> Iterator[None]:
    """Says where the work lies and how to go on, where memory or disk end or the user stops."""
    folder = shown(runs[0].path)
    go_on = f"{program('mnist')} train --resume {folder}"
    if len(runs) > 1:
        go_on += f"\nand likewise with the other runs up to {shown(runs[-1].path)}"
    if seeds_left:
        go_on += f"\nNot begun: seeds {seeds_left[0]} to {seeds_left[-1]}"
    try:
        with _advice_on_memory(device, f"What was trained lies in {folder}"):
            yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(
            f"cannot write into {folder}: {error.strerror}. Its last good checkpoint stays.\n"
            f"Make room and go on with: {go_on}"
        ) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the last whole epoch is saved. Go on with: {go_on}") from None


def new_run(recipe: Recipe, run_name: str | None, setting: Setting, num_together: int = 1) -> RunFolder:
    """A fresh run folder, which says how the run is made."""
    run = RunFolder.create(run_name, recipe.model, recipe.train.seed)
    run.write_json("environment.json", {**describe_environment(setting.device), "num_together": num_together})
    run.write_json("config.json", recipe.to_json())
    return run


def _train_alone(recipe: Recipe, setting: Setting, run: RunFolder, observers: Sequence[Observer] = ()) -> Verdict:
    trainer = build_trainer(recipe, setting, run)
    if run.last_checkpoint.exists() or run.rows():  # else it is new, or was stopped before its first step
        trainer.load_last()
    log = open_log(trainer)
    progress = Progress(recipe.train.num_epochs)
    trainer.observers = (progress, log, *observers)
    print(setting.describe(recipe))
    with progress.bar(trainer.steps_per_epoch, len(trainer.rows)):
        trainer.fit()
    return run, judge(recipe, trainer, setting, log)


def _train_together(
    recipes: list[Recipe], setting: Setting, runs: list[RunFolder], failures: dict[int, UserError]
) -> list[Verdict]:
    trainers = [build_trainer(recipe, setting, run) for recipe, run in zip(recipes, runs, strict=True)]
    logs = [open_log(trainer) for trainer in trainers]
    for trainer, log in zip(trainers, logs, strict=True):
        trainer.observers = (log,)
    stacked = StackedTrainer(trainers, setting.train_set, setting.compile_mode)
    progress = Progress(recipes[0].train.num_epochs)
    print(setting.describe(recipes[0], len(recipes)))
    with progress.bar(trainers[0].steps_per_epoch, 0):
        stacked.fit(progress)
    failures |= stacked.failures
    return [
        (trainer.run, judge(recipe, trainer, setting, log))
        for recipe, trainer, log in zip(recipes, trainers, logs, strict=True)
        if recipe.train.seed not in stacked.failures
    ]


def build_trainer(recipe: Recipe, setting: Setting, run: RunFolder) -> BasicTrainer:
    """The trainer of a recipe's engine with a network as the recipe begins with it."""
    model: Any = starting_model(recipe)
    kind = NumpyTrainer if recipe.train.engine == "numpy" else BasicTrainer
    return kind(
        model,
        recipe.train,
        setting.train_set,
        setting.validation_set,
        run,
        setting.device,
        setting.precision,
        setting.compile_mode,
        started=setting.started,
    )


def starting_model(recipe: Recipe) -> nn.Module:
    """The network with weights that the seed draws, or with those that the run to start from ended with.

    Raises UserError where there is no such run, or its weights are those of another network.
    """
    torch.manual_seed(random_seed(recipe.train.seed, 0, "initialisation"))
    model = build_model(recipe.model)
    if recipe.train.start:
        checkpoint = RunFolder.find(recipe.train.start).best_checkpoint
        load_weights(model, load_checkpoint(checkpoint, BEST_KEYS)["model"], checkpoint)
    return model


def open_log(trainer: BasicTrainer) -> TensorBoardLog:
    log = TensorBoardLog(trainer.run, trainer.rows)
    if not trainer.rows:
        log.begin(trainer.model, trainer.device)
    return log


def judge(recipe: Recipe, trainer: BasicTrainer, setting: Setting, log: TensorBoardLog) -> dict[str, Any]:
    """The verdict on the judged epoch's weights as anyone loads them, in fp32, and the run's last files."""
    run, device, test_set, validation_set = trainer.run, trainer.device, setting.test_set, setting.validation_set
    model = load_trained(run, device, setting.num_threads)
    logits = predict_logits(model, test_set.images, device).cpu()
    test = score(logits, test_set.labels)
    validation = score(predict_logits(model, validation_set.images, device), validation_set.labels)
    judged = judged_row(trainer.rows, recipe.train.judged_epoch)
    answers = Answers(logits.numpy(), test_set.labels.numpy())
    answers.save(run.test_predictions)
    summary = {
        "model": recipe.model,
        "num_parameters": num_parameters(model),
        "seed": recipe.train.seed,
        "device": str(device),
        "precision": trainer.precision,
        "num_epochs_run": trainer.rows[-1].epoch,
        "best_epoch": judged.epoch,
        "best_val_accuracy": judged.val_accuracy,
        "val_accuracy": validation.accuracy,
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "test_num_correct": test.num_correct,
        "train_seconds": sum(row.epoch_seconds for row in trainer.rows),
        "total_seconds": trainer.seconds,
    }
    log.finish(recipe, summary, model, test_set, answers)
    run.write_json("summary.json", summary)
    return summary
