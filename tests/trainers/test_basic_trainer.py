"""BasicTrainer learns, is reproducible, resumes bit-equal, stops when it must, and accepts any model and data."""

import dataclasses
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from training_configs import ALL_AT_ONCE, CPU_FP32

from models.registry import build_model, load_trained
from trainers import BasicTrainer, Execution, Recipe, train
from trainers.generic_trainers.basic_trainer import LAST_KEYS
from trainers.train import initial_model
from utils.checkpoints import load_checkpoint
from utils.errors import UserError
from utils.evaluation import predict, predict_logits
from utils.run import EpochMetrics, Run
from utils.runtime import describe_environment

CPU = torch.device("cpu")
SMALL_CONV = "C(4,5)-P2-FC10"


def make_trainer(recipe, train_set, validation_set, name=None, callbacks=()):
    """A trainer on the CPU, with a run if it gets a name."""
    run = make_run(recipe, name)
    return BasicTrainer(initial_model(recipe), train_set, validation_set, recipe, CPU_FP32, run, callbacks)


def make_run(recipe, name):
    return None if name is None else Run.create(name, recipe, describe_environment(replace(CPU_FP32, threads=1)))


def same_metrics(one: list[EpochMetrics], other: list[EpochMetrics]) -> bool:
    """Equal in everything but the clock."""
    rows = ([replace(row, epoch_seconds=0, images_per_second=0) for row in rows] for rows in (one, other))
    return next(rows) == next(rows)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True)) and list(one) == list(
        other
    )


@pytest.mark.parametrize("model", ["standard_fc", SMALL_CONV, "standard_conv"])
def test_memorises_32_images(few_digits, model):
    images = few_digits.subset(torch.arange(32), "32 images")
    trainer = make_trainer(Recipe(model, num_epochs=40, batch_size=32, learning_rate=3e-3), images, few_digits)
    metrics = trainer.fit()
    assert metrics[-1].train_accuracy == 1.0
    assert metrics[-1].train_loss < 0.1


def test_metrics_describe_each_epoch(few_digits):
    recipe = Recipe("standard_fc", num_epochs=2, batch_size=64, learning_rate=0.01, schedule="step", step_epochs=1)
    trainer = make_trainer(recipe, few_digits, few_digits.subset(torch.arange(50), "validation"), "run")
    metrics = trainer.fit()
    assert metrics == trainer.run.metrics
    assert [row.epoch for row in metrics] == [1, 2]
    assert [row.step for row in metrics] == [4, 8]
    assert [row.learning_rate for row in metrics] == pytest.approx([0.01, 0.001])
    for row in metrics:
        assert row.images_per_second == pytest.approx(200 / row.epoch_seconds)
        assert (
            0 <= row.train_accuracy <= 1 and row.grad_norm > 0 and row.val_accuracy * 50 == round(row.val_accuracy * 50)
        )


def test_first_step_equals_a_hand_computed_gradient_step(few_digits):
    recipe = Recipe("linear", num_epochs=1, batch_size=200, optimizer="sgd", momentum=0.0, learning_rate=0.5)
    trainer = make_trainer(recipe, few_digits, few_digits)
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    row = trainer.train_epoch()
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


