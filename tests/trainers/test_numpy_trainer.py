"""Training with the NumPy backend: the same run as torch's, and every promise of a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.numpy_models.network import cross_entropy_gradient
from models.registry import load_trained
from trainers import Execution, Recipe, resume, train
from trainers.generic_trainers.numpy_trainer import NumpyTrainer
from trainers.generic_trainers.optimization import training_loss
from trainers.train import initial_model
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import predict
from utils.run import Run

MODEL = "C(4,5)-BN-P2-FC16-FC10"
RECIPE = Recipe(MODEL, dataset="digits", num_epochs=2, batch_size=100, backend="numpy")
EVERYTHING = replace(
    RECIPE, schedule="one_cycle", learning_rate=0.01, label_smoothing=0.05, gradient_clip_norm=1.0,
    rotation_degrees=10, translation_pixels=1,
)  # fmt: skip
FP32 = Execution(device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("recipe", "tolerance"),
    [(RECIPE, 5e-3), (EVERYTHING, 5e-2), (replace(EVERYTHING, optimizer="sgd"), 5e-2)],  # rounding grows with the steps
    ids=["plain", "everything", "sgd"],
)
def test_the_run_equals_torchs_within_rounding(recipe, tolerance):
    ours = train(recipe, run_name="numpy", execution=FP32)
    theirs = train(recipe, backend="torch", run_name="torch", execution=FP32)
    for row, torch_row in zip(ours.metrics, theirs.metrics, strict=True):
        assert row.train_loss == pytest.approx(torch_row.train_loss, rel=tolerance)
        assert row.val_loss == pytest.approx(torch_row.val_loss, rel=tolerance)
        assert row.grad_norm == pytest.approx(torch_row.grad_norm, rel=10 * tolerance)
    assert abs(ours.summary.test_num_correct - theirs.summary.test_num_correct) <= 3
    assert ours.summary.num_parameters == theirs.summary.num_parameters


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_numpy_and_torch_have_the_same_loss(label_smoothing):
    logits = torch.randn(7, 10, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(10, (7,))
    (expected,) = torch.autograd.grad(training_loss(logits, labels, Recipe(label_smoothing=label_smoothing)), logits)
    ours = cross_entropy_gradient(logits.detach().numpy(), labels.numpy(), label_smoothing)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-12)


def test_the_saved_network_is_the_trained_one_and_metrics_have_the_median_loss():
    run = train(RECIPE, learning_rate=0.01, execution=FP32)
    predictions = predict(load_trained(run), load_dataset("digits", "test"))
    assert int(predictions.is_correct.sum()) == run.summary.test_num_correct > 200
    assert all(0 < row.median_train_loss < row.train_loss for row in run.metrics)


class StopInEpoch3:
    """A callback that interrupts the training in its third epoch."""

    num_epochs = 0

    def step_done(self):
        if self.num_epochs == 2:
            raise KeyboardInterrupt

    def epoch_done(self, _):
        self.num_epochs += 1


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_resumed_run_is_bit_equal(precision):
    recipe = replace(RECIPE, model="C(4,5)-P2-D0.3-FC10", num_epochs=3)
    execution = Execution(precision=precision)
    whole = train(recipe, run_name="whole", execution=execution)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run_name="stopped", execution=execution, callbacks=[StopInEpoch3()])
    resumed = resume(Run.find("stopped"))
    assert resumed.execution.precision == precision
    for one, other in zip(whole.metrics, resumed.metrics, strict=True):
        assert replace(one, epoch_seconds=0, images_per_second=0) == replace(
            other, epoch_seconds=0, images_per_second=0
        )
    weights = [torch.load(run.best_checkpoint, weights_only=True)["model"] for run in (whole, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert weights[0]["layers.logits.weight"].dtype == (torch.float64 if precision == "fp64" else torch.float32)


@pytest.mark.parametrize(
    ("changes", "execution", "message"),
    [
        ({"model": "standard_conv"}, FP32, "runs model strings"),
        ({"optimizer": "adamw"}, FP32, "--optimizer adamw: not in the NumPy backend, expected adam or sgd"),
        ({"weight_decay": 0.1}, FP32, "--weight-decay 0.1: not in the NumPy backend"),
        ({"ema_decay": 0.9}, FP32, "--ema-decay"),
        ({}, Execution(precision="bf16"), "--precision bf16: the NumPy backend expects auto or fp32 or fp64"),
        ({}, Execution(compile="inductor"), "--compile inductor"),
        ({}, Execution(device="cuda"), "--device cuda"),
        ({"backend": "torch"}, Execution(precision="fp64"), "'fp64' needs --backend numpy"),
    ],
)
def test_what_the_backend_lacks_is_refused_before_a_folder_is_made(changes, execution, message):
    with pytest.raises(UserError, match=message):
        train(RECIPE, execution=execution, **changes)
    assert not Run.all()


class MarginTrainer(NumpyTrainer):
    def compute_loss(self, logits, labels):
        return F.multi_margin_loss(logits, labels)


def test_another_loss_is_refused(few_digits):
    with pytest.raises(UserError, match="only the cross-entropy loss"):
        MarginTrainer(initial_model(RECIPE), few_digits, few_digits, RECIPE)


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(UserError, match="not finite"), np.errstate(all="ignore"):
        train(RECIPE, model="FC16-FC10", optimizer="sgd", learning_rate=1e30)
