"""A run of weights that were trained elsewhere."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.training_run import Setting, Verdict, build_trainer, judge, new_run, open_log
from trainers.recipe import Recipe
from utils.checkpoints import save_checkpoint
from utils.evaluation import predict_logits, score
from utils.run_folder import EpochMetrics


def import_run(recipe: Recipe, weights: Mapping[str, Tensor], run_name: str | None, origin: dict[str, Any]) -> Verdict:
    """The weights as a finished run, judged at once. Its only row is epoch 0: nothing was trained here.

    `weights` are a state dict of the recipe's network; `origin` is what environment.json says of where they are from.
    """
    setting = Setting.of(recipe)
    run = new_run(recipe, run_name, setting, origin)
    trainer = build_trainer(recipe, setting, run)
    trainer.model.load_state_dict(weights)
    log = open_log(trainer)
    trainer.observers = (log,)
    trainer.record(_row_of_epoch_0(trainer, setting))
    save_checkpoint(run.best_checkpoint, {"epoch": 0, "model": dict(weights)})  # as exactly as they came
    return run, judge(recipe, trainer, setting, log)


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
