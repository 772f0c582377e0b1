"""Loss, gradient clipping, optimizers, learning-rate schedules and the moving average of weights.

To add an optimizer or a schedule, add a function to OPTIMIZERS or SCHEDULES and its id to utils/recipe.py.
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from utils.recipe import Recipe

ONE_CYCLE_START = 1 / 25  # of the highest learning rate; both factors as in torch's OneCycleLR
ONE_CYCLE_END = 1e-4  # of the first learning rate


# Loss and gradient.


def training_loss(
    logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"], recipe: Recipe
) -> Float[Tensor, ""]:
    """The recipe's loss, a mean over the batch: cross-entropy. Label smoothing spreads a fraction of each target over
    all classes. To add a loss, add a recipe field and use it here."""
    return F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)


def depends_on_weights(compute_loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module) -> bool:
    """Whether the loss has a gradient with respect to the weights for fixed logits, as with a regulariser."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    logits = torch.zeros(2, 10, device=parameters[0].device, requires_grad=True)
    labels = torch.zeros(2, dtype=torch.int64, device=parameters[0].device)
    gradients = torch.autograd.grad(compute_loss(logits, labels), [logits, *parameters], allow_unused=True)
    return any(gradient is not None for gradient in gradients[1:])


def clip_gradients(parameters: Iterable[Tensor], max_norm: float, is_stacked: bool = False) -> None:
    """Scales the gradient of a network to at most this Euclidean norm.

    `is_stacked`: the parameters hold several networks along the first axis, and each network is clipped by its own
    norm, as torch's clip_grad_norm_ clips one.
    """
    if not is_stacked:
        nn.utils.clip_grad_norm_(parameters, max_norm)
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    squares = [gradient.flatten(1).square().sum(dim=1) for gradient in gradients]
    factors = (max_norm / (torch.stack(squares).sum(dim=0).sqrt() + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm of the whole gradient."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


# Optimizers.


# Id -> function of parameter groups, recipe, and whether one fused kernel updates all parameters.
OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Recipe, bool], torch.optim.Optimizer]] = {
    "adam": lambda groups, recipe, fused: torch.optim.Adam(
        groups, recipe.learning_rate, (recipe.momentum, recipe.adam_beta2), weight_decay=0.0, fused=fused
    ),
    "adamw": lambda groups, recipe, fused: torch.optim.AdamW(
        groups, recipe.learning_rate, (recipe.momentum, recipe.adam_beta2), weight_decay=0.0, fused=fused
    ),
    "sgd": lambda groups, recipe, fused: torch.optim.SGD(
        groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0, fused=fused
    ),
}


def build_optimizer(
    parameters: Iterable[Tensor], recipe: Recipe, device: torch.device, is_stacked: bool = False
) -> torch.optim.Optimizer:
    """The recipe's optimizer over these parameters. Weight decay applies to matrices and kernels, not to biases and
    norm layers.

    `is_stacked`: the parameters hold several networks along the first axis.
    """
    parameters = list(parameters)
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if recipe.weight_decay:  # only then: a second group costs a second kernel per step
        matrix_dimensions = 3 if is_stacked else 2
        groups = [
            {"params": [p for p in parameters if p.ndim >= matrix_dimensions], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim < matrix_dimensions]},
        ]
    return OPTIMIZERS[recipe.optimizer](groups, recipe, device.type in ("cpu", "cuda"))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float, device: torch.device) -> None:
    """Sets the rate of the next steps. On CUDA the rate is a tensor that stays in place, where a recorded step reads
    it."""
    for group in optimizer.param_groups:
        if device.type != "cuda":
            group["lr"] = rate
        elif isinstance(group["lr"], Tensor) and group["lr"].is_cuda:
            group["lr"].fill_(rate)
        else:  # the optimizer is new or comes from a checkpoint
            group["lr"] = torch.full((), rate, device=device)


# Learning-rate schedules. A schedule is a function of the recipe and of the epoch, and has no state to save.


@dataclass(frozen=True)
class Epoch:
    """What a schedule depends on, besides the recipe."""

    number: int
    """Counted from 1."""
    steps_per_epoch: int
    val_losses: list[float]
    """Validation losses of the epochs before."""

    @property
    def steps(self) -> range:
        """The steps of the epoch, counted from 0 over the whole run."""
        return range((self.number - 1) * self.steps_per_epoch, self.number * self.steps_per_epoch)


def constant(recipe: Recipe, epoch: Epoch) -> list[float]:
    return [recipe.learning_rate] * epoch.steps_per_epoch


def step(recipe: Recipe, epoch: Epoch) -> list[float]:
    """Multiplies the rate by the decay factor every `step_epochs` epochs."""
    rate = recipe.learning_rate * recipe.decay_factor ** ((epoch.number - 1) // recipe.step_epochs)
    return [rate] * epoch.steps_per_epoch


def cosine(recipe: Recipe, epoch: Epoch) -> list[float]:
    """Half a cosine wave from the learning rate to 0."""
    num_steps = recipe.num_epochs * epoch.steps_per_epoch
    return [_half_wave(recipe.learning_rate, 0.0, i / num_steps) for i in epoch.steps]


def one_cycle(recipe: Recipe, epoch: Epoch) -> list[float]:
    """Up to the learning rate and down again (Smith and Topin 2017, arXiv 1708.07120)."""
    num_steps = recipe.num_epochs * epoch.steps_per_epoch
    start = recipe.learning_rate * ONE_CYCLE_START
    peak = recipe.warmup_fraction * num_steps - 1

    def rate(i: int) -> float:
        if i <= peak:
            return _half_wave(start, recipe.learning_rate, i / peak if peak > 0 else 1.0)
        return _half_wave(recipe.learning_rate, start * ONE_CYCLE_END, (i - peak) / (num_steps - 1 - peak))

    return [rate(i) for i in epoch.steps]


def plateau(recipe: Recipe, epoch: Epoch) -> list[float]:
    """The rate of torch's ReduceLROnPlateau after the validation losses so far."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], recipe.learning_rate)
    scheduler = ReduceLROnPlateau(optimizer, factor=recipe.decay_factor, patience=recipe.plateau_patience)
    for loss in epoch.val_losses:
        scheduler.step(loss)
    return [float(optimizer.param_groups[0]["lr"])] * epoch.steps_per_epoch


SCHEDULES: dict[str, Callable[[Recipe, Epoch], list[float]]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "plateau": plateau,
}


def learning_rates(recipe: Recipe, epoch: int, steps_per_epoch: int, val_losses: list[float]) -> list[float]:
    """The learning rate of each step of an epoch by the recipe's schedule. `val_losses`: of the epochs before."""
    return SCHEDULES[recipe.schedule](recipe, Epoch(epoch, steps_per_epoch, val_losses))


def _half_wave(begin: float, end: float, fraction: float) -> float:
    """Half a cosine wave from begin to end."""
    return end + (begin - end) * (1 + math.cos(math.pi * fraction)) / 2


# The moving average of weights.


class MovingAverage:
    """The exponential moving average of a network's weights, starting from its first weights.

    torch's AveragedModel asks the device in each step whether it is the first step. That waits for the device, and a
    CUDA graph cannot record it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.mix = get_ema_multi_avg_fn(decay)  # (averages, weights after one more step), in place

    def update(self, model: nn.Module) -> None:
        """Adds the weights after one more step."""
        self.mix(list(self.module.parameters()), list(model.parameters()), 0)
