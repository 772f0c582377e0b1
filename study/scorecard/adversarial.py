"""Adversarial robustness: accuracy under FGSM (Goodfellow et al. 2015, arXiv 1412.6572) and PGD from the digit itself
(Madry et al. 2018, arXiv 1706.06083). The accuracies are upper bounds: a stronger attack may find more errors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result
from utils.data.batches import to_pixels
from utils.track import track

NUM_DIGITS = 500
BATCH_SIZE = 100  # larger batches do not fit the CPU's cache with their gradients, and take five times as long
NUM_STEPS = 20
STEP_SIZE = 0.15  # relative to the radius: twenty steps can cross the ball
LINF_RADII = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
L2_RADII = (0.5, 1.0, 1.5, 2.0, 3.0)

Pixels = Float[Tensor, "n 1 28 28"]
Loss = Callable[[Tensor, Tensor], Tensor]  # from logits and labels to the value that the attack increases


def cross_entropy(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, labels, reduction="sum")


def margin(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    """The highest logit of another class minus the logit of the label. Unlike the gradient of the cross-entropy, its
    gradient does not vanish for a very confident model (Carlini and Wagner 2017, arXiv 1608.04644)."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (others.amax(1) - logits.gather(1, labels[:, None])[:, 0]).sum()


LOSSES = (cross_entropy, margin)


@dataclass(frozen=True)
class Attack:
    """Gradient ascent on a loss within a ball around the digit."""

    label: str
    radii: tuple[float, ...]
    """Radii of the ball, for pixels from 0 to 1."""
    shown_radius: float
    """The radius of the metric."""
    num_steps: int
    step_size: float
    """Length of a step relative to the radius."""
    direction: Callable[[Tensor], Tensor]
    """From a gradient to a step of length 1."""
    project: Callable[[Tensor, float], Tensor]
    """From a change and a radius to the nearest change inside the ball."""

    def perturb(
        self, model: nn.Module, pixels: Pixels, labels: Int64[Tensor, " n"], radius: float, loss: Loss
    ) -> Pixels:
        """The digits after the attack."""
        perturbed = pixels
        for _ in range(self.num_steps):
            point = perturbed.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(model(point), labels), point)
            step = self.direction(gradient) * (self.step_size * radius)
            perturbed = (pixels + self.project(point.detach() + step - pixels, radius)).clamp(0, 1)
        return perturbed


def _unit_l2(gradient: Tensor) -> Tensor:
    return F.normalize(gradient.flatten(1)).view_as(gradient)


def _project_linf(change: Tensor, radius: float) -> Tensor:
    return change.clamp(-radius, radius)


def _project_l2(change: Tensor, radius: float) -> Tensor:
    return torch.renorm(change, 2, 0, radius)


ATTACKS = {
    "fgsm_linf": Attack("FGSM, l-infinity", LINF_RADII, 0.1, 1, 1.0, torch.sign, _project_linf),
    "pgd_linf": Attack("PGD, l-infinity", LINF_RADII, 0.1, NUM_STEPS, STEP_SIZE, torch.sign, _project_linf),
    "pgd_l2": Attack("PGD, l2", L2_RADII, 1.5, NUM_STEPS, STEP_SIZE, _unit_l2, _project_l2),
}


def robust_accuracy(evaluator: Evaluator, attack: str) -> MetricResult:
    """Accuracy at `shown_radius`: the fraction of digits that are classified correctly after the attacks on both
    losses."""
    radii = [0.0, *ATTACKS[attack].radii]
    return fraction_result(_correct_by_radius(evaluator, attack)[radii.index(ATTACKS[attack].shown_radius)])


def robust_accuracy_curve(evaluator: Evaluator, attack: str) -> dict[str, list[float]]:
    """Robust accuracy for each radius."""
    is_correct = _correct_by_radius(evaluator, attack)
    return {"radius": [0.0, *ATTACKS[attack].radii], "accuracy": is_correct.mean(1).tolist()}


def _correct_by_radius(evaluator: Evaluator, attack: str) -> Bool[np.ndarray, "radii_and_zero n"]:
    digits = evaluator.sample(NUM_DIGITS).to(evaluator.device)
    return evaluator.once(
        ("attack", attack),
        lambda: correct_under_attack(evaluator.model, ATTACKS[attack], to_pixels(digits.images), digits.labels),
    )


def correct_under_attack(
    model: nn.Module, attack: Attack, pixels: Pixels, labels: Int64[Tensor, " n"]
) -> Bool[np.ndarray, "radii_and_zero n"]:
    """Whether each digit is classified correctly without attack, and at each radius. A digit that fails at one radius
    also fails at all larger radii, because their balls contain the same perturbation."""
    with torch.no_grad():
        is_robust = torch.cat([model(part) for part in pixels.split(BATCH_SIZE)]).argmax(1) == labels
    by_radius = [is_robust.cpu().numpy().copy()]
    for radius in track(attack.radii, desc=attack.label):
        for part in is_robust.nonzero().flatten().split(BATCH_SIZE):
            for loss in LOSSES:
                perturbed = attack.perturb(model, pixels[part], labels[part], radius, loss)
                with torch.no_grad():
                    is_robust[part] &= model(perturbed).argmax(1) == labels[part]
        by_radius.append(is_robust.cpu().numpy().copy())
    return np.stack(by_radius)


METRICS = [
    Metric(f"{name}_{attack.shown_radius}", f"{attack.label} {attack.shown_radius}", 1, "Adversarial robustness",
           partial(robust_accuracy, attack=name))
    for name, attack in ATTACKS.items()
]  # fmt: skip
CURVES = [Curve(f"{name}_curve", 1, partial(robust_accuracy_curve, attack=name)) for name in ATTACKS]
