"""The strong attack: APGD on the cross-entropy, then targeted APGD on the difference of logits ratio (Croce and Hein
2020, arXiv 2003.01690), written from the paper and compared with the authors' code.

These are the two white-box gradient attacks of AutoAttack. One network's robust accuracy under them is still an upper
bound, but far nearer to the truth than under PGD with a fixed step.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

NUM_STEPS = 100
BATCH_SIZE = 100  # larger batches do not fit the CPU's cache with their gradients
MOMENTUM = 0.75  # weight of the new step
MIN_INCREASES = 0.75  # of the steps between two checkpoints; with fewer, the step is halved
# Checkpoints, as fractions of the steps: the first interval, its decrease, and the shortest interval.
FIRST_INTERVAL, DECREASE, SHORTEST_INTERVAL = 0.22, 0.03, 0.06
SEED = 0

Pixels = Float[Tensor, "n 1 28 28"]
State = dict[str, Tensor]  # tensors with a row per digit


@dataclass(frozen=True)
class Ball:
    """The perturbations of at most a radius in a norm."""

    norm: str
    """linf or l2."""
    radius: float

    def unit(self, gradient: Tensor) -> Tensor:
        """The direction of the steepest ascent, of length 1."""
        return gradient.sign() if self.norm == "linf" else F.normalize(gradient.flatten(1), eps=1e-12).view_as(gradient)

    def project(self, perturbed: Pixels, pixels: Pixels) -> Pixels:
        """The nearest point in the ball around the digit, with pixels from 0 to 1."""
        change = perturbed - pixels
        if self.norm == "linf":
            change = change.clamp(-self.radius, self.radius)
        else:
            change = change * (self.radius / change.flatten(1).norm(dim=1).clamp(min=self.radius))[:, None, None, None]
        return (pixels + change).clamp(0, 1)

    def random_start(self, pixels: Pixels, generator: torch.Generator) -> Pixels:
        """A random point on the surface of the ball."""
        if self.norm == "linf":
            change = 2 * torch.rand(pixels.shape, generator=generator) - 1
            change /= change.abs().amax((1, 2, 3), keepdim=True)
        else:
            change = F.normalize(torch.randn(pixels.shape, generator=generator).flatten(1)).view(pixels.shape)
        return (pixels + self.radius * change.to(pixels.device)).clamp(0, 1)


def targeted_dlr(
    logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"], targets: Int64[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The targeted difference of logits ratio, which does not depend on the scale of the logits."""
    ordered = logits.sort(dim=1).values
    own, target = (logits.gather(1, classes[:, None])[:, 0] for classes in (labels, targets))
    return (target - own) / (ordered[:, -1] - (ordered[:, -3] + ordered[:, -4]) / 2 + 1e-12)


def is_robust(
    model: nn.Module, pixels: Pixels, labels: Int64[Tensor, " n"], ball: Ball, num_steps: int = NUM_STEPS
) -> Bool[Tensor, " n"]:
    """Whether each digit is classified correctly, also after APGD on the cross-entropy and after targeted APGD towards
    each other class."""
    survives = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    generator = torch.Generator().manual_seed(SEED)
    for part in torch.arange(len(labels), device=labels.device).split(BATCH_SIZE):
        with torch.no_grad():
            logits = model(pixels[part])
        order = logits.argsort(dim=1, descending=True)
        remaining = part[order[:, 0] == labels[part]]
        order = order[order[:, 0] == labels[part]]
        for place in range(logits.shape[1]):  # the label itself stands for the untargeted attack
            if not len(remaining):
                break
            targets = order[:, place] if place else None
            perturbed = apgd(model, pixels[remaining], labels[remaining], ball, generator, num_steps, targets)
            with torch.no_grad():
                is_left = model(perturbed).argmax(1) == labels[remaining]
            remaining, order = remaining[is_left], order[is_left]
        survives[remaining] = True
    return survives


