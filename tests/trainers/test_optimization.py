"""Learning rates equal those of torch's schedulers; optimizers, clipping and the average of weights by hand."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from models.registry import build_model
from trainers.generic_trainers.optimization import (
    OPTIMIZERS,
    SCHEDULES,
    MovingAverage,
    build_optimizer,
    clip_gradients,
    depends_on_weights,
    gradient_norm,
    learning_rates,
    training_loss,
)
from utils import recipe as recipes
from utils.recipe import Recipe

CPU = torch.device("cpu")
EPOCHS, STEPS = 6, 7
RECIPE = Recipe(num_epochs=EPOCHS, learning_rate=0.1, step_epochs=2, decay_factor=0.5)


def our_rates(schedule, val_losses=(1.0,) * EPOCHS):
    recipe = replace(RECIPE, schedule=schedule)
    return [
        rate
        for epoch in range(1, EPOCHS + 1)
        for rate in learning_rates(recipe, epoch, STEPS, list(val_losses[: epoch - 1]))
    ]


def torch_rates(build, per_epoch=False):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = build(optimizer)
    rates = []
    for _ in range(EPOCHS):
        for _ in range(STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not per_epoch:
                scheduler.step()
        if per_epoch:
            scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "build", "per_epoch"),
    [
        ("constant", lambda o: lr_scheduler.ConstantLR(o, factor=1.0), False),
        ("step", lambda o: lr_scheduler.StepLR(o, 2, 0.5), True),
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS), False),
    ],
)
def test_rates_equal_torch(schedule, build, per_epoch):
    assert our_rates(schedule) == pytest.approx(torch_rates(build, per_epoch), rel=1e-9)


@pytest.mark.filterwarnings("ignore")  # torch warns of its scheduler's last step
def test_one_cycle_equals_torch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=EPOCHS * STEPS, cycle_momentum=False)
    expected = []
    for step in range(EPOCHS * STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < EPOCHS * STEPS - 1:
            scheduler.step()
    assert our_rates("one_cycle") == pytest.approx(expected, rel=1e-6)


def test_plateau_decays_after_patience():
    recipe = replace(RECIPE, schedule="plateau", plateau_patience=1)
    losses = [1.0, 0.5, 0.6, 0.7, 0.4, 0.5]  # no lower than 0.5 in epochs 3 and 4
    rates = [learning_rates(recipe, epoch, 1, losses[: epoch - 1])[0] for epoch in range(1, 8)]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_only_on_matrices_and_kernels(name):
    model = build_model("standard_conv")
    optimizer = build_optimizer(model.parameters(), replace(RECIPE, optimizer=name, weight_decay=0.1), CPU)
    decayed, plain = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0.0
    assert {p.ndim for p in decayed["params"]} == {2, 4} and {p.ndim for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))


def test_sgd_step_is_nesterov():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    optimizer = build_optimizer(model.parameters(), replace(RECIPE, optimizer="sgd", momentum=0.9), CPU)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(1, 1)).sum().backward()  # gradient 1
        optimizer.step()
    # v1 = 1, step 1 + 0.9 * 1 = 1.9; v2 = 1.9, step 1 + 0.9 * 1.9 = 2.71; weight 1 - 0.1 * (1.9 + 2.71)
    assert model.weight.item() == pytest.approx(1 - 0.1 * (1.9 + 2.71))


def test_average_of_weights_by_hand():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = MovingAverage(model, 0.9)
    for value in (2.0, 4.0):
        nn.init.constant_(model.weight, value)
        average.update(model)
    assert average.module.weight.item() == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 4)


def test_gradient_norm_by_hand():
    weights = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)]
    weights[0].grad, weights[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert gradient_norm(weights) == 5.0


def test_stacked_networks_are_clipped_by_their_own_norms():
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4]]), torch.tensor([[12.0], [0.0]])  # norms 13 and 0.5
    stacked = [torch.zeros_like(gradient, requires_grad=True) for gradient in gradients]
    for parameter, gradient in zip(stacked, gradients, strict=True):
        parameter.grad = gradient.clone()
    clip_gradients(stacked, 1.0, is_stacked=True)
    for network, expected in enumerate((1.0, 0.5)):
        alone = [gradient[network].clone().requires_grad_() for gradient in gradients]
        for parameter, gradient in zip(alone, gradients, strict=True):
            parameter.grad = gradient[network].clone()
        clip_gradients(alone, 1.0)
        assert gradient_norm(alone) == pytest.approx(expected, rel=1e-5)
        for parameter, one in zip(stacked, alone, strict=True):
            torch.testing.assert_close(parameter.grad[network], one.grad)


def test_recipes_and_registries_know_the_same_ids():
    assert set(get_args(recipes.Optimizer)) == set(OPTIMIZERS)
    assert set(get_args(recipes.Schedule)) == set(SCHEDULES)


def test_a_regulariser_depends_on_the_weights_and_the_cross_entropy_does_not():
    model = build_model("linear")

    def plain(logits, labels):
        return training_loss(logits, labels, Recipe())

    def regularised(logits, labels):
        return plain(logits, labels) + sum(parameter.abs().sum() for parameter in model.parameters())

    assert depends_on_weights(regularised, model)
    assert not depends_on_weights(plain, model)
