"""Networks trained together end as they would alone; networks that cannot be stacked are trained in turn."""

import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from training_configs import ALL_AT_ONCE, CPU_FP32

from models.registry import load_trained
from trainers import BasicTrainer, Execution, Recipe, resume, train, train_seeds
from trainers.generic_trainers.numpy_trainer import NumpyTrainer
from trainers.generic_trainers.stacked_trainer import StackedTrainer
from trainers.train import initial_model, num_together
from utils.errors import UserError
from utils.run import Run
from utils.runtime import describe_environment

CPU = Execution(device="cpu")
RECIPE = Recipe("standard_fc", dataset="digits", num_epochs=3, batch_size=100, learning_rate=0.003)
EVERYTHING = replace(ALL_AT_ONCE, model="standard_fc", learning_rate=0.003)
MOMENTUM = replace(RECIPE, optimizer="sgd", learning_rate=0.05, checkpoint="last")


@pytest.mark.parametrize("recipe", [RECIPE, EVERYTHING, MOMENTUM], ids=["plain", "everything", "momentum"])
def test_each_network_ends_as_it_would_alone(recipe):
    together, failures = train_seeds(recipe, [0, 3], run_name="together", execution=CPU)
    assert not failures
    for seed, run in zip([0, 3], together, strict=True):
        alone = train(recipe, seed=seed, run_name=f"alone-s{seed}", execution=CPU)
        assert run.name == f"together-s{seed}"
        assert run.recipe == alone.recipe
        assert run.environment["execution"]["num_together"] == 2
        for name, weights in load_trained(alone).state_dict().items():
            torch.testing.assert_close(load_trained(run).state_dict()[name], weights, rtol=1e-3, atol=1e-4)
        for ours, expected in zip(run.metrics, alone.metrics, strict=True):
            assert ours.learning_rate == expected.learning_rate and ours.step == expected.step
            assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
            assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-3)
            assert ours.grad_norm == pytest.approx(expected.grad_norm, rel=1e-2)
        assert run.summary.best_epoch == alone.summary.best_epoch
        assert abs(run.summary.test_num_correct - alone.summary.test_num_correct) <= 1


class StopAfterEpoch2:
    """A callback that interrupts the training after the second epoch of the last of two networks."""

    def step_done(self):
        pass

    def epoch_done(self, metrics):
        self.num_second_epochs = getattr(self, "num_second_epochs", 0) + (metrics.epoch == 2)
        if self.num_second_epochs == 2:
            raise KeyboardInterrupt


def test_a_network_of_a_stack_resumes_alone():
    recipe = replace(EVERYTHING, model="linear")
    _, whole = train_seeds(recipe, [0, 1], run_name="whole")[0]
    with pytest.raises(KeyboardInterrupt, match=r"--resume .*cut-s0\nand the same for the other runs up to .*cut-s1"):
        train_seeds(recipe, [0, 1], run_name="cut", callbacks=[StopAfterEpoch2()])
    run = Run.find("cut-s1")
    assert len(run.metrics) == 2
    assert run.last_checkpoint.stat().st_size < 400_000  # its own tensors, not those of the stack
    resume(run)
    for ours, expected in zip(run.metrics, whole.metrics, strict=True):
        assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
        assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-3)


def test_each_network_stops_early_by_itself():
    recipe = replace(RECIPE, num_epochs=12, early_stopping="val_loss", early_stopping_patience=1, learning_rate=0.1)
    seeds = [0, 1, 2]
    together, _ = train_seeds(recipe, seeds, run_name="together")
    alone = [train(recipe, seed=seed) for seed in seeds]
    assert [len(run.metrics) for run in together] == [len(run.metrics) for run in alone]
    assert len({len(run.metrics) for run in together}) > 1


class FailsForSeed1(BasicTrainer):
    def measure_epoch(self, *arguments):
        if self.recipe.seed == 1:
            raise UserError("the loss is not finite")
        return super().measure_epoch(*arguments)