def test_same_seed_gives_the_same_result_and_another_seed_another():
    recipe = replace(ALL_AT_ONCE, model=SMALL_CONV)
    a, b, c = (train(recipe, seed=seed, run_name=name) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert same_metrics(a.metrics, b.metrics)
    assert same_weights(load_trained(a).state_dict(), load_trained(b).state_dict())
    assert (a.predictions("test").logits == b.predictions("test").logits).all()
    assert not same_metrics(a.metrics, c.metrics)


def test_streaming_gives_the_same_weights_as_preloading():
    recipe = replace(ALL_AT_ONCE, model=SMALL_CONV)
    runs = [train(recipe, execution=Execution(preload=preload)) for preload in (True, False)]
    assert same_weights(*(load_trained(run).state_dict() for run in runs))


class StopAfter:
    """A callback that interrupts the training in the middle of an epoch."""

    def __init__(self, steps):
        self.steps = steps

    def step_done(self):
        self.steps -= 1
        if self.steps == 0:
            raise KeyboardInterrupt

    def epoch_done(self, metrics):
        pass


@pytest.mark.parametrize("steps", [1, 14, 15, 30])
def test_a_resumed_run_equals_one_that_was_never_stopped(digits, few_digits, steps):
    recipe = replace(ALL_AT_ONCE, model=SMALL_CONV)
    through = make_trainer(recipe, digits, few_digits, "through")
    through.fit()
    stopped = make_trainer(recipe, digits, few_digits, "stopped", [StopAfter(steps)])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    torch.manual_seed(99)  # no state of this process may matter
    resumed = BasicTrainer(build_model(SMALL_CONV), digits, few_digits, recipe, CPU_FP32, stopped.run)
    resumed.load_last()
    assert len(resumed.metrics) == (steps - 1) // 15
    resumed.fit()
    assert same_metrics(through.run.metrics, resumed.run.metrics)
    assert same_weights(through.model.state_dict(), resumed.model.state_dict())
    assert same_weights(load_trained(through.run).state_dict(), load_trained(resumed.run).state_dict())


def test_best_checkpoint_holds_the_best_epoch(digits, few_digits):
    recipe = replace(ALL_AT_ONCE, model=SMALL_CONV, num_epochs=4, learning_rate=0.05)
    trainer = make_trainer(recipe, digits, few_digits, "run")
    best = max(trainer.fit(), key=lambda row: (row.val_accuracy, -row.val_loss))
    logits = predict_logits(load_trained(trainer.run), few_digits.images, CPU)
    right = (logits.argmax(1) == few_digits.labels).float().mean()
    assert right.item() == pytest.approx(best.val_accuracy)


def test_average_is_evaluated_with_new_batch_norm_statistics(digits, few_digits):
    recipe = replace(ALL_AT_ONCE, model="standard_conv", num_epochs=2, ema_decay=0.95)
    trainer = make_trainer(recipe, digits, few_digits)
    trainer.fit()
    average = trainer.evaluated_model
    assert average is not trainer.model
    norm = average.layers.conv1_norm
    assert norm.num_batches_tracked == 15  # the training images once, not the momentum of past steps
    before_norm = average.layers[:2](digits.images.unsqueeze(1).float() / 255)
    torch.testing.assert_close(norm.running_mean, before_norm.mean(dim=(0, 2, 3)), atol=0.02, rtol=0.05)
    assert trainer.metrics[-1].val_accuracy > 0.8


def test_early_stopping_counts_patience(few_digits):
    recipe = Recipe("standard_fc", early_stopping="val_loss", early_stopping_patience=2)
    trainer = make_trainer(recipe, few_digits, few_digits)
    row = EpochMetrics(1, 1, 0.1, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0, 1.0)
    is_done = []
    for val_loss in (1.0, 0.9, 0.95, 0.8, 0.8, 0.9):
        trainer.metrics.append(replace(row, val_loss=val_loss))
        is_done.append(trainer.is_done)
    assert is_done == [False, False, False, False, False, True]


def test_early_stopping_ends_a_training(few_digits):
    recipe = Recipe(
        "linear", num_epochs=50, learning_rate=1e-6, early_stopping="val_accuracy", early_stopping_patience=2
    )
    assert len(make_trainer(recipe, few_digits, few_digits).fit()) < 50


@pytest.mark.parametrize("rate", [1e30, 1e20])
def test_a_loss_that_is_not_finite_is_refused_with_epoch_and_step(few_digits, rate):
    recipe = Recipe("standard_fc", num_epochs=3, batch_size=50, optimizer="sgd", learning_rate=rate)
    trainer = make_trainer(recipe, few_digits, few_digits, "run")
    with pytest.raises(UserError, match=r"not finite in epoch 1, step \d of 4"):
        trainer.fit()
    assert torch.load(trainer.run.last_checkpoint, weights_only=True)["epoch"] == 0  # the last good one remains
    assert trainer.run.metrics == []


def test_gradient_clipping_bounds_the_norm(few_digits):
    trainer = make_trainer(Recipe("standard_fc", gradient_clip_norm=0.01), few_digits, few_digits)
    assert trainer.train_epoch().grad_norm == pytest.approx(0.01, rel=1e-3)


class WorseEachEpoch(BasicTrainer):
    def measure_epoch(self, plan, logits, labels, epoch_seconds):
        return replace(super().measure_epoch(plan, logits, labels, epoch_seconds), val_accuracy=1 / plan.epoch)


@pytest.mark.parametrize(("checkpoint", "expected"), [("best", 1), ("last", 3)])
def test_best_checkpoint_follows_the_recipe(digits, few_digits, checkpoint, expected):
    recipe = replace(ALL_AT_ONCE, model="linear", ema_decay=0, checkpoint=checkpoint)
    run = make_run(recipe, checkpoint)
    WorseEachEpoch(initial_model(recipe), digits, few_digits, recipe, CPU_FP32, run).fit()
    best, last = (
        load_checkpoint(path, keys)
        for path, keys in ((run.best_checkpoint, {"epoch", "model"}), (run.last_checkpoint, LAST_KEYS))
    )
    assert best["epoch"] == expected
    assert same_weights(best["model"], last["model"]) == (checkpoint == "last")


# Any model, any data, any loss.


class MyNet(nn.Module):
    def __init__(self, num_outputs=10):
        super().__init__()
        self.layer = nn.Linear(784, num_outputs)

    def forward(self, images):
        return self.layer(images.flatten(1))


def fitted(train_set, validation_set, kind=BasicTrainer, recipe=Recipe(num_epochs=2)):  # noqa: B008
    torch.manual_seed(0)
    trainer = kind(MyNet(), train_set, validation_set, recipe, CPU_FP32)
    return trainer.fit(), trainer


def test_a_trainer_without_a_run_writes_nothing(few_digits, home):
    metrics, trainer = fitted(few_digits, few_digits)
    assert len(metrics) == 2 and metrics[1].train_loss < metrics[0].train_loss
    assert predict(trainer.model, few_digits).accuracy == pytest.approx(metrics[-1].val_accuracy)
    assert not list(home.iterdir())


def test_tensors_and_data_loaders_train_as_an_image_set_does(few_digits):
    expected, _ = fitted(few_digits, few_digits)
    floats = few_digits.images.unsqueeze(1).float() / 255
    pairs = {
        "uint8": (few_digits.images, few_digits.labels),
        "uint8 with channel": (few_digits.images.unsqueeze(1), few_digits.labels.int()),
        "float": (floats, few_digits.labels),
    }
    for pair in pairs.values():
        assert same_metrics(fitted(pair, few_digits)[0], expected)
        assert same_metrics(fitted(few_digits, DataLoader(TensorDataset(*pair), batch_size=64))[0], expected)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            torch.zeros(5, 32, 32),
            torch.zeros(5).long(),
            r"training set: .* images of shape \(5, 32, 32\), expected uint8 \(n, 28",
        ),
        (torch.zeros(5, 3, 28, 28), torch.zeros(5).long(), r"images of shape \(5, 3, 28, 28\), expected uint8"),
        (torch.randn(5, 28, 28), torch.zeros(5).long(), "expected uint8 or float in"),
        (torch.full((5, 28, 28), torch.nan), torch.zeros(5).long(), "expected uint8 or float in"),
        (torch.full((5, 28, 28), 255), torch.zeros(5).long(), r"training set: torch.int64 images"),
        (torch.zeros(5, 28, 28), torch.zeros(4).long(), r"labels of shape \(4,\), expected int64 \(5,\)"),
        (torch.zeros(5, 28, 28), torch.zeros(5, 10), r"labels of shape \(5, 10\)"),
        (torch.zeros(5, 28, 28), torch.full((5,), 10), "labels from 10 to 10, expected 0 to 9"),
        (torch.zeros(5, 28, 28), torch.full((5,), 0.5), r"training set: torch.float32 labels .*, expected int64"),
        (torch.zeros(0, 28, 28), torch.zeros(0).long(), "expected at least one image"),
    ],
)
def test_bad_tensors_are_refused(few_digits, images, labels, message):
    with pytest.raises(UserError, match=message):
        BasicTrainer(MyNet(), (images, labels), few_digits)
    with pytest.raises(UserError, match=message.replace("training", "validation")):
        BasicTrainer(MyNet(), few_digits, (images, labels))


