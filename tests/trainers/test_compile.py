"""Every way in which a step may run gives the same training."""

from dataclasses import replace
from itertools import chain

import pytest
import torch

from trainers import BasicTrainer, Execution, Recipe, train
from trainers.generic_trainers.cuda_graph import WARM_UP_STEPS, GraphedStep
from trainers.generic_trainers.stacked_trainer import StackedTrainer
from trainers.train import build_trainer, initial_model, load_splits
from utils.errors import UserError
from utils.runtime import choose_compile

CPU = torch.device("cpu")
MODEL = "C(4,5)-P2-FC10"
RECIPE = Recipe(
    MODEL, dataset="digits", num_epochs=2, batch_size=200, ema_decay=0.5, gradient_clip_norm=1.0, rotation_degrees=5,
    schedule="one_cycle",
)  # fmt: skip
ON_CPU, ON_CUDA = Execution(device="cpu", precision="fp32"), Execution(device="cuda", precision="fp32")


class ReplayedByHand(GraphedStep):
    """Does on any device what a CUDA graph does: a replay reads and writes the recorded memory."""

    num_replays = 0

    def warm_up(self, images, labels):
        return self.step(images, labels)

    def record(self, images, labels):
        self.images, self.labels, self.graph = images.clone(), labels.clone(), "recorded"
        self.logits = torch.full((*labels.shape, 10), torch.nan)

    def replay(self):
        self.num_replays += 1
        self.logits.copy_(self.step(self.images, self.labels))


def fitted(model, is_recorded):
    """Two seeds: the metrics of both, and the steps that were replayed. Together if the model can be stacked."""
    recipe = replace(RECIPE, model=model)
    splits = load_splits(recipe)
    trainers = [
        build_trainer(initial_model(recipe.with_seed(seed)), splits, recipe.with_seed(seed), ON_CPU) for seed in (0, 1)
    ]
    loops = [StackedTrainer(trainers)] if model == "standard_fc" else trainers
    for loop in loops:
        if is_recorded:
            loop.step = ReplayedByHand(loop.train_step, loop.optimizer, recipe.batch_size)
        loop.fit()
    return [trainer.metrics for trainer in trainers], [getattr(loop.step, "num_replays", 0) for loop in loops]


@pytest.mark.parametrize("model", [MODEL, "standard_fc"])
def test_a_recorded_step_trains_as_a_plain_one(model):
    plain, _ = fitted(model, is_recorded=False)
    recorded, num_replays = fitted(model, is_recorded=True)
    for ours, expected in zip(chain(*recorded), chain(*plain), strict=True):
        assert (ours.train_loss, ours.val_loss, ours.grad_norm) == pytest.approx(
            (expected.train_loss, expected.val_loss, expected.grad_norm), rel=1e-6
        )
    full_steps = 2 * (1_317 // 200)  # the eighth and last step of an epoch is a smaller batch
    assert set(num_replays) == {full_steps - WARM_UP_STEPS}


@pytest.mark.cuda
@pytest.mark.parametrize("model", ["standard_fc", "standard_conv"])
def test_a_cuda_graph_trains_as_a_plain_step(model):
    plain, recorded = (
        train(RECIPE, model=model, execution=replace(ON_CUDA, compile=mode)).metrics for mode in ("none", "cuda_graph")
    )
    for ours, expected in zip(recorded, plain, strict=True):
        assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
        assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-2)


class WithoutSync(BasicTrainer):
    def train_step(self, images, labels):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return super().train_step(images, labels)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["none", "cuda_graph"])
def test_no_step_waits_for_the_gpu(digits, few_digits, mode):
    trainer = WithoutSync(initial_model(RECIPE), digits, few_digits, RECIPE, Execution(device="cuda", compile=mode))
    assert len(trainer.fit()) == 2


def test_inductor_trains_as_a_plain_step():
    recipe = replace(RECIPE, num_epochs=1, train_size=1200)  # batches of one size, so that one graph is compiled
    plain, compiled = (train(recipe, execution=replace(ON_CPU, compile=mode)).metrics for mode in ("none", "inductor"))
    assert compiled[0].train_loss == pytest.approx(plain[0].train_loss, rel=1e-4)
    assert compiled[0].val_loss == pytest.approx(plain[0].val_loss, rel=1e-3)


def test_auto_is_the_fastest_mode_and_unsupported_modes_are_refused(monkeypatch):
    assert choose_compile("auto", CPU) == choose_compile("none", CPU) == "none"
    assert choose_compile("auto", torch.device("cuda")) == "cuda_graph"
    with pytest.raises(UserError, match="'cuda_graph' needs CUDA, this is cpu: expected auto, none or inductor"):
        choose_compile("cuda_graph", CPU)
    with pytest.raises(UserError, match="'inductor' is not for mps"):
        choose_compile("inductor", torch.device("mps"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        choose_compile("inductor", CPU)
