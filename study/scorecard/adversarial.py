"""Adversarial robustness: robust accuracy under the strong attack of study/scorecard/apgd.py, and accuracy under two
weaker attacks, FGSM (Goodfellow et al. 2015, arXiv 1412.6572) and PGD from the digit itself (Madry et al. 2018, arXiv
1706.06083). All are upper bounds: a stronger attack may find more errors.

Gradient masking makes an attack by gradients fail without making the network robust (Athalye et al. 2018, arXiv
1802.00420). Two metrics would show it: errors that a search without gradients finds where the strong attack finds none,
and digits that survive at a radius where every digit can become plain grey.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from study.scorecard.apgd import Ball, is_robust
from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult, fraction_result
from utils.data.batches import to_pixels
from utils.track import track

NUM_DIGITS = 1000
STRONG_RADII = {"linf": (0.1, 0.15, 0.2, 0.3, 0.5), "l2": (1.0, 1.5, 2.0, 3.0)}  # smaller radii take minutes
GREY_RADIUS = 0.5  # l-infinity: within it every digit can become plain grey
NORM_LABELS = {"linf": "l-infinity", "l2": "l2"}
NUM_QUERIES = 500  # of the search without gradients, per digit
SQUARE_FRACTION = 0.3  # of the pixels that a square covers at first
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
    """The sum of the margins. Unlike the gradient of the cross-entropy, its gradient does not vanish for a very
    confident model (Carlini and Wagner 2017, arXiv 1608.04644)."""
    return margin_by_digit(logits, labels).sum()


def margin_by_digit(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The highest logit of another class minus the logit of the label: above 0 for a wrong prediction."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, labels[:, None])[:, 0]


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
    is_correct = _correct_by_radius(evaluator, attack)[radii.index(ATTACKS[attack].shown_radius)]
    return fraction_result(is_correct, evaluator.sample(NUM_DIGITS).writers)


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


def strong_robust_accuracy(evaluator: Evaluator, norm: str, radius: float) -> MetricResult:
    """The fraction of digits that are classified correctly after APGD on the cross-entropy and targeted APGD."""
    is_correct = _robust_by_radius(evaluator, norm)[STRONG_RADII[norm].index(radius)]
    return fraction_result(is_correct, evaluator.sample(NUM_DIGITS).writers)


def strong_curve(evaluator: Evaluator, norm: str) -> dict[str, list[float]]:
    """Robust accuracy for each radius."""
    clean = evaluator.is_correct(evaluator.sample(NUM_DIGITS)).mean()
    accuracies = _robust_by_radius(evaluator, norm).mean(1).tolist()
    return {"radius": [0.0, *STRONG_RADII[norm]], "accuracy": [float(clean), *accuracies]}


def _robust_by_radius(evaluator: Evaluator, norm: str) -> Bool[np.ndarray, "radii n"]:
    return evaluator.once(("strong attack", norm), lambda: _attack_strongly(evaluator, norm))


def _attack_strongly(evaluator: Evaluator, norm: str) -> Bool[np.ndarray, "radii n"]:
    """A digit that fails at one radius also fails at all larger radii."""
    digits = evaluator.sample(NUM_DIGITS).to(evaluator.device)
    pixels, remaining = to_pixels(digits.images), torch.ones(len(digits), dtype=torch.bool, device=evaluator.device)
    by_radius = []
    for radius in track(STRONG_RADII[norm], desc=f"APGD, {NORM_LABELS[norm]}"):
        places = remaining.nonzero()[:, 0]
        remaining[places] = is_robust(evaluator.model, pixels[places], digits.labels[places], Ball(norm, radius))
        by_radius.append(remaining.cpu().numpy().copy())
    return np.stack(by_radius)


def masked_fraction(evaluator: Evaluator) -> MetricResult:
    """The fraction of digits that survive the strong attack but not a search without gradients, both with changes of at
    most 0.1 per pixel. Near zero unless the network masks its gradients."""
    digits = evaluator.sample(NUM_DIGITS).to(evaluator.device)
    places = np.flatnonzero(_robust_by_radius(evaluator, "linf")[STRONG_RADII["linf"].index(0.1)])
    chosen = torch.from_numpy(places).to(evaluator.device)
    is_masked = np.zeros(len(digits), bool)
    for part in track(chosen.split(BATCH_SIZE), desc="square search"):
        survives = survives_square_search(evaluator.model, to_pixels(digits.images[part]), digits.labels[part], 0.1)
        is_masked[part.cpu().numpy()] = ~survives.cpu().numpy()
    return fraction_result(is_masked, evaluator.sample(NUM_DIGITS).writers)


@torch.no_grad()
def survives_square_search(
    model: nn.Module, pixels: Pixels, labels: Int64[Tensor, " n"], radius: float, num_queries: int = NUM_QUERIES
) -> Bool[Tensor, " n"]:
    """Whether each digit is classified correctly after a random search that needs no gradients: squares of pixels go to
    a corner of the l-infinity ball, and a change stays if it raises the margin of another class (the Square Attack of
    Andriushchenko et al. 2020, arXiv 1912.00049, simplified). The squares shrink with the number of queries."""
    generator = torch.Generator().manual_seed(0)

    def signs(*shape: int) -> Tensor:
        return (torch.randint(0, 2, shape, generator=generator) * 2 - 1).to(pixels)

    def margins(images: Pixels) -> Float[Tensor, " n"]:
        return margin_by_digit(model(images), labels)

    best = (pixels + radius * signs(len(pixels), 1, 1, 28)).clamp(0, 1)  # vertical stripes
    highest = margins(best)
    for query in range(num_queries):
        side = max(1, round(28 * (SQUARE_FRACTION * (1 - query / num_queries) ** 2) ** 0.5))
        row, column = (int(torch.randint(0, 29 - side, (), generator=generator)) for _ in range(2))
        changed = best.clone()
        inside = np.s_[:, :, row : row + side, column : column + side]
        changed[inside] = (pixels[inside] + radius * signs(len(pixels), 1, 1, 1)).clamp(0, 1)
        margin_now = margins(changed)
        is_better = margin_now > highest
        best[is_better], highest = changed[is_better], torch.maximum(margin_now, highest)
    return highest <= 0


GROUP = "Adversarial robustness"
METRICS = [
    *(
        Metric(f"robust_{norm}_{radius}", f"robust accuracy, {NORM_LABELS[norm]} {radius}", 1, GROUP,
               partial(strong_robust_accuracy, norm=norm, radius=radius))
        for norm, radius in (("linf", 0.1), ("linf", 0.2), ("linf", 0.3), ("l2", 1.5))
    ),
    *(
        Metric(f"{name}_{attack.shown_radius}", f"{attack.label} {attack.shown_radius}", 2, GROUP,
               partial(robust_accuracy, attack=name))
        for name, attack in ATTACKS.items()
    ),
    Metric("gradient_masking", "fooled only without gradients, l-infinity 0.1", 1, GROUP, masked_fraction),
    Metric(f"robust_linf_{GREY_RADIUS}", f"not fooled where all can be grey, l-infinity {GREY_RADIUS}", 1, GROUP,
           partial(strong_robust_accuracy, norm="linf", radius=GREY_RADIUS)),
]  # fmt: skip
CURVES = [
    *(Curve(f"robust_{norm}_curve", 1, partial(strong_curve, norm=norm)) for norm in STRONG_RADII),
    *(Curve(f"{name}_curve", 1, partial(robust_accuracy_curve, attack=name)) for name in ATTACKS),
]
