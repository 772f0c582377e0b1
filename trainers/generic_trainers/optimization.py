"""Optimizer, learning rates and average of weights, from a TrainConfig."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from trainers.recipe import TrainConfig

ONE_CYCLE_START = 1 / 25  # of the highest learning rate; both as in torch's OneCycleLR
ONE_CYCLE_END = 1e-4  # of the first learning rate


def build_optimizer(
    parameters: Iterable[Tensor], config: TrainConfig, device: torch.device, is_stacked: bool = False
) -> torch.optim.Optimizer:
    """The optimizer over these parameters; weight decay on matrices and kernels, not on biases and norms.

    `is_stacked`: the parameters of several networks lie along a first axis.
    """
    parameters = list(parameters)
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if config.weight_decay:  # a second group costs a second kernel a step
        matrix_dimensions = 3 if is_stacked else 2
        groups = [
            {"params": [p for p in parameters if p.ndim >= matrix_dimensions], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < matrix_dimensions]},
        ]
    fused = device.type in ("cpu", "cuda")  # one kernel for all parameters
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.learning_rate, config.momentum, nesterov=config.momentum > 0, fused=fused)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    betas = (config.momentum, config.adam_beta2)
    return kind(groups, config.learning_rate, betas, weight_decay=0.0, fused=fused)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float, device: torch.device) -> None:
    """Sets the rate of the next steps: on CUDA in a tensor that stays in place, where a recorded step reads it."""
    for group in optimizer.param_groups:
        if device.type != "cuda":
            group["lr"] = rate
        elif isinstance(group["lr"], Tensor) and group["lr"].is_cuda:  # else it is new, or comes from a checkpoint
            group["lr"].fill_(rate)
        else:
            group["lr"] = torch.full((), rate, device=device)


def learning_rates(config: TrainConfig, epoch: int, steps_per_epoch: int, val_losses: list[float]) -> list[float]:
    """The learning rate of each step of an epoch, counted from 1: a function of the configuration and of the
    validation losses of the epochs before, so that no schedule has a state to save."""
    if config.schedule == "step":
        return [config.learning_rate * config.decay_factor ** ((epoch - 1) // config.step_epochs)] * steps_per_epoch
    if config.schedule == "plateau":
        return [_plateau(config, val_losses)] * steps_per_epoch
    first = (epoch - 1) * steps_per_epoch
    last = config.num_epochs * steps_per_epoch
    return [_at_step(config, step, last) for step in range(first, first + steps_per_epoch)]


def _at_step(config: TrainConfig, step: int, num_steps: int) -> float:
    if config.schedule == "cosine":
        return _cosine(config.learning_rate, 0.0, step / num_steps)
    if config.schedule == "one_cycle":  # Smith and Topin 2017, arXiv 1708.07120
        start = config.learning_rate * ONE_CYCLE_START
        peak = config.warmup_fraction * num_steps - 1
        if step <= peak:
            return _cosine(start, config.learning_rate, step / peak if peak > 0 else 1.0)
        return _cosine(config.learning_rate, start * ONE_CYCLE_END, (step - peak) / (num_steps - 1 - peak))
    return config.learning_rate


def _cosine(begin: float, end: float, share: float) -> float:
    """Half a cosine wave from begin to end."""
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def _plateau(config: TrainConfig, val_losses: list[float]) -> float:
    """The rate that torch's ReduceLROnPlateau has reached after these losses."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], config.learning_rate)
    scheduler = ReduceLROnPlateau(optimizer, factor=config.decay_factor, patience=config.plateau_patience)
    for loss in val_losses:
        scheduler.step(loss)
    return float(optimizer.param_groups[0]["lr"])


class MovingAverage:
    """The exponential moving average of a network's weights, from its first weights on.

    torch's AveragedModel asks the device in each step whether it is the first: it would wait there, and no graph
    could record it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.mix = get_ema_multi_avg_fn(decay)  # (averages, weights after one more step), in place

    def update(self, model: nn.Module) -> None:
        """Takes the weights after one more step in."""
        self.mix(list(self.module.parameters()), list(model.parameters()), 0)


def build_average(model: nn.Module, config: TrainConfig) -> MovingAverage | None:
    """The average of the weights that the configuration asks for, or None."""
    return MovingAverage(model, config.ema_decay) if config.ema_decay else None


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm of the whole gradient."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
