"""The strong attack: exact cases, its ball, and signs of gradient masking."""

import pytest
import torch
from torch import nn

from study.scorecard.adversarial import ATTACKS, correct_under_attack, survives_square_search
from study.scorecard.apgd import Ball, apgd, is_robust, targeted_dlr
from utils.data.batches import to_pixels

BALLS = [Ball("linf", 0.05), Ball("l2", 1.0)]


@pytest.fixture
def linear_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False)


@pytest.fixture
def pixels():
    """Pixels far enough from 0 and 1 that no attack below is clipped."""
    return 0.3 + 0.4 * torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_robust_accuracy_of_a_linear_network_is_exact(norm, linear_network, pixels):
    # The logits of two classes change by at most radius * ||w_own - w_other||, in the dual norm.
    logits, weight = linear_network(pixels), linear_network[1].weight
    labels = logits.argmax(1)
    margins = logits.gather(1, labels[:, None]) - logits
    sizes = (weight[labels][:, None] - weight).norm(p=1 if norm == "linf" else 2, dim=2)
    distances = (margins / sizes.clamp(min=1e-9)).scatter(1, labels[:, None], torch.inf).amin(1)
    radius = float(distances.median())
    is_clear = (distances / radius - 1).abs() > 0.02
    expected = distances > radius
    survives = is_robust(linear_network, pixels, labels, Ball(norm, radius))
    assert torch.equal(survives[is_clear], expected[is_clear]) and is_clear.sum() > 40


def test_the_targeted_loss_by_hand():
    logits = torch.tensor([[4.0, 1.0, 3.0, 0.0], [0.0, 2.0, 1.0, 5.0]])
    loss = targeted_dlr(logits, torch.tensor([0, 3]), torch.tensor([2, 0]))
    # (target - own) / (highest - mean of the third and the fourth)
    assert loss.tolist() == pytest.approx([(3 - 4) / (4 - 0.5), (0 - 5) / (5 - 0.5)])
    assert torch.allclose(targeted_dlr(7 * logits, torch.tensor([0, 3]), torch.tensor([2, 0])), loss)


@pytest.mark.parametrize("ball", BALLS, ids=lambda ball: ball.norm)
def test_the_attack_stays_in_the_ball_and_leaves_digits_that_survive(ball, linear_network, pixels):
    pixels = (pixels * 2.5 - 0.75).clamp(0, 1)  # many at 0 and 1
    labels = linear_network(pixels).argmax(1)
    perturbed = apgd(linear_network, pixels, labels, ball, torch.Generator().manual_seed(0), 30)
    assert perturbed.min() >= 0 and perturbed.max() <= 1
    change = (perturbed - pixels).flatten(1)
    size = change.norm(dim=1) if ball.norm == "l2" else change.abs().amax(1)
    assert (size <= ball.radius + 1e-5).all()
    is_fooled = linear_network(perturbed).argmax(1) != labels
    assert is_fooled.any() and (size[~is_fooled] == 0).all()


def test_wrong_digits_are_not_robust_and_the_result_is_always_the_same(linear_network, pixels):
    labels = (linear_network(pixels).argmax(1) + 1) % 10
    assert not is_robust(linear_network, pixels, labels, Ball("linf", 0.01), 5).any()
    labels = linear_network(pixels).argmax(1)
    first, second = (is_robust(linear_network, pixels, labels, Ball("linf", 0.02), 20) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.real_mnist
def test_the_strong_attack_finds_what_pgd_misses(quick_network, real_mirror):
    from utils.data import load_dataset

    digits = load_dataset("mnist", "test")
    pixels, labels = to_pixels(digits.images[::100]), digits.labels[::100]
    network = quick_network.eval().requires_grad_(False)
    pgd = correct_under_attack(network, ATTACKS["pgd_linf"], pixels, labels)[1 + ATTACKS["pgd_linf"].radii.index(0.1)]
    few, many = (is_robust(network, pixels, labels, Ball("linf", 0.1), steps).numpy() for steps in (10, 100))
    assert many.mean() < pgd.mean() - 0.02
    assert many.mean() <= few.mean()  # more steps do not raise the accuracy
    assert not is_robust(network, pixels, labels, Ball("linf", 0.5)).numpy()[many].any()


class MaskedNet(nn.Module):
    """A linear network whose input is rounded to four levels, so that its gradient is zero almost everywhere."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network((pixels * 3).round() / 3)


def test_a_network_that_masks_its_gradients_is_found_out(linear_network, pixels):
    masked = MaskedNet(linear_network)
    labels, ball = masked(pixels).argmax(1), Ball("linf", 0.15)
    by_gradients = is_robust(masked, pixels, labels, ball, 20)
    by_search = survives_square_search(masked, pixels, labels, ball.radius, 300)
    assert (by_gradients & ~by_search).float().mean() > 0.2
    honest = linear_network(pixels).argmax(1)
    by_gradients = is_robust(linear_network, pixels, honest, ball)
    assert not (by_gradients & ~survives_square_search(linear_network, pixels, honest, ball.radius, 300)).any()
