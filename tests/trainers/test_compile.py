"""The ways in which a step may run give the same training."""

from dataclasses import replace
from itertools import chain

import pytest
import torch

from trainers.generic_trainers import basic_trainer, graphed_step
from trainers.generic_trainers.graphed_step import WARM_UP_STEPS, GraphedStep
from trainers.generic_trainers.training_run import train, train_seeds
from trainers.recipe import Recipe, TrainConfig
from utils.devices import choose_compile
from utils.errors import UserError

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    dataset="digits", num_epochs=2, batch_size=200, ema_decay=0.5, gradient_clip_norm=1.0, rotation_degrees=5,
    device="cpu", schedule="one_cycle",
)  # fmt: skip
MODEL = "C(4,5)-P2-FC10"


class ReplayedByHand(GraphedStep):
    """What a CUDA graph does, on any device: a replay reads and writes the places that were recorded."""

    num_replays = 0

    def warm_up(self, images, labels):
        return self.step(images, labels)

    def record(self, images, labels):
        self.images, self.labels, self.graph = images.clone(), labels.clone(), "recorded"
        self.logits = torch.full((*labels.shape, 10), torch.nan)

    def replay(self):
        type(self).num_replays += 1
        self.logits.copy_(self.step(self.images, self.labels))


@pytest.mark.parametrize("model", [MODEL, "standard_fc"])
def test_a_recorded_step_trains_as_a_plain_one(monkeypatch, model):
    seeds = [0, 1]
    plain = [run.rows() for run, _ in train_seeds(Recipe(model, CONFIG), seeds)[0]]
    monkeypatch.setattr(graphed_step, "GraphedStep", ReplayedByHand)
    monkeypatch.setattr("trainers.generic_trainers.training_run.choose_compile", lambda *_: "cuda_graph")
    ReplayedByHand.num_replays = 0
    recorded = [run.rows() for run, _ in train_seeds(Recipe(model, CONFIG), seeds)[0]]
    for ours, expected in zip(chain(*recorded), chain(*plain), strict=True):
        assert (ours.train_loss, ours.val_loss, ours.grad_norm) == pytest.approx(
            (expected.train_loss, expected.val_loss, expected.grad_norm), rel=1e-6
        )
    full_steps = 2 * (1_317 // 200)  # the eighth and last step of an epoch is a smaller batch
    loops = 1 if model == "standard_fc" else len(seeds)
    assert ReplayedByHand.num_replays == loops * (full_steps - WARM_UP_STEPS)


@pytest.mark.cuda
@pytest.mark.parametrize("model", ["standard_fc", "standard_conv"])
def test_a_cuda_graph_trains_as_a_plain_step_does(model):
    config = replace(CONFIG, device="cuda", precision="fp32")
    plain, recorded = (train(Recipe(model, replace(config, compile=mode)))[0].rows() for mode in ("none", "cuda_graph"))
    for ours, expected in zip(recorded, plain, strict=True):
        assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
        assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-2)


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["none", "cuda_graph"])
def test_no_step_waits_for_the_gpu(monkeypatch, mode):
    step = basic_trainer.BasicTrainer.train_step

    def without_sync(self, images, labels):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(self, images, labels)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(basic_trainer.BasicTrainer, "train_step", without_sync)
    run, _ = train(Recipe(MODEL, replace(CONFIG, device="cuda", compile=mode)))
    assert len(run.rows()) == 2


def test_inductor_trains_as_a_plain_step_does():
    config = replace(CONFIG, num_epochs=1, precision="fp32")
    plain, compiled = (train(Recipe(MODEL, replace(config, compile=mode)))[0].rows() for mode in ("none", "inductor"))
    assert compiled[0].train_loss == pytest.approx(plain[0].train_loss, rel=1e-4)
    assert compiled[0].val_loss == pytest.approx(plain[0].val_loss, rel=1e-3)


def test_auto_takes_what_measures_best_and_other_modes_are_refused_by_name(monkeypatch):
    assert choose_compile("auto", CPU) == choose_compile("none", CPU) == "none"
    assert choose_compile("auto", torch.device("cuda")) == "cuda_graph"
    with pytest.raises(UserError, match="'cuda_graph' needs CUDA, this is cpu: expected auto, none or inductor"):
        choose_compile("cuda_graph", CPU)
    with pytest.raises(UserError, match="'inductor' is not for mps"):
        choose_compile("inductor", torch.device("mps"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        choose_compile("inductor", CPU)
