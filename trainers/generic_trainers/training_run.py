"""From a recipe to a judged run: data, model, trainer, final evaluation."""

import time
from typing import Any

import torch
from torch import nn

from models.registry import build_model, num_parameters
from models.trained import load_trained
from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.progress import Progress
from trainers.generic_trainers.tensorboard_log import TensorBoardLog
from trainers.recipe import Recipe
from utils.answers import Answers
from utils.datasets import load_dataset, load_training_sets
from utils.devices import choose_device, choose_precision
from utils.environment import describe_environment
from utils.errors import DISK_ERRORS, UserError
from utils.evaluation import predict_logits, score
from utils.image_set import ImageSet
from utils.paths import program, shown
from utils.randomness import random_seed
from utils.run_folder import RunFolder, best_row


def train(
    recipe: Recipe, run_name: str | None = None, resumed: RunFolder | None = None
) -> tuple[RunFolder, dict[str, Any]]:
    """Trains, chooses the best epoch by validation, looks at the test set once. Returns the run and its summary.

    Makes a new run, or goes on with `resumed`, whose recipe must be this one. All that can be wrong with the
    recipe is found before the folder is made. Raises UserError; after Ctrl-C KeyboardInterrupt, with what to do next.
    """
    started = time.perf_counter()
    config = recipe.train
    device = choose_device(config.device)
    torch.manual_seed(random_seed(config.seed, 0, "initialisation"))
    model = build_model(recipe.model)
    precision = choose_precision(config.precision, device, model)
    train_set, validation_set = load_training_sets(config.dataset, config.validation_size)
    test_set = load_dataset(config.dataset, "test")  # had now rather than found missing in the end; looked at then
    run = resumed or _new_run(recipe, run_name, device)

    go_on = f"{program('mnist')} train --resume {shown(run.path)}"
    try:
        return run, _train_and_judge(
            recipe, model, precision, (train_set, validation_set, test_set), run, device, started
        )
    except torch.OutOfMemoryError:
        raise UserError(
            f"{device} has too little memory: try a smaller --batch-size or --no-preload.\n"
            f"What was trained lies in {shown(run.path)}"
        ) from None
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(
            f"cannot write into {shown(run.path)}: {error.strerror}. Its last good checkpoint stays.\n"
            f"Make room and go on with: {go_on}"
        ) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the last whole epoch is saved. Go on with: {go_on}") from None


def _new_run(recipe: Recipe, run_name: str | None, device: torch.device) -> RunFolder:
    run = RunFolder.create(run_name, recipe.model, recipe.train.seed)
    run.write_json("environment.json", describe_environment(device))
    run.write_json("config.json", recipe.to_json())
    return run


def _train_and_judge(
    recipe: Recipe,
    model: nn.Module,
    precision: str,
    sets: tuple[ImageSet, ImageSet, ImageSet],
    run: RunFolder,
    device: torch.device,
    started: float,
) -> dict[str, Any]:
    train_set, validation_set, test_set = sets
    progress = Progress(recipe.train.num_epochs)
    trainer = BasicTrainer(model, recipe.train, train_set, validation_set, run, device, precision, started=started)
    if run.last_checkpoint.exists() or run.rows():  # else it is new, or was stopped before its first step
        trainer.load_last()
    log = TensorBoardLog(run, trainer.rows)
    if not trainer.rows:
        log.begin(trainer.model, device)
    trainer.observers = (progress, log)
    print(f"{recipe.model}: {num_parameters(model):,} parameters, {precision} on {device}, {len(train_set):,} digits")
    with progress.bar(trainer.steps_per_epoch, len(trainer.rows)):
        trainer.fit()
    return _judge(recipe, trainer, validation_set, test_set, log)


def _judge(
    recipe: Recipe, trainer: BasicTrainer, validation_set: ImageSet, test_set: ImageSet, log: TensorBoardLog
) -> dict[str, Any]:
    """The verdict on the best epoch's weights as anyone loads them, in fp32, and the run's last files."""
    run, device = trainer.run, trainer.device
    model = load_trained(run, device)
    logits = predict_logits(model, test_set.images, device).cpu()
    test = score(logits, test_set.labels)
    validation = score(predict_logits(model, validation_set.images, device), validation_set.labels)
    best = best_row(trainer.rows)
    answers = Answers(logits.numpy(), test_set.labels.numpy())
    answers.save(run.test_predictions)
    summary = {
        "model": recipe.model,
        "num_parameters": num_parameters(model),
        "seed": recipe.train.seed,
        "device": str(device),
        "precision": trainer.precision,
        "num_epochs_run": len(trainer.rows),
        "best_epoch": best.epoch,
        "best_val_accuracy": best.val_accuracy,
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
