"""From a recipe to an evaluated run: load data, build model, fit, evaluate, write."""

import dataclasses
import gc
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.registry import BEST_KEYS, build_model, load_trained, location_of_own_model, num_parameters
from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.logging import Callback, Profiler, describe_training, report_seed
from trainers.generic_trainers.numpy_trainer import NumpyTrainer
from trainers.generic_trainers.stacked_trainer import StackedTrainer, stack_size
from trainers.recipes import get_recipe, recipe_names, run_label, with_absolute_paths
from utils.checkpoints import load_checkpoint, load_weights, save_checkpoint
from utils.data.datasets import ImageSet, load_dataset, load_training_sets, num_classes
from utils.errors import DISK_ERRORS, UserError
from utils.evaluation import Score, predict, score
from utils.files import program, remove_leftovers, runs_folder, shown
from utils.locks import RunLock
from utils.predictions import Predictions
from utils.recipe import FIELDS, Execution, Recipe
from utils.run import EpochMetrics, Run, RunSummary, selected_epoch
from utils.runtime import available_cores, describe_environment, memory_format, random_seed, resolve_execution

if TYPE_CHECKING:
    from trainers.generic_trainers.tensorboard_log import TensorBoardLog

BACKENDS: dict[str, type[BasicTrainer]] = {"torch": BasicTrainer, "numpy": NumpyTrainer}


def train(
    recipe: Recipe | str,
    *,
    run_name: str | None = None,
    execution: Execution = Execution(),
    splits: "DataSplits | None" = None,
    callbacks: Sequence[Callback] = (),
    **changes: Any,
) -> Run:
    """Trains one network, evaluates the selected epoch on the test set, and returns the finished run.

    `recipe` is a Recipe, the name of a registered recipe such as "fast_conv", or a model; `changes` are fields of the
    recipe, such as num_epochs=3. `splits` saves loading the data.

    Raises UserError for everything that is wrong with the recipe before a run folder exists, and if the loss is not
    finite; KeyboardInterrupt after Ctrl-C, with the command that resumes; and whatever a callback raises.
    """
    started = time.perf_counter()
    recipe = _complete(recipe, changes)
    Run.check_name(run_name)
    model = initial_model(recipe, splits)
    execution = resolve_execution(recipe, model, execution)
    splits = splits or load_splits(recipe)
    trainer = build_trainer(model, splits, recipe, execution)
    trainer.run = run = Run.create(run_name, recipe, describe_environment(execution), run_label(recipe))
    trainer.started = started
    with RunLock(run.path):
        _fit_evaluate_write([trainer], splits, callbacks)
    return run


