"""Trains several networks that differ only in seed as one: their weights are stacked, so each layer is one batched
matrix product."""

import time
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call, vmap

from models.layers import LayeredNet
from trainers.generic_trainers.basic_trainer import BasicTrainer, EpochPlan
from trainers.generic_trainers.cuda_graph import as_compiled
from trainers.generic_trainers.logging import Callback, Progress
from trainers.generic_trainers.optimization import (
    build_optimizer,
    clip_gradients,
    depends_on_weights,
    set_learning_rate,
)
from utils.data.batches import PreloadedBatches
from utils.errors import UserError
from utils.recipe import Execution, Recipe
from utils.runtime import autocast, synchronize

STACK_SIZES = {"cpu": 8, "cuda": 64}  # networks; larger stacks gain little on a CPU (SPEED_LOG.md), 64 is not tuned


def stack_size(model: nn.Module, recipe: Recipe, execution: Execution) -> int:
    """How many networks of one recipe to train together, given the resolved execution.

    1 if stacking does not pay (convolutions), if the model is your own class, whose code vmap may not handle, or if a
    network would not get what it gets alone: its own dropout draws, a learning rate that follows its validation loss,
    or objectives besides classification.
    """
    with_weights = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    only_linear = isinstance(model, LayeredNet) and all(isinstance(module, nn.Linear) for module in with_weights)
    has_dropout = any(isinstance(module, nn.Dropout) for module in model.modules())
    alone = has_dropout or recipe.schedule == "plateau" or recipe.backend == "numpy" or recipe.has_objectives
    if not only_linear or alone or not execution.preload or execution.compile == "inductor":
        return 1
    return STACK_SIZES.get(torch.device(execution.device).type, 1)


