"""Training by the NumPy engine: the run that torch would have made, and what a run promises."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.trained import load_trained
from trainers.generic_trainers.training_run import train
from trainers.recipe import Recipe, TrainConfig
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.run_folder import MEDIANS, RunFolder

CONFIG = TrainConfig(dataset="digits", num_epochs=2, batch_size=100, engine="numpy", device="cpu", precision="fp32")
MODEL = "C(4,5)-BN-P2-FC16-FC10"
EVERYTHING = replace(
    CONFIG, schedule="one_cycle", learning_rate=0.01, label_smoothing=0.05, gradient_clip_norm=1.0,
    rotation_degrees=10, translation_pixels=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "apart"),
    [(CONFIG, 5e-3), (EVERYTHING, 5e-2), (replace(EVERYTHING, optimizer="sgd"), 5e-2)],  # large steps let rounding grow
    ids=["plain", "everything", "sgd"],
)
def test_the_run_is_torchs_within_rounding(config, apart):
    ours, summary = train(Recipe(MODEL, config), "numpy")
    theirs, torch_summary = train(Recipe(MODEL, replace(config, engine="torch")), "torch")
    for row, torch_row in zip(ours.rows(), theirs.rows(), strict=True):
        assert row.train_loss == pytest.approx(torch_row.train_loss, rel=apart)
        assert row.val_loss == pytest.approx(torch_row.val_loss, rel=apart)
        assert row.grad_norm == pytest.approx(torch_row.grad_norm, rel=10 * apart)
    assert abs(summary["test_num_correct"] - torch_summary["test_num_correct"]) <= 3
    assert set(summary) == set(torch_summary) and summary["num_parameters"] == torch_summary["num_parameters"]


def test_the_saved_network_is_the_trained_one_and_medians_are_written_down():
    run, summary = train(Recipe(MODEL, replace(CONFIG, learning_rate=0.01)), "numpy")
    test_set = load_dataset("digits", "test")
    logits = predict_logits(load_trained(run), test_set.images, torch.device("cpu"))
    assert int((logits.argmax(1) == test_set.labels).sum()) == summary["test_num_correct"] > 200
    medians = [json.loads(line) for line in (run.path / MEDIANS).read_text().splitlines()]
    assert [entry["epoch"] for entry in medians] == [1, 2]
    assert 0 < medians[1]["median_loss"] < run.rows()[1].train_loss


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_resumed_run_ends_bit_equal(precision, monkeypatch):
    recipe = Recipe("C(4,5)-P2-D0.3-FC10", replace(CONFIG, num_epochs=3, precision=precision))
    whole, _ = train(recipe, "whole")

    from trainers.generic_trainers.numpy_trainer import NumpyTrainer

    plain = NumpyTrainer.plan_epoch

    def stopped(self, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return plain(self, epoch)

    monkeypatch.setattr(NumpyTrainer, "plan_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, "stopped")
    monkeypatch.setattr(NumpyTrainer, "plan_epoch", plain)
    resumed, _ = train(recipe, None, RunFolder.find("stopped"))
    for one, other in zip(whole.rows(), resumed.rows(), strict=True):
        assert replace(one, epoch_seconds=0, images_per_second=0) == replace(
            other, epoch_seconds=0, images_per_second=0
        )
    weights = [torch.load(run.best_checkpoint, weights_only=True)["model"] for run in (whole, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert weights[0]["layers.logits.weight"].dtype == (torch.float64 if precision == "fp64" else torch.float32)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("standard_conv", {}, "runs model strings"),
        (MODEL, {"optimizer": "adamw"}, "--optimizer adamw"),
        (MODEL, {"weight_decay": 0.1}, "--weight-decay"),
        (MODEL, {"ema_decay": 0.9}, "--ema-decay"),
        (MODEL, {"precision": "bf16"}, "--precision bf16"),
        (MODEL, {"compile": "inductor"}, "--compile inductor"),
        (MODEL, {"device": "cuda"}, "cuda"),
        (MODEL, {"engine": "torch", "precision": "fp64"}, "fp64"),
    ],
)
def test_what_the_engine_does_not_do_is_refused_before_a_folder_is_made(model, changes, message):
    with pytest.raises(UserError, match=message):
        train(Recipe(model, replace(CONFIG, **changes)))
    assert not RunFolder.all()


def test_a_loss_that_is_not_finite_stops_the_run():
    with pytest.raises(UserError, match="not finite"), np.errstate(all="ignore"):
        train(Recipe("FC16-FC10", replace(CONFIG, optimizer="sgd", learning_rate=1e30)))
