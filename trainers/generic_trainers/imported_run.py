"""A run of weights that were trained elsewhere."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.training_run import Setting, Verdict, build_trainer, judge, new_run, open_log
from trainers.recipe import Recipe
from utils.checkpoints import save_checkpoint
from utils.errors import UserError
from utils.evaluation import predict_logits, score
from utils.run_folder import EpochMetrics


def import_run(recipe: Recipe, weights: Mapping[str, Tensor], origin: str, run_name: str | None) -> Verdict:
    """The weights as a finished run, judged at once. Its only row is epoch 0: nothing was trained here.

    `weights` are a state dict of the recipe's network; `origin` says where they are from, and stands as the `start` of
    the run's recipe. Where the import does not come to its end no folder is left.
    """
    setting = Setting.of(recipe)
    run = new_run(replace(recipe, train=replace(recipe.train, start=origin)), run_name, setting)
    try:
        trainer = build_trainer(recipe, setting, run)
        trainer.model.load_state_dict(weights)
        log = open_log(trainer)
        trainer.observers = (log,)
        row = _row_of_epoch_0(trainer, setting)
        if not math.isfinite(row.train_loss + row.val_loss):
            raise UserError(f"{origin}: with these weights the loss is not finite")
        trainer.record(row)
        save_checkpoint(run.best_checkpoint, {"epoch": 0, "model": dict(weights)})  # as exactly as they came
        return run, judge(recipe, trainer, setting, log)
    except BaseException:
        shutil.rmtree(run.path)
        raise


def _row_of_epoch_0(trainer: BasicTrainer, setting: Setting) -> EpochMetrics:
    train, validation = (
        score(predict_logits(trainer.model, some.images, setting.device, progress=some.name), some.labels)
        for some in (setting.train_set, setting.validation_set)
    )
    return EpochMetrics(
        epoch=0,
        step=0,
        learning_rate=0.0,
        train_loss=train.loss,
        train_accuracy=train.accuracy,
        val_loss=validation.loss,
        val_accuracy=validation.accuracy,
        grad_norm=0.0,
        epoch_seconds=0.0,
        images_per_second=0.0,
    )
