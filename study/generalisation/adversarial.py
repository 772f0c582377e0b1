"""Digits changed by as little as possible so that the network errs: by one step up the gradient, and by many."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from tqdm import tqdm

from study.generalisation.cells import Part, share_cell
from study.generalisation.subject import Subject
from utils.preloading import to_pixels

NUM_DIGITS = 500
BATCH_SIZE = 100  # with gradients, the activations of more digits do not fit the cache: five times as slow
NUM_STEPS = 20
STEP_SHARE = 0.15  # of the radius: twenty such steps cross the ball

Pixels = Float[Tensor, "n 1 28 28"]


Loss = Callable[[Tensor, Tensor], Tensor]  # from logits and labels to what the attack raises


def cross_entropy(logits: Float[Tensor, "n 10"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits, labels, reduction="sum")


def margin(logits: Float[Tensor, "n 10"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    """By how much the highest other logit is above that of the label. Its gradient does not vanish where a network is
    very sure, as that of the cross-entropy does (Carlini and Wagner 2017, arXiv 1608.04644)."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (others.amax(1) - logits.gather(1, labels[:, None])[:, 0]).sum()


LOSSES = (cross_entropy, margin)


@dataclass(frozen=True)
class Attack:
    """A way up the loss: which change a step makes, and which changes are allowed."""

    radii: tuple[float, ...]
    """How large a change may be, pixels going from 0 to 1."""
    shown_radius: float
    """Whose accuracy is a cell."""
    num_steps: int
    step_share: float
    """A step's length as a share of the radius."""
    direction: Callable[[Tensor], Tensor]
    """From a gradient to a step of length 1."""
    limit: Callable[[Tensor, float], Tensor]
    """From a change to the nearest one that is allowed."""

    def change(
        self, model: nn.Module, pixels: Pixels, labels: Int64[Tensor, " n"], radius: float, loss: Loss
    ) -> Pixels:
        """The digits after the attack."""
        changed = pixels
        for _ in range(self.num_steps):
            point = changed.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(model(point), labels), point)
            step = self.direction(gradient) * (self.step_share * radius)
            changed = (pixels + self.limit(point.detach() + step - pixels, radius)).clamp(0, 1)
        return changed


def _unit(gradient: Tensor) -> Tensor:
    return F.normalize(gradient.flatten(1)).view_as(gradient)


def _clamp(change: Tensor, radius: float) -> Tensor:
    return change.clamp(-radius, radius)


def _shorten(change: Tensor, radius: float) -> Tensor:
    return torch.renorm(change, 2, 0, radius)


LARGEST_CHANGES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
LENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0)
ATTACKS = {
    "FGSM": Attack(LARGEST_CHANGES, 0.1, 1, 1.0, torch.sign, _clamp),
    "PGD": Attack(LARGEST_CHANGES, 0.1, NUM_STEPS, STEP_SHARE, torch.sign, _clamp),
    "PGD, l2": Attack(LENGTHS, 1.5, NUM_STEPS, STEP_SHARE, _unit, _shorten),
}


def adversarial(subject: Subject) -> Part:
    """Robust accuracy over the radius, for FGSM (Goodfellow et al. 2015, arXiv 1412.6572) and PGD from the digit itself
    (Madry et al. 2018, arXiv 1706.06083), in the l-infinity norm and in l2; a digit is robust that is named right after
    the attacks on either loss. These are upper bounds: a stronger attack may find more."""
    digits = subject.sample(NUM_DIGITS)
    pixels, labels = to_pixels(digits.images).to(subject.device), digits.labels.to(subject.device)
    cells, curves = {}, {}
    for name, attack in ATTACKS.items():
        right = right_under(subject.model, attack, pixels, labels, name)
        cells[f"{name} of {attack.shown_radius}"] = share_cell(right[1 + attack.radii.index(attack.shown_radius)])
        curves[name] = {"radius": [0.0, *attack.radii], "accuracy": right.mean(1).tolist()}
    return Part(cells, curves)


def right_under(
    model: nn.Module, attack: Attack, pixels: Pixels, labels: Int64[Tensor, " n"], name: str
) -> Bool[np.ndarray, "radii_and_zero n"]:
    """Which digits are named right unchanged, and under the attack at each radius and all smaller ones, whose changes
    it allows."""
    with torch.no_grad():
        holds = torch.cat([model(part) for part in pixels.split(BATCH_SIZE)]).argmax(1) == labels
    right = [holds.cpu().numpy().copy()]
    for radius in tqdm(attack.radii, desc=name, disable=None, leave=False):
        for part in holds.nonzero().flatten().split(BATCH_SIZE):
            for loss in LOSSES:
                changed = attack.change(model, pixels[part], labels[part], radius, loss)
                with torch.no_grad():
                    holds[part] &= model(changed).argmax(1) == labels[part]
        right.append(holds.cpu().numpy().copy())
    return np.stack(right)