def stack_of(seeds, few_digits, kind=BasicTrainer, recipe=RECIPE, with_runs=False):
    environment = describe_environment(replace(CPU_FP32, threads=1))
    return StackedTrainer(
        [
            kind(
                initial_model(recipe.with_seed(seed)), few_digits, few_digits, recipe.with_seed(seed), CPU,
                Run.create(f"s{seed}", recipe.with_seed(seed), environment) if with_runs else None,
            )
            for seed in seeds
        ]
    )  # fmt: skip


def test_a_network_that_fails_does_not_stop_the_others(few_digits):
    stacked = stack_of([0, 1, 2], few_digits, FailsForSeed1, with_runs=True)
    stacked.fit()
    assert [len(trainer.run.metrics) for trainer in stacked.trainers] == [3, 0, 3]
    assert list(stacked.failures) == [1]


class FailOnce:
    """A callback that stops the first network it sees."""

    has_failed = False

    def step_done(self):
        pass

    def epoch_done(self, _):
        if not self.has_failed:
            self.has_failed = True
            raise UserError("stopped on purpose")


@pytest.mark.parametrize("model", ["linear", "C(2,5)-P2-FC10"])  # together and in turn
def test_train_seeds_returns_finished_runs_and_failures(model):
    runs, failures = train_seeds(replace(RECIPE, model=model), [1, 2], run_name="some", callbacks=[FailOnce()])
    assert [run.name for run in runs] == ["some-s2"] and "on purpose" in str(failures[1])
    assert [run.is_finished for run in Run.all()] == [False, True]


class MarginTrainer(BasicTrainer):
    def compute_loss(self, logits, labels):
        return F.multi_margin_loss(logits, labels)


@pytest.mark.parametrize(
    ("kind", "recipe", "message"),
    [
        (MarginTrainer, RECIPE, "MarginTrainer overrides compute_loss"),
        (NumpyTrainer, replace(RECIPE, model="FC16-FC10"), "NumpyTrainer overrides train_step"),
        (BasicTrainer, replace(RECIPE, model="C(2,5)-P2-FC10"), "cannot be trained together"),
    ],
)
def test_networks_that_cannot_be_stacked_are_refused(few_digits, kind, recipe, message):
    with pytest.raises(UserError, match=message):
        stack_of([0, 1], few_digits, kind, recipe)


@pytest.mark.parametrize(
    ("changes", "execution", "expected"),
    [
        ({"model": "linear"}, CPU, 8),
        ({"model": "standard_fc"}, CPU, 8),
        ({"model": "FC20-FC10"}, CPU, 8),
        ({"model": "standard_conv"}, CPU, 1),
        ({"model": "C(2,5)-P2-FC10"}, CPU, 1),
        ({"model": "FC20-FC10", "backend": "numpy"}, CPU, 1),
        ({"schedule": "plateau"}, CPU, 1),
        ({}, replace(CPU, preload=False), 1),
        ({}, replace(CPU, compile="inductor"), 1),
    ],
)
def test_number_of_networks_trained_together_on_a_cpu(changes, execution, expected):
    assert num_together(replace(RECIPE, **changes), execution) == expected


def test_networks_that_do_not_stack_are_trained_in_turn():
    started = time.perf_counter()
    runs, _ = train_seeds(replace(RECIPE, model="C(2,5)-P2-FC10", num_epochs=1), [4, 5])
    seconds = time.perf_counter() - started
    assert [run.summary.seed for run in runs] == [4, 5]
    assert sum(run.summary.total_seconds for run in runs) <= seconds  # no time is counted twice
    assert all(run.environment["execution"]["num_together"] == 1 for run in runs)


def test_a_taken_name_is_refused_before_training():
    Run.create("mine-s2", RECIPE, describe_environment(replace(CPU_FP32, threads=1)))
    with pytest.raises(UserError, match="mine-s2 exists and is never overwritten"):
        train_seeds(replace(RECIPE, model="linear"), [0, 1, 2], run_name="mine")
    assert len(Run.all()) == 1
