"""The trainer's promises: it learns, it repeats itself, it goes on as if never stopped, it stops when it must."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_configs import ALL_AT_ONCE

from models.registry import build_model
from models.trained import load_trained
from trainers.generic_trainers.basic_trainer import LAST_KEYS, BasicTrainer
from trainers.generic_trainers.training_run import train
from trainers.recipe import Recipe, TrainConfig
from utils.checkpoints import load_checkpoint
from utils.devices import choose_device
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.randomness import random_seed
from utils.run_folder import EpochMetrics, RunFolder

CPU = choose_device("cpu")
SMALL_CONV = "C(4,5)-P2-FC10"


def make_trainer(config, train_set, validation_set, model="standard_fc", name="run"):
    torch.manual_seed(random_seed(config.seed, 0, "initialisation"))
    run = RunFolder.create(name, model, config.seed)
    run.write_json("config.json", Recipe(model, config).to_json())
    return BasicTrainer(build_model(model), config, train_set, validation_set, run, CPU, "fp32")


def same_rows(one: list[EpochMetrics], other: list[EpochMetrics]) -> bool:
    """Equal in all but the clock."""
    rows = ([dataclasses.replace(row, epoch_seconds=0, images_per_second=0) for row in rows] for rows in (one, other))
    return next(rows) == next(rows)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True)) and list(one) == list(
        other
    )


@pytest.mark.parametrize("model", ["standard_fc", SMALL_CONV, "standard_conv"])
def test_learns_32_digits_by_heart(few_digits, model):
    memorised = few_digits.subset(torch.arange(32), "32 digits")
    trainer = make_trainer(TrainConfig(num_epochs=40, batch_size=32, learning_rate=3e-3), memorised, few_digits, model)
    trainer.fit()
    assert trainer.rows[-1].train_accuracy == 1.0
    assert trainer.rows[-1].train_loss < 0.1


def test_rows_say_what_happened(few_digits):
    config = TrainConfig(num_epochs=2, batch_size=64, learning_rate=0.01, schedule="step", step_epochs=1)
    trainer = make_trainer(config, few_digits, few_digits.subset(torch.arange(50), "validation"))
    trainer.fit()
    rows = trainer.run.rows()
    assert rows == trainer.rows
    assert [row.epoch for row in rows] == [1, 2]
    assert [row.step for row in rows] == [4, 8]
    assert [row.learning_rate for row in rows] == pytest.approx([0.01, 0.001])
    for row in rows:
        assert row.images_per_second == pytest.approx(200 / row.epoch_seconds)
        assert (
            0 <= row.train_accuracy <= 1 and row.grad_norm > 0 and row.val_accuracy * 50 == round(row.val_accuracy * 50)
        )


def test_first_step_is_the_gradient_step_by_hand(few_digits):
    config = TrainConfig(num_epochs=1, batch_size=200, optimizer="sgd", momentum=0.0, learning_rate=0.5)
    trainer = make_trainer(config, few_digits, few_digits, "linear")
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    row = trainer.train_epoch(1)
    pixels = (
        (few_digits.images.double() / 255 - start["layers.standardize.mean"].double())
        / start["layers.standardize.std"].double()
    ).flatten(1)
    logits = pixels @ start["layers.logits.weight"].double().T + start["layers.logits.bias"].double()
    error = logits.softmax(1) - torch.nn.functional.one_hot(few_digits.labels, 10)
    gradient = error.T @ pixels / len(few_digits)  # softmax with cross-entropy: (p - y) x, averaged
    expected = start["layers.logits.weight"] - 0.5 * gradient
    torch.testing.assert_close(trainer.model.layers.logits.weight.double(), expected, atol=1e-5, rtol=1e-4)
    assert row.grad_norm == pytest.approx(
        float((gradient.square().sum() + error.mean(0).square().sum()).sqrt()), rel=1e-4
    )


def test_same_seed_same_result_other_seed_other_result():
    summaries = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run, _ = train(Recipe(SMALL_CONV, replace(ALL_AT_ONCE, seed=seed)), name)
        summaries.append((run.rows(), load_trained(run).state_dict(), np.load(run.test_predictions)["logits"]))
    assert same_rows(summaries[0][0], summaries[1][0])
    assert same_weights(summaries[0][1], summaries[1][1])
    assert np.array_equal(summaries[0][2], summaries[1][2])
    assert not same_rows(summaries[0][0], summaries[2][0])


def test_streaming_gives_the_same_weights_as_preloading():
    runs = [
        train(Recipe(SMALL_CONV, replace(ALL_AT_ONCE, preload=preload)), str(preload))[0] for preload in (True, False)
    ]
    assert same_weights(*(load_trained(run).state_dict() for run in runs))


class StopAfter:
    """Breaks a training off in the middle of an epoch."""

    def __init__(self, steps):
        self.steps = steps

    def step_done(self):
        self.steps -= 1
        if self.steps == 0:
            raise KeyboardInterrupt

    def epoch_done(self, row):
        pass


@pytest.mark.parametrize("steps", [1, 14, 15, 30])
def test_resumed_run_equals_one_that_never_stopped(digits, few_digits, steps):
    config = replace(ALL_AT_ONCE, num_epochs=3)
    through = make_trainer(config, digits, few_digits, SMALL_CONV, "through")
    through.fit()
    stopped = make_trainer(config, digits, few_digits, SMALL_CONV, "stopped")
    stopped.observers = [StopAfter(steps)]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    torch.manual_seed(99)  # nothing of this process's state may matter
    resumed = BasicTrainer(build_model(SMALL_CONV), config, digits, few_digits, stopped.run, CPU, "fp32")
    resumed.load_last()
    assert len(resumed.rows) == (steps - 1) // 15
    resumed.fit()
    assert same_rows(through.run.rows(), resumed.run.rows())
    assert same_weights(through.model.state_dict(), resumed.model.state_dict())
    assert same_weights(load_trained(through.run).state_dict(), load_trained(resumed.run).state_dict())


def test_best_checkpoint_is_the_best_epoch(digits, few_digits):
    trainer = make_trainer(replace(ALL_AT_ONCE, num_epochs=4, learning_rate=0.05), digits, few_digits, SMALL_CONV)
    trainer.fit()
    best = max(trainer.rows, key=lambda row: (row.val_accuracy, -row.val_loss))
    logits = predict_logits(load_trained(trainer.run), few_digits.images, CPU)
    right = (logits.argmax(1) == few_digits.labels).float().mean()
    assert right.item() == pytest.approx(best.val_accuracy)


def test_average_is_judged_with_fresh_batch_norm_statistics(digits, few_digits):
    config = replace(ALL_AT_ONCE, num_epochs=2, ema_decay=0.95)
    trainer = make_trainer(config, digits, few_digits, "standard_conv")
    trainer.fit()
    norm = trainer.average.module.layers.conv1_norm
    assert norm.num_batches_tracked == 15  # the training digits once, not the momentum of past steps
    before_norm = trainer.average.module.layers[:2](digits.images.unsqueeze(1).float() / 255)
    torch.testing.assert_close(norm.running_mean, before_norm.mean(dim=(0, 2, 3)), atol=0.02, rtol=0.05)
    assert trainer.rows[-1].val_accuracy > 0.8


def test_early_stopping_counts_patience(few_digits):
    trainer = make_trainer(TrainConfig(early_stopping="val_loss", early_stopping_patience=2), few_digits, few_digits)
    row = EpochMetrics(1, 1, 0.1, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0, 1.0)
    verdicts = []
    for val_loss in (1.0, 0.9, 0.95, 0.8, 0.8, 0.9):
        trainer.rows.append(replace(row, val_loss=val_loss))
        verdicts.append(trainer.has_stalled())
    assert verdicts == [False, False, False, False, False, True]


def test_early_stopping_ends_a_run(few_digits):
    config = TrainConfig(num_epochs=50, learning_rate=1e-6, early_stopping="val_accuracy", early_stopping_patience=2)
    trainer = make_trainer(config, few_digits, few_digits, "linear")
    trainer.fit()
    assert len(trainer.rows) < 50


@pytest.mark.parametrize("rate", [1e30, 1e20])
def test_loss_that_is_not_finite_names_epoch_and_step(few_digits, rate):
    config = TrainConfig(num_epochs=3, batch_size=50, optimizer="sgd", learning_rate=rate)
    trainer = make_trainer(config, few_digits, few_digits)
    with pytest.raises(UserError, match=r"not finite in epoch 1, step \d of 4"):
        trainer.fit()
    assert torch.load(trainer.run.last_checkpoint, weights_only=True)["epoch"] == 0  # the last good one stays
    assert trainer.run.rows() == []


def test_gradient_clipping_bounds_the_norm(few_digits):
    trainer = make_trainer(TrainConfig(gradient_clip_norm=0.01), few_digits, few_digits)
    assert trainer.train_epoch(1).grad_norm == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("judged_epoch", "expected"), [("best", 1), ("last", 3)])
def test_the_run_ends_with_the_epoch_that_was_asked_for(monkeypatch, judged_epoch, expected):
    judge = BasicTrainer.judge_epoch

    def worse_each_epoch(self, epoch, *values):
        return dataclasses.replace(judge(self, epoch, *values), val_accuracy=1 / epoch)

    monkeypatch.setattr(BasicTrainer, "judge_epoch", worse_each_epoch)
    run, summary = train(Recipe("linear", replace(ALL_AT_ONCE, ema_decay=0, judged_epoch=judged_epoch)), judged_epoch)
    best, last = (
        load_checkpoint(path, keys)
        for path, keys in ((run.best_checkpoint, {"epoch", "model"}), (run.last_checkpoint, LAST_KEYS))
    )
    assert summary["best_epoch"] == best["epoch"] == expected
    assert same_weights(best["model"], last["model"]) == (judged_epoch == "last")
