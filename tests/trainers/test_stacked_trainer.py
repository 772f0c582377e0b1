"""Networks trained together end as they would alone; and what cannot be stacked is not."""

import time
from dataclasses import replace

import pytest
import torch
from training_configs import ALL_AT_ONCE

from models.registry import build_model
from models.trained import load_trained
from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.stacked_trainer import StackedTrainer, stack_size
from trainers.generic_trainers.training_run import train, train_seeds
from trainers.recipe import Recipe, TrainConfig
from utils.errors import UserError
from utils.run_folder import RunFolder

CPU = torch.device("cpu")
CONFIG = TrainConfig(dataset="digits", num_epochs=3, batch_size=100, learning_rate=0.003, device="cpu")
EVERYTHING = replace(ALL_AT_ONCE, learning_rate=0.003, device="cpu")
MOMENTUM = replace(CONFIG, optimizer="sgd", learning_rate=0.05, judged_epoch="last")


@pytest.mark.parametrize("config", [CONFIG, EVERYTHING, MOMENTUM], ids=["plain", "everything", "momentum"])
def test_each_network_is_what_it_would_be_alone(config):
    together, failures = train_seeds(Recipe("standard_fc", config), [0, 3], "together")
    assert not failures
    for seed, (run, summary) in zip([0, 3], together, strict=True):
        alone, alone_summary = train(Recipe("standard_fc", replace(config, seed=seed)), f"alone-s{seed}")
        assert run.path.name == f"together-s{seed}"
        assert Recipe.from_json(run.config()) == Recipe.from_json(alone.config())
        assert run.read_json("environment.json")["num_together"] == 2
        for name, weights in load_trained(alone).state_dict().items():
            torch.testing.assert_close(load_trained(run).state_dict()[name], weights, rtol=1e-3, atol=1e-4)
        for ours, expected in zip(run.rows(), alone.rows(), strict=True):
            assert ours.learning_rate == expected.learning_rate and ours.step == expected.step
            assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
            assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-3)
            assert ours.grad_norm == pytest.approx(expected.grad_norm, rel=1e-2)
        assert summary["best_epoch"] == alone_summary["best_epoch"]
        assert abs(summary["test_num_correct"] - alone_summary["test_num_correct"]) <= 1


def test_a_network_of_a_stack_goes_on_alone(monkeypatch):
    recipe = Recipe("linear", EVERYTHING)
    whole, _ = train_seeds(recipe, [0, 1], "whole")[0][1]
    train_epoch = StackedTrainer.train_epoch

    def stop_in_the_third(self, epoch, *values):
        if epoch == 3:
            raise KeyboardInterrupt
        train_epoch(self, epoch, *values)

    monkeypatch.setattr(StackedTrainer, "train_epoch", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt, match=r"--resume .*cut-s0\nand likewise with the other runs up to .*cut-s1"):
        train_seeds(recipe, [0, 1], "cut")
    run = RunFolder.find("cut-s1")
    assert len(run.rows()) == 2
    assert run.last_checkpoint.stat().st_size < 400_000  # its own tensors alone, not the whole stack's
    train(Recipe.from_json(run.config()), resumed=run)
    for ours, expected in zip(run.rows(), whole.rows(), strict=True):
        assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
        assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-3)


def test_networks_stop_early_each_by_itself():
    config = replace(CONFIG, num_epochs=12, early_stopping="val_loss", early_stopping_patience=1, learning_rate=0.1)
    seeds = [0, 1, 2]
    together = [run for run, _ in train_seeds(Recipe("standard_fc", config), seeds, "together")[0]]
    alone = [train(Recipe("standard_fc", replace(config, seed=seed)), f"alone-{seed}")[0] for seed in seeds]
    assert [len(run.rows()) for run in together] == [len(run.rows()) for run in alone]
    assert len({len(run.rows()) for run in together}) > 1


def test_a_network_that_fails_does_not_stop_the_others(monkeypatch):

    judge = BasicTrainer.judge_epoch

    def fail_for_seed_1(self, *values):
        if self.config.seed == 1:
            self.refuse_to_go_on(1, 1)
        return judge(self, *values)

    monkeypatch.setattr(BasicTrainer, "judge_epoch", fail_for_seed_1)
    verdicts, failures = train_seeds(Recipe("linear", CONFIG), [0, 1, 2], "some")
    assert [run.is_finished for run in RunFolder.all()] == [True, False, True]
    assert [summary["seed"] for _, summary in verdicts] == [0, 2] and list(failures) == [1]
    verdicts, failures = train_seeds(Recipe("C(2,5)-P2-FC10", CONFIG), [1, 2], "in-turn")  # in turn likewise
    assert [run.path.name for run, _ in verdicts] == ["in-turn-s2"] and "not finite" in str(failures[1])


@pytest.mark.parametrize(
    ("model", "change", "expected"),
    [
        ("linear", {}, 8),
        ("standard_fc", {}, 8),
        ("FC20-FC10", {}, 8),
        ("standard_conv", {}, 1),
        ("C(2,5)-P2-FC10", {}, 1),
        ("standard_fc", {"schedule": "plateau"}, 1),
        ("standard_fc", {"preload": False}, 1),
    ],
)
def test_what_is_stacked_on_a_cpu(model, change, expected):
    assert stack_size(build_model(model), replace(CONFIG, **change), CPU, "none") == expected


def test_networks_that_do_not_stack_are_trained_in_turn():
    config = replace(CONFIG, num_epochs=1)
    started = time.perf_counter()
    verdicts, _ = train_seeds(Recipe("C(2,5)-P2-FC10", config), [4, 5])
    seconds = time.perf_counter() - started
    assert [summary["seed"] for _, summary in verdicts] == [4, 5]
    assert sum(summary["total_seconds"] for _, summary in verdicts) <= seconds  # each its own, none counted twice
    assert all(run.read_json("environment.json")["num_together"] == 1 for run, _ in verdicts)


def test_a_name_that_is_taken_is_found_before_anything_is_trained():
    RunFolder.create("mine-s2", "linear", 0)
    with pytest.raises(UserError, match="mine-s2 exists and is never overwritten"):
        train_seeds(Recipe("linear", CONFIG), [0, 1, 2], "mine")
    assert len(RunFolder.all()) == 1