class StackedTrainer:
    """Trains the networks of several trainers in one loop. Each trainer has its own run, order of images, augmentation,
    validation and checkpoints, and its network ends as it would alone, within rounding."""

    def __init__(self, trainers: Sequence[BasicTrainer]) -> None:
        """The trainers are new and differ only in seed. Their weights become views of the stack.

        Raises UserError for trainers that cannot be stacked.
        """
        first = trainers[0]
        for trainer in trainers:
            _check_stackable(trainer, first)
        assert isinstance(first.batches, PreloadedBatches)
        self.trainers = trainers
        self.recipe, self.execution, self.device = first.recipe, first.execution, first.device
        self.model, self.compute_loss, self.batches = first.model, first.compute_loss, first.batches
        self.augmentation = first.augmentation
        self.names = [name for name, _ in self.model.named_parameters()]
        self.parameters = _stack([list(trainer.model.parameters()) for trainer in trainers])
        self.optimizer = build_optimizer(self.parameters, self.recipe, self.device, is_stacked=True)
        self.averages = [trainer.average for trainer in trainers if trainer.average is not None]
        self.averaged = _stack([list(average.module.parameters()) for average in self.averages])
        self.forward = vmap(self.one_forward)
        self.step = as_compiled(self.train_step, self.optimizer, self.recipe.batch_size, self.execution.compile)
        self.progress = Progress(self.recipe.num_epochs, first.steps_per_epoch)
        self.step_callbacks: list[Callback] = [self.progress]
        self.failures: dict[int, UserError] = {}
        """Seed -> the error that stopped its network."""

    def one_forward(self, parameters: list[Tensor], images: Tensor) -> Tensor:
        """The logits of one network; vmap makes them those of all networks."""
        logits: Tensor = functional_call(self.model, dict(zip(self.names, parameters, strict=True)), (images,))
        return logits

    def fit(self) -> None:
        """Trains until each network has reached its last epoch, early stopping or a failure; see `failures`."""
        for trainer in self.trainers:
            trainer.save_last()
        epoch = 0
        with self.progress.shown():
            while active := [trainer for trainer in self.trainers if self.is_active(trainer)]:
                epoch += 1
                self.train_epoch(epoch, active)
                self.progress.epochs_done(
                    [trainer.metrics[-1] for trainer in active if trainer.recipe.seed not in self.failures]
                )

    def is_active(self, trainer: BasicTrainer) -> bool:
        return not trainer.is_done and trainer.recipe.seed not in self.failures

    def train_epoch(self, epoch: int, active: list[BasicTrainer]) -> None:
        """An epoch of all networks. Only the active trainers finish it: validation, metrics and checkpoints."""
        started = time.perf_counter()
        plans = [trainer.begin_epoch(epoch) for trainer in self.trainers]
        orders = torch.stack([plan.order for plan in plans]).to(self.device)  # (network, image)
        all_maps = torch.stack([plan.maps for plan in plans])  # (network, image, 2, 3)
        all_logits = []
        size = self.recipe.batch_size
        steps = zip(plans[0].rates, orders.split(size, dim=1), all_maps.split(size, dim=1), strict=True)
        for rate, indices, maps in steps:
            set_learning_rate(self.optimizer, rate, self.device)
            images, labels = self.batches.take(indices.flatten())
            images = self.augmented(images, maps, plans)
            all_logits.append(self.step(images.unflatten(0, indices.shape), labels.view_as(indices)))
            for callback in self.step_callbacks:
                callback.step_done()
        synchronize(self.device)
        seconds = (time.perf_counter() - started) / len(active)  # per network
        logits = torch.cat(all_logits, dim=1)
        for place, (trainer, plan) in enumerate(zip(self.trainers, plans, strict=True)):
            if trainer in active:
                trainer.adopt_step(plan.rates[-1], *self.state_of(place))
                labels = self.batches.labels.index_select(0, orders[place])
                try:
                    trainer.finish_epoch(plan, logits[place], labels, seconds)
                except UserError as error:
                    self.failures[trainer.recipe.seed] = error

    def augmented(
        self, images: Float[Tensor, "n 1 28 28"], maps: Float[Tensor, "network batch 2 3"], plans: Sequence[EpochPlan]
    ) -> Float[Tensor, "n 1 28 28"]:
        """The batches of all networks, one after the other, after the augmentation. Each network has its own random
        numbers."""
        if not self.augmentation.draws_per_batch:
            return self.augmentation.apply(images, maps.flatten(0, 1), plans[0].generator)
        parts = zip(images.split(maps.shape[1]), maps, plans, strict=True)
        return torch.cat([self.augmentation.apply(part, own, plan.generator) for part, own, plan in parts])

    def train_step(
        self, images: Float[Tensor, "network batch 1 28 28"], labels: Int64[Tensor, "network batch"]
    ) -> Float[Tensor, "network batch 10"]:
        """One step of every network on its own batch. Returns the logits from before the step, float32."""
        self.optimizer.zero_grad()
        with autocast(self.device, self.execution.precision):
            logits: Tensor = self.forward(self.parameters, images).float()
        mean = self.compute_loss(logits.flatten(0, 1), labels.flatten())
        (mean * len(self.trainers)).backward()  # the sum of the networks' losses: each network gets its own gradient
        if self.recipe.gradient_clip_norm:
            clip_gradients(self.parameters, self.recipe.gradient_clip_norm, is_stacked=True)
        self.optimizer.step()
        if self.averages:
            self.averages[0].mix(self.averaged, self.parameters, 0)
        return logits.detach()

    def state_of(self, place: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """The gradients and the optimizer state of one network, as views, one entry per parameter."""
        gradients = [stacked.grad[place] for stacked in self.parameters if stacked.grad is not None]
        states = [
            {
                key: value[place] if isinstance(value, Tensor) and value.ndim else value
                for key, value in self.optimizer.state[stacked].items()
            }
            for stacked in self.parameters
        ]
        return gradients, states


def _check_stackable(trainer: BasicTrainer, first: BasicTrainer) -> None:
    for hook in ("compute_loss", "train_step", "train_epoch"):
        if getattr(type(trainer), hook) is not getattr(BasicTrainer, hook):
            raise UserError(f"{type(trainer).__name__} overrides {hook}: train its networks one at a time")
    if depends_on_weights(trainer.compute_loss, trainer.model):
        raise UserError("compute_loss depends on the weights: train networks with a regulariser one at a time")
    if trainer.recipe.without_seed != first.recipe.without_seed or trainer.metrics:
        raise UserError("networks are trained together only if they are new and their recipes differ only in seed")
    if stack_size(trainer.model, trainer.recipe, trainer.execution) == 1:
        raise UserError(
            f"networks of {trainer.recipe.model or type(trainer.model).__name__} cannot be trained together by this "
            "recipe: train them one at a time"
        )


def _stack(networks: list[list[Tensor]]) -> list[Tensor]:
    """Stacks each parameter of several networks along a first axis and makes their own parameters views of the
    stack."""
    stacks = []
    for parameters in zip(*networks, strict=True):
        stack = torch.stack([parameter.detach() for parameter in parameters])
        for place, parameter in enumerate(parameters):
            parameter.data = stack[place]
        stacks.append(stack.requires_grad_(parameters[0].requires_grad))
    return stacks
