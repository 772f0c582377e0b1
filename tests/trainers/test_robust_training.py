"""Adversarial training, consistency, mixing and outlier exposure: each loss equals its definition, and runs with all of
them are reproducible."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_configs import ALL_AT_ONCE, CPU_FP32

from models.registry import build_model, load_trained
from trainers import BasicTrainer, Execution, Recipe, resume, train, train_seeds
from trainers.generic_trainers.robust_training import (
    DIGIT_ENERGY,
    OUTLIER_ENERGY,
    attack,
    energy_margin,
    jensen_shannon,
    kl_divergence,
    uniform_cross_entropy,
)
from trainers.train import initial_model, num_together
from utils.data.batches import to_pixels
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.run import Run
from utils.runtime import choose_compile, resolve_execution

CPU = torch.device("cpu")
MODEL = "C(4,5)-BN-P2-D0.2-FC10"  # with batch norm and dropout
PLAIN = Recipe(MODEL, dataset="digits", num_epochs=2, batch_size=100, learning_rate=0.01)
ADVERSARIAL = replace(PLAIN, adversarial_radius=0.1)
GENERIC = {"generic_probability": 0.3, "generic_transformations": "tone,noise"}
TOGETHER = replace(
    ALL_AT_ONCE, model=MODEL, num_epochs=2, adversarial_radius=0.1, adversarial_steps=2, adversarial_fraction=0.5,
    trades_beta=2, consistency_weight=6, outlier_weight=0.1, elastic_pixels=1, erasing_probability=0.2, **GENERIC,
)  # fmt: skip
MIXED = replace(ALL_AT_ONCE, model=MODEL, num_epochs=2, adversarial_radius=0.1, mixup_alpha=0.5, cutmix_alpha=1.0)


@pytest.fixture(scope="module")
def trained(digits):
    """A small trained network in evaluation mode."""
    recipe = replace(PLAIN, num_epochs=4)
    trainer = BasicTrainer(initial_model(recipe), digits, digits, recipe, CPU_FP32)
    trainer.fit()
    return trainer.model.eval()


@pytest.fixture
def batch(few_digits):
    return to_pixels(few_digits.images), few_digits.labels


def objectives_of(recipe, few_digits, kind=BasicTrainer):
    """The objectives of a new trainer whose network has neither batch norm nor dropout, so that an image's logits
    depend on nothing else."""
    recipe = replace(recipe, model="C(4,5)-P2-FC10")
    trainer = kind(initial_model(recipe), few_digits, few_digits, recipe, CPU_FP32)
    trainer.model.train()
    return trainer.objectives, trainer.model


# The attack.


@pytest.mark.parametrize("num_steps", [1, 5])
def test_the_attack_stays_within_radius_and_pixel_range_and_raises_the_loss(trained, batch, num_steps):
    images, labels = batch
    generator = torch.Generator().manual_seed(0)
    trained.zero_grad()
    perturbed = attack(lambda points: F.cross_entropy(trained(points), labels), images, 0.1, num_steps, generator)
    assert (perturbed - images).abs().max() <= 0.1 + 1e-6
    assert perturbed.min() >= 0 and perturbed.max() <= 1 and not perturbed.requires_grad
    before, after = (F.cross_entropy(trained(it), labels).item() for it in (images, perturbed))
    random = (images + 0.1 * (2 * torch.rand(images.shape, generator=generator) - 1)).clamp(0, 1)
    assert after > 2 * before and after > 1.5 * F.cross_entropy(trained(random), labels).item()
    assert all(parameter.grad is None for parameter in trained.parameters())


def test_the_attack_leaves_batch_norm_and_the_mode_of_the_network_alone(few_digits, batch):
    images, labels = batch
    trainer = BasicTrainer(build_model(MODEL), few_digits, few_digits, ADVERSARIAL, CPU_FP32)
    trainer.model.train()
    before = [buffer.clone() for buffer in trainer.model.buffers()]
    _, targets = trainer.objectives.mixed(images, labels)
    trainer.objectives.attacked(images, targets)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.buffers(), strict=True))
    assert all(module.training for module in trainer.model.modules())
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_trades_with_beta_0_is_the_loss_of_attacked_images_and_above_0_that_of_the_images_and_a_divergence(
    few_digits, batch
):
    images, labels = batch
    clean_loss, losses = None, {}
    for beta in (0, 1e-9, 2, 4):
        objectives, model = objectives_of(replace(ADVERSARIAL, trades_beta=beta), few_digits)
        logits, loss = objectives.logits_and_loss(images, labels)
        clean_loss = F.cross_entropy(model(images), labels).item()
        losses[beta] = loss.item()
        assert torch.allclose(logits, model(images), atol=1e-5) == (beta > 0)  # which images are classified
    assert losses[0] > clean_loss + 0.01
    assert losses[1e-9] == pytest.approx(clean_loss, abs=1e-5)
    assert losses[2] > clean_loss
    assert losses[4] - clean_loss == pytest.approx(2 * (losses[2] - clean_loss), rel=1e-3)  # the same attack


def test_a_fraction_of_each_batch_is_attacked(few_digits, batch):
    images, labels = batch
    objectives, model = objectives_of(replace(ADVERSARIAL, adversarial_fraction=0.25), few_digits)
    logits, _ = objectives.logits_and_loss(images, labels)
    is_same = torch.isclose(logits, model(images), atol=1e-5).all(1)
    assert not is_same[:50].any() and is_same[50:].all()


def test_adversarial_training_raises_the_accuracy_under_fgsm(digits):
    """The test digits after one step of the length of the radius, from the digit itself."""
    accuracy = {}
    for radius in (0, 0.1):
        run = train(PLAIN, num_epochs=6, adversarial_radius=radius, execution=CPU_FP32)
        model = load_trained(run)
        pixels = to_pixels(digits.images).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(pixels), digits.labels), pixels)
        perturbed = (pixels + 0.1 * gradient.sign()).clamp(0, 1)
        accuracy[radius] = (model(perturbed).argmax(1) == digits.labels).float().mean().item()
        assert run.summary.test_accuracy > 0.85
    assert accuracy[0.1] > accuracy[0] + 0.1


# The other losses.


def test_the_divergence_of_equal_predictions_is_0_and_of_certain_ones_the_hand_computed_value():
    logits = torch.randn(5, 10)
    assert jensen_shannon([logits, logits + 3, logits]).item() == pytest.approx(0, abs=1e-6)
    assert kl_divergence(logits, logits).abs().max().item() == pytest.approx(0, abs=1e-6)
    first, second = 50 * torch.eye(10)[[0]], 50 * torch.eye(10)[[1]]
    by_hand = (2 * math.log(3 / 2) + math.log(3)) / 3  # the mean prediction is two thirds and one third
    assert jensen_shannon([first, first, second]).item() == pytest.approx(by_hand, rel=1e-5)


def test_the_outlier_losses_equal_hand_computed_ones():
    digits, outliers = torch.zeros(2, 10), torch.zeros(1, 10)
    digits[0, 3] = 20.0  # energy about -20: far enough below; the other digit and the outlier have -log 10
    above, below = -math.log(10) - DIGIT_ENERGY, OUTLIER_ENERGY + math.log(10)
    assert above > 0 and below > 0
    assert energy_margin(digits, outliers).item() == pytest.approx(above**2 / 2 + below**2, rel=1e-5)
    assert energy_margin(digits[:1], outliers - 5).item() == 0
    assert uniform_cross_entropy(digits, outliers).item() == pytest.approx(math.log(10))
    outliers[0, 0] = math.log(11)  # probability 11 in 20, the others 1 in 20
    assert uniform_cross_entropy(digits, outliers).item() == pytest.approx((9 * math.log(20) + math.log(20 / 11)) / 10)


class MarginTrainer(BasicTrainer):
    def compute_loss(self, logits, labels):
        return F.multi_margin_loss(logits, labels)


@pytest.mark.parametrize("field", ["mixup_alpha", "cutmix_alpha"])
def test_mixed_images_have_the_weighted_mean_of_the_own_loss_of_both_labels(few_digits, batch, field):
    images, labels = batch
    recipe = replace(PLAIN, **{field: 1.0})
    objectives, model = objectives_of(recipe, few_digits, MarginTrainer)
    logits, loss = objectives.logits_and_loss(images, labels)
    objectives.begin_epoch(1)
    mixed, targets = objectives.mixed(images, labels)
    torch.testing.assert_close(logits, model(mixed))
    losses = [F.multi_margin_loss(logits, it) for it in (targets.labels, targets.other_labels)]
    assert 0 < targets.kept < 1 and not torch.equal(targets.other_labels, labels)
    torch.testing.assert_close(loss, targets.kept * losses[0] + (1 - targets.kept) * losses[1])


def test_mixup_and_cutmix_alternate(few_digits, batch):
    objectives, _ = objectives_of(MIXED, few_digits)
    values = []
    for _ in range(4):
        objectives.num_steps += 1
        mixed, _ = objectives.mixed(*batch)
        values.append(set(mixed.unique().tolist()) <= set(batch[0].unique().tolist()))
    assert values == [False, True, False, True]  # CutMix moves pixels, mixup makes new grey levels


def test_outliers_are_separated_by_energy(digits):
    recipe = replace(PLAIN, num_epochs=4, outlier_weight=0.1, outlier_kinds="noise")
    trainer = BasicTrainer(initial_model(recipe), digits, digits, recipe, CPU_FP32)
    assert trainer.fit()[-1].val_accuracy > 0.9
    noise = (torch.rand(200, 28, 28, generator=torch.Generator().manual_seed(0)) * 255).byte()  # uniform, not Gaussian
    energies = [-predict_logits(trainer.model, images, CPU).logsumexp(1) for images in (digits.images, noise)]
    assert energies[0].quantile(0.95) < energies[1].quantile(0.05)


# Runs.


class StopAfter:
    """A callback that interrupts the training."""

    def __init__(self, steps):
        self.steps = steps

    def step_done(self):
        self.steps -= 1
        if self.steps == 0:
            raise KeyboardInterrupt

    def epoch_done(self, metrics):
        pass


def same_weights(one: Run, other: Run) -> bool:
    states = [load_trained(run).state_dict() for run in (one, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("recipe", [TOGETHER, MIXED], ids=["together", "mixed"])
def test_runs_resume_bit_equal_and_stream_the_same_batches(recipe):
    whole = train(recipe, run_name="whole", execution=CPU_FP32)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run_name="stopped", execution=CPU_FP32, callbacks=[StopAfter(20)])
    torch.manual_seed(99)  # no state of this process may matter
    resumed = resume(Run.find("stopped"))
    streamed = train(recipe, run_name="streamed", execution=replace(CPU_FP32, preload=False, num_workers=1))
    for run in (resumed, streamed):
        assert same_weights(whole, run)
        assert [row.train_loss for row in run.metrics] == [row.train_loss for row in whole.metrics]
    assert all(math.isfinite(row.train_loss + row.grad_norm) for row in whole.metrics)


def test_each_objective_changes_the_run(few_digits):
    changes = {
        "none": {},
        "adversarial": {"adversarial_radius": 0.1},
        "trades": {"adversarial_radius": 0.1, "trades_beta": 6},
        "generic": GENERIC,
        "consistency": {"consistency_weight": 12, **GENERIC},
        "mixup": {"mixup_alpha": 1},
        "cutmix": {"cutmix_alpha": 1},
        "energy": {"outlier_weight": 0.1},
        "uniform": {"outlier_weight": 0.1, "outlier_loss": "uniform"},
    }
    norms = set()
    for change in changes.values():
        recipe = replace(PLAIN, **change, num_epochs=1)
        norms.add(BasicTrainer(initial_model(recipe), few_digits, few_digits, recipe, CPU_FP32).fit()[0].grad_norm)
    assert len(norms) == len(changes)


def test_networks_with_objectives_are_trained_one_at_a_time():
    recipe = replace(PLAIN, model="linear", num_epochs=1)
    assert num_together(recipe, CPU_FP32) == 8
    recipe = replace(recipe, mixup_alpha=0.2)
    assert num_together(recipe, CPU_FP32) == 1
    runs, failures = train_seeds(recipe, [0, 1], execution=CPU_FP32)
    assert len(runs) == 2 and not failures


def test_no_step_with_objectives_is_recorded_as_a_cuda_graph():
    assert choose_compile("auto", torch.device("cuda"), PLAIN) == "cuda_graph"
    assert choose_compile("auto", torch.device("cuda"), ADVERSARIAL) == "none"
    with pytest.raises(UserError, match="'cuda_graph' has no adversarial training"):
        choose_compile("cuda_graph", torch.device("cuda"), ADVERSARIAL)
    assert resolve_execution(ADVERSARIAL, nn.Linear(1, 1), Execution(device="cpu")).compile == "none"


def test_inductor_trains_with_objectives_as_a_plain_step():
    recipe = replace(TOGETHER, model="C(4,5)-BN-P2-FC10", num_epochs=1, train_size=300)
    plain, compiled = (
        train(recipe, execution=replace(CPU_FP32, compile=mode)).metrics[0] for mode in ("none", "inductor")
    )
    assert compiled.train_loss == pytest.approx(plain.train_loss, rel=1e-2)
    assert compiled.val_loss == pytest.approx(plain.val_loss, rel=5e-2)