def apgd(
    model: nn.Module,
    pixels: Pixels,
    labels: Int64[Tensor, " n"],
    ball: Ball,
    generator: torch.Generator,
    num_steps: int = NUM_STEPS,
    targets: Int64[Tensor, " n"] | None = None,
) -> Pixels:
    """Perturbed digits that are misclassified, or the digits themselves where none was found. With `targets` the loss
    is the targeted difference of logits ratio, else the cross-entropy.

    Gradient ascent with momentum. The step of a digit begins at twice the radius. At each checkpoint it is halved if
    the loss rose too rarely, or if the best loss stands still; the digit then continues from its best point.
    """
    found = pixels.clone()
    start = ball.random_start(pixels, generator)
    state: State = {"place": torch.arange(len(labels), device=labels.device), "pixels": pixels, "labels": labels}
    state |= {} if targets is None else {"targets": targets}
    state |= {"point": start, "previous": start, "step": torch.full_like(pixels[:, :1, :1, :1], 2 * ball.radius)}
    _measure(model, state, found)
    state |= {f"best_{name}": state[name] for name in ("point", "gradient", "loss")}
    state |= {"loss_at_check": state["loss"], "increases": torch.zeros_like(labels), "was_halved": labels >= 0}
    interval, since_check = max(int(FIRST_INTERVAL * num_steps), 1), 0
    for number in range(num_steps):
        _step(state, ball, MOMENTUM if number else 1.0)
        last_loss = state["loss"]
        _measure(model, state, found)
        state["increases"] = state["increases"] + (state["loss"] > last_loss)
        _choose(state, state["loss"] > state["best_loss"], ("point", "gradient", "loss"), "best_{}", "{}")
        since_check += 1
        if since_check == interval:
            _check(state, interval)
            state = {name: values[~state["is_fooled"]] for name, values in state.items()}
            interval = max(interval - max(int(DECREASE * num_steps), 1), int(SHORTEST_INTERVAL * num_steps), 1)
            since_check = 0
            if not len(state["labels"]):
                break
    return found


def _measure(model: nn.Module, state: State, found: Pixels) -> None:
    """Loss and gradient at the points. Points that are misclassified go into `found`."""
    point, labels = state["point"].detach().requires_grad_(True), state["labels"]
    with torch.enable_grad():
        logits = model(point)
        if "targets" in state:
            loss = targeted_dlr(logits, labels, state["targets"])
        else:
            loss = F.cross_entropy(logits, labels, reduction="none")
        (state["gradient"],) = torch.autograd.grad(loss.sum(), point)
    state["loss"] = loss.detach()
    is_wrong = logits.detach().argmax(1) != labels
    found[state["place"][is_wrong]] = point.detach()[is_wrong]
    state["is_fooled"] = state["is_fooled"] | is_wrong if "is_fooled" in state else is_wrong


def _step(state: State, ball: Ball, weight: float) -> None:
    point, pixels = state["point"], state["pixels"]
    ascended = ball.project(point + state["step"] * ball.unit(state["gradient"]), pixels)
    moved = point + weight * (ascended - point) + (1 - weight) * (point - state["previous"])
    state["previous"], state["point"] = point, ball.project(moved, pixels)


def _check(state: State, interval: int) -> None:
    """A checkpoint after `interval` steps."""
    rose_rarely = state["increases"] <= MIN_INCREASES * interval
    stands_still = ~state["was_halved"] & (state["best_loss"] <= state["loss_at_check"])
    is_halved = rose_rarely | stands_still
    state["step"] = torch.where(_as_images(is_halved), state["step"] / 2, state["step"])
    _choose(state, is_halved, ("point", "gradient"), "{}", "best_{}")
    state["was_halved"], state["loss_at_check"] = is_halved, state["best_loss"]
    state["increases"] = torch.zeros_like(state["increases"])


def _choose(state: State, where: Bool[Tensor, " n"], names: tuple[str, ...], target: str, source: str) -> None:
    """Copies tensors of the digits for which `where` is true."""
    for name in names:
        value, other = state[target.format(name)], state[source.format(name)]
        state[target.format(name)] = torch.where(where if value.ndim == 1 else _as_images(where), other, value)


def _as_images(values: Bool[Tensor, " n"]) -> Bool[Tensor, "n 1 1 1"]:
    return values[:, None, None, None]