def test_a_data_loader_without_labels_is_refused(few_digits):
    with pytest.raises(UserError, match="a DataLoader that yields pairs"):
        BasicTrainer(MyNet(), DataLoader(TensorDataset(few_digits.images)), few_digits)


class TupleNet(MyNet):
    def forward(self, images):
        return super().forward(images), images


@pytest.mark.parametrize("model", [TupleNet(), MyNet(num_outputs=12), nn.Flatten(0), nn.Linear(3, 10)])
def test_a_model_whose_output_is_not_logits_is_refused_before_training(few_digits, model):
    with pytest.raises(UserError) as error:
        BasicTrainer(model, few_digits, few_digits)
    assert len(str(error.value).splitlines()) <= 2


class MarginTrainer(BasicTrainer):
    def compute_loss(self, logits, labels):
        return F.multi_margin_loss(logits, labels)


def test_another_loss_is_one_method(few_digits):
    metrics, _ = fitted(few_digits, few_digits, MarginTrainer, Recipe(num_epochs=5, batch_size=200))
    assert metrics[-1].train_accuracy > metrics[0].train_accuracy
    assert metrics[0].train_loss == pytest.approx(2.3, abs=0.3)  # still the cross-entropy
    torch.manual_seed(0)
    start = MyNet()
    pixels = few_digits.images.unsqueeze(1).float() / 255
    F.multi_margin_loss(start(pixels), few_digits.labels).backward()
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in start.parameters()])
    assert metrics[0].grad_norm == pytest.approx(float(norm), rel=1e-4)


class NoTraining(BasicTrainer):
    def train_step(self, images, labels):
        assert images.shape[1:] == (1, 28, 28)
        return 100.0 * F.one_hot(labels, 10)


def test_another_step_is_one_method(few_digits):
    start = {name: value.clone() for name, value in build_model("linear").state_dict().items()}
    model = build_model("linear")
    model.load_state_dict(start)
    (metrics,) = NoTraining(model, few_digits, few_digits, Recipe(num_epochs=1), CPU_FP32).fit()
    assert metrics.train_accuracy == 1.0 and metrics.val_accuracy < 0.5
    assert same_weights(model.state_dict(), start)


def test_execution_is_resolved(few_digits):
    trainer = BasicTrainer(MyNet(), few_digits, few_digits, execution=Execution(device="cpu"))
    values = dataclasses.asdict(trainer.execution)
    assert "auto" not in values.values() and None not in values.values()