def resume(
    run: Run,
    execution: Execution | None = None,
    splits: "DataSplits | None" = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Continues a stopped run to the end. On the CPU the result is bit-equal to a run that was never stopped.

    By default the execution is the recorded one; an execution without `threads` takes the recorded number if this
    machine has as many cores.

    Raises UserError if the run is finished or damaged or another process writes it, otherwise as `train`.
    """
    started = time.perf_counter()
    with RunLock(run.path):
        if run.is_finished:
            raise UserError(f"{shown(run.path)} is finished: see its summary.json, or start a new run")
        remove_leftovers(run.path)
        trainer, splits = _resumed_trainer(run, execution, splits)
        trainer.started = started
        checkpoints = run.last_checkpoint, run.previous_checkpoint
        if any(path.exists() for path in checkpoints) or run.metrics:  # else stopped before its first checkpoint
            trainer.load_last()
        _fit_evaluate_write([trainer], splits, callbacks)
    return run


def _resumed_trainer(
    run: Run, execution: Execution | None, splits: "DataSplits | None"
) -> tuple[BasicTrainer, "DataSplits"]:
    """The trainer of a run with its initial weights, and its data, which are read after the model is found."""
    with location_of_own_model(run):
        model = initial_model(run.recipe, splits)
    execution = resolve_execution(run.recipe, model, _execution_here(run, execution))
    splits = splits or load_splits(run.recipe)
    trainer = build_trainer(model, splits, run.recipe, execution)
    trainer.run = Run(run.path)
    return trainer, splits


def _execution_here(run: Run, execution: Execution | None) -> Execution:
    """This execution, by default the recorded one, with the recorded number of threads unless it names another or this
    machine has fewer cores."""
    recorded = run.execution
    execution = execution or recorded
    threads = execution.threads or recorded.threads
    if threads == recorded.threads and threads is not None and threads > available_cores():
        threads = None
    return replace(execution, threads=threads)


def train_seeds(
    recipe: Recipe | str,
    seeds: Sequence[int],
    *,
    run_name: str | None = None,
    execution: Execution = Execution(),
    splits: "DataSplits | None" = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[list[Run], dict[int, UserError]]:
    """Trains the recipe once per seed, several networks together if that is faster, else one after the other.

    Prints a line per finished network. Returns the finished runs, and by seed the error that stopped a network; the
    other networks continue. `run_name` is the beginning of the runs' names. `callbacks` receive the epochs of every
    network, but no steps of networks that are trained together. Raises as `train`.
    """
    started = time.perf_counter()
    recipe = _complete(recipe, {})
    recipes = [recipe.with_seed(seed) for seed in seeds]
    names = [f"{run_name}-s{seed}" if run_name else None for seed in seeds]
    for name in names:
        Run.check_name(name)
    model = initial_model(recipe, splits)
    execution = resolve_execution(recipe, model, execution)
    splits = splits or load_splits(recipe)
    if execution.preload:
        with _explain_memory():
            splits = splits.to(torch.device(execution.device))
    size = stack_size(model, recipe, execution)
    runs: list[Run] = []
    failures: dict[int, UserError] = {}
    for start in range(0, len(seeds), size):
        part = slice(start, start + size)
        trainers = [build_trainer(initial_model(r, splits), splits, r, execution) for r in recipes[part]]
        environment = describe_environment(execution, num_together=len(trainers))
        label = run_label(recipe)
        new_runs = [Run.create(name, r, environment, label) for name, r in zip(names[part], recipes[part], strict=True)]
        for trainer, run in zip(trainers, new_runs, strict=True):
            trainer.run, trainer.started = run, started
        with ExitStack() as locks:
            try:
                for run in new_runs:
                    locks.enter_context(RunLock(run.path))
                failures |= _fit_evaluate_write(trainers, splits, callbacks, seeds[start + size :])
            except UserError as error:
                failures |= {run.recipe.seed: error for run in new_runs if not run.is_finished}
        runs += (finished := [run for run in new_runs if run.is_finished])
        for run in finished:
            report_seed(run)
        started = time.perf_counter()  # only the first networks wait for the data
        if execution.device.startswith("cuda"):
            del trainers, trainer
            gc.collect()  # a trainer and its CUDA graph refer to each other
    return runs, failures


def num_together(recipe: Recipe, execution: Execution = Execution()) -> int:
    """How many seeds of this recipe `train_seeds` trains at a time. Raises UserError as `train`."""
    model = initial_model(recipe)
    return stack_size(model, recipe, resolve_execution(recipe, model, execution))


# The steps of `train`.


@dataclass(frozen=True)
class DataSplits:
    """The three image sets of a run. The test set is loaded at the start, so that a missing file is found before the
    training, and evaluated once at the end."""

    train_set: ImageSet
    validation_set: ImageSet
    test_set: ImageSet

    def to(self, device: torch.device) -> "DataSplits":
        """The same splits with training and validation set on the device."""
        return replace(self, train_set=self.train_set.to(device), validation_set=self.validation_set.to(device))


def load_splits(recipe: Recipe) -> DataSplits:
    """The splits of the recipe's data set. Raises UserError if a file is missing or damaged."""
    sizes = recipe.validation_size, recipe.train_size
    train_set, validation_set = load_training_sets(recipe.dataset, *sizes, recipe.validation)
    return DataSplits(train_set, validation_set, load_dataset(recipe.dataset, "test"))


def initial_model(recipe: Recipe, splits: DataSplits | None = None) -> nn.Module:
    """The model with weights drawn by the recipe's seed, or with the final weights of the run in `init_from`. It has as
    many outputs as the splits have classes, or without splits the recipe's data set, which is not read.

    Raises UserError if that run does not exist or belongs to another network, and for a model with other outputs.
    """
    torch.manual_seed(random_seed(recipe.seed, 0, "initialisation"))
    model = build_model(recipe.model, splits.train_set.num_classes if splits else num_classes(recipe.dataset))
    if recipe.init_from:
        checkpoint = Run.find(recipe.init_from).best_checkpoint
        load_weights(model, load_checkpoint(checkpoint, BEST_KEYS)["model"], checkpoint)
    return model


def build_trainer(model: nn.Module, splits: DataSplits, recipe: Recipe, execution: Execution) -> BasicTrainer:
    """The trainer of the recipe's backend, without a run."""
    with _explain_memory():
        return BACKENDS[recipe.backend](model, splits.train_set, splits.validation_set, recipe, execution)


def _complete(recipe: Recipe | str, changes: dict[str, Any]) -> Recipe:
    """The recipe with the changes. Raises UserError for unknown fields and values out of range."""
    if isinstance(recipe, str):
        recipe = get_recipe(recipe) if recipe in recipe_names() else Recipe(recipe)
    for name in changes:
        if name in {field.name for field in dataclasses.fields(Execution)}:
            raise UserError(f"{name} is not a field of the recipe: expected execution=Execution({name}=...)")
        if name not in FIELDS:
            raise UserError(f"{name} is not a field of the recipe: expected one of {', '.join(FIELDS)}")
    return with_absolute_paths(replace(recipe, **changes))


def _fit_evaluate_write(
    trainers: Sequence[BasicTrainer],
    splits: DataSplits,
    callbacks: Sequence[Callback],
    seeds_left: Sequence[int] = (),
) -> dict[int, UserError]:
    """Trains the networks of these trainers together, evaluates them and writes the results.

    Returns the errors of the networks that could not continue, by seed; a single trainer raises its error instead.
    """
    first, runs = trainers[0], [trainer.run for trainer in trainers if trainer.run is not None]
    logs = [
        _tensorboard_log(run, trainer.execution, trainer.model, trainer)
        for run, trainer in zip(runs, trainers, strict=True)
    ]
    profiler = Profiler(runs[0], first.device) if first.execution.profile else None
    for trainer, log in zip(trainers, logs, strict=True):
        trainer.callbacks += [log, *callbacks]
    print(describe_training(first.recipe, first.model, first.execution, first.num_images, len(trainers)))
    failures: dict[int, UserError] = {}
    with _explain_interruption(runs, seeds_left), _failures_logged(logs):
        with profiler.recording() if profiler else nullcontext():
            if len(trainers) == 1:
                first.callbacks += [profiler] if profiler else []
                first.fit()
            else:
                stacked = StackedTrainer(trainers)
                stacked.step_callbacks += [profiler] if profiler else []
                stacked.fit()
                failures = stacked.failures
        for trainer, run, log in zip(trainers, runs, logs, strict=True):
            if trainer.recipe.seed in failures:
                log.fail(failures[trainer.recipe.seed])
            else:
                evaluate_and_write(run, trainer.metrics, splits, trainer.execution, log, trainer.seconds)
    return failures


def evaluate_and_write(
    run: Run,
    metrics: list[EpochMetrics],
    splits: DataSplits,
    execution: Execution,
    log: "TensorBoardLog",
    total_seconds: float,
) -> None:
    """Evaluates the weights of best.pt on validation and test set in fp32, and writes predictions and summary."""
    device, recipe = torch.device(execution.device), run.recipe
    selected = selected_epoch(metrics, recipe.checkpoint)
    best_epoch = load_checkpoint(run.best_checkpoint, BEST_KEYS)["epoch"]
    if best_epoch != selected.epoch:
        raise UserError(
            f"{shown(run.best_checkpoint)} has the weights of epoch {best_epoch}, expected those of the selected epoch "
            f"{selected.epoch}.\nThey are in no other file: train the recipe anew."
        )
    model = load_trained(run, device, execution.threads)
    test, validation = (predict(model, image_set, device) for image_set in (splits.test_set, splits.validation_set))
    test.save(run.predictions_file("test"))
    validation.save(run.predictions_file("validation"))
    values = {
        **recipe.to_json(),
        **dataclasses.asdict(execution),
        **{f"best_{name}": value for name, value in dataclasses.asdict(selected).items()},
        **_score_of(test).values("test"),
        **_score_of(validation).values("val"),
        "num_parameters": num_parameters(model),
        "num_epochs_run": metrics[-1].epoch,
        "train_seconds": sum(row.epoch_seconds for row in metrics),
        "total_seconds": total_seconds,
    }
    summary = RunSummary.from_values(values)
    log.finish(summary, model, splits.test_set, test)
    run.previous_checkpoint.unlink(missing_ok=True)
    run.write_summary(summary)


def repair(run: Run, execution: Execution | None = None) -> Run:
    """Evaluates the weights of a finished run again and writes its predictions and summary anew, for instance after one
    of these files got damaged. A damaged best.pt is restored if last.pt is of the same epoch.

    Raises UserError if the run is unfinished, if its weights are lost, or if another process writes it.
    """
    with RunLock(run.path):
        if not run.is_finished:
            raise UserError(f"{shown(run.path)} is unfinished: finish it with mnist train --resume {shown(run.path)}")
        remove_leftovers(run.path)
        splits, metrics = load_splits(run.recipe), run.metrics
        if not metrics:
            raise UserError(f"{shown(run.path / 'metrics.jsonl')} is missing or empty: train the recipe anew")
        try:
            load_checkpoint(run.best_checkpoint, BEST_KEYS)
        except UserError:
            if not run.last_checkpoint.exists():
                raise
            _resumed_trainer(run, execution, splits)[0].load_last()
        model = load_trained(run)
        execution = resolve_execution(run.recipe, model, _execution_here(run, execution))
        try:
            total_seconds = run.summary.total_seconds
        except UserError:
            total_seconds = sum(row.epoch_seconds for row in metrics)
        evaluate_and_write(run, metrics, splits, execution, _tensorboard_log(run, execution, model), total_seconds)
    return Run(run.path)


def _tensorboard_log(
    run: Run, execution: Execution, model: nn.Module, trainer: BasicTrainer | None = None
) -> "TensorBoardLog":
    from trainers.generic_trainers.tensorboard_log import TensorBoardLog  # TensorBoard is slow to import

    return TensorBoardLog(run, execution, model, trainer)


# Interruptions.


@contextmanager
def _failures_logged(logs: "Sequence[TensorBoardLog]") -> Iterator[None]:
    """Marks the runs as failed in TensorBoard after an error. A run that was stopped by Ctrl-C has not failed."""
    try:
        yield
    except Exception as error:
        for log in logs:
            log.fail(error)
        raise


@contextmanager
def _explain_memory(saved: str = "Nothing is lost.") -> Iterator[None]:
    """Turns a full GPU into a UserError."""
    try:
        yield
    except torch.OutOfMemoryError:
        advice = "try a smaller --batch-size or --no-preload"
        raise UserError(f"the GPU has too little memory: {advice}.\n{saved}") from None


@contextmanager
def _explain_interruption(runs: Sequence[Run], seeds_left: Sequence[int] = ()) -> Iterator[None]:
    """Adds the command that resumes the runs to Ctrl-C and to the errors of a full GPU or disk."""
    folder = shown(runs[0].path)
    how = f"{program('mnist')} train --resume {folder}"
    if len(runs) > 1:
        how += f"\nand the same for the other runs up to {shown(runs[-1].path)}"
    if seeds_left:
        how += f"\nNot started: seeds {seeds_left[0]} to {seeds_left[-1]}"
    try:
        with _explain_memory(f"The last checkpoint is in {folder}"):
            yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(
            f"cannot write into {folder}: {error.strerror}. Its last checkpoint remains.\n"
            f"When the disk takes files again, resume with: {how}"
        ) from None
    except KeyboardInterrupt as stop:
        stop.args = (f"{str(stop) or 'stopped'}; the last whole epoch is saved. Resume with: {how}",)
        raise


# Weights that were trained elsewhere.


def import_weights(recipe: Recipe, weights: Mapping[str, Tensor], origin: str, run_name: str | None = None) -> Run:
    """Evaluates weights that were trained elsewhere and returns them as a finished run.

    `weights` are a state dict of the recipe's model. `origin` says where they come from and is recorded as `init_from`.
    The only metrics are those of epoch 0. The run gets its name when it is finished: an import that fails or is killed
    leaves no run.
    """
    started = time.perf_counter()
    Run.check_name(run_name)
    model = initial_model(recipe)
    model.load_state_dict(weights)
    splits = load_splits(recipe)
    execution = resolve_execution(recipe, model, Execution())
    device = torch.device(execution.device)
    model.to(device).to(memory_format=memory_format(model))
    train, val = (
        _score_of(predict(model, image_set, device, progress=image_set.name))
        for image_set in (splits.train_set, splits.validation_set)
    )
    metrics = EpochMetrics(0, 0, 0.0, train.loss, train.accuracy, val.loss, val.accuracy, 0.0, 0.0, 0.0)
    if not math.isfinite(train.loss + val.loss):
        raise UserError(f"{origin}: the loss of these weights is not finite")
    imported = replace(recipe, init_from=origin)
    with Run.staged(run_name, imported, describe_environment(execution), run_label(recipe)) as run:
        log = _tensorboard_log(run, execution, model)
        log.epoch_done(metrics)
        run.append_metrics(metrics)
        save_checkpoint(run.best_checkpoint, {"epoch": 0, "model": dict(weights)})
        evaluate_and_write(run, [metrics], splits, execution, log, time.perf_counter() - started)
    return Run(runs_folder() / run.name)


def _score_of(predictions: Predictions) -> Score:
    return score(torch.from_numpy(predictions.logits), torch.from_numpy(predictions.labels))
