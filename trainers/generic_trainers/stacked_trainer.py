"""Networks that differ only in seed, trained as one: their weights lie stacked, a layer is one batched product."""

import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.graphed_step import as_compiled
from trainers.generic_trainers.optimization import build_optimizer, set_learning_rate
from trainers.generic_trainers.progress import Progress
from trainers.recipe import TrainConfig
from utils.augmentation import transform
from utils.devices import autocast, synchronize
from utils.errors import UserError
from utils.image_set import ImageSet
from utils.preloading import PreloadedBatches

STACK_SIZES = {"cpu": 8, "cuda": 64}  # networks; on a CPU more gain little (benchmarks/SPEED_LOG.md), CUDA is a guess


def stack_size(model: nn.Module, config: TrainConfig, device: torch.device, compile_mode: str) -> int:
    """How many networks of one recipe are best trained together. 1 where it does not pay (convolutions) or where one
    could not get what it gets alone (dropout draws, learning rates that follow the validation loss)."""
    with_weights = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    only_linear = all(isinstance(module, nn.Linear) for module in with_weights)
    has_dropout = any(isinstance(module, nn.Dropout) for module in model.modules())
    alone = has_dropout or config.schedule == "plateau" or not config.preload or config.engine == "numpy"
    if not only_linear or alone:
        return 1
    return STACK_SIZES.get(device.type, 1) if compile_mode != "inductor" else 1


class StackedTrainer:
    """Trains the networks of several trainers in one loop. Each keeps its own run, order of digits, augmentation,
    validation and checkpoints, and ends as it would alone, within rounding."""

    def __init__(self, trainers: Sequence[BasicTrainer], train_set: ImageSet, compile_mode: str) -> None:
        """The trainers are fresh and differ only in seed; their weights become views into the stack."""
        first = trainers[0]
        self.trainers = trainers
        self.config, self.device, self.precision, self.model = first.config, first.device, first.precision, first.model
        self.names = [name for name, _ in self.model.named_parameters()]
        self.parameters = _stack([list(trainer.model.parameters()) for trainer in trainers])
        self.optimizer = build_optimizer(self.parameters, self.config, self.device, is_stacked=True)
        self.averages = [trainer.average for trainer in trainers if trainer.average is not None]
        self.averaged = _stack([list(average.module.parameters()) for average in self.averages])
        self.batches = PreloadedBatches(train_set, self.config.batch_size, self.device)
        self.forward = vmap(self.one_forward)
        self.step = as_compiled(self.train_step, self.optimizer, self.config.batch_size, compile_mode)
        self.failures: dict[int, UserError] = {}  # seed -> why its network could not go on

    def one_forward(self, parameters: list[Tensor], images: Tensor) -> Tensor:
        """The logits of one network, which vmap makes those of all."""
        logits: Tensor = functional_call(self.model, dict(zip(self.names, parameters, strict=True)), (images,))
        return logits

    def fit(self, progress: Progress) -> None:
        """Trains until each network has had its epochs, has stalled or has failed; see `failures`."""
        for trainer in self.trainers:
            trainer.save_last()
        epoch = 0
        while going_on := [trainer for trainer in self.trainers if self.goes_on(trainer)]:
            epoch += 1
            self.train_epoch(epoch, going_on, progress)
            progress.epochs_done([trainer.rows[-1] for trainer in going_on if len(trainer.rows) == epoch])

    def goes_on(self, trainer: BasicTrainer) -> bool:
        is_over = len(trainer.rows) == self.config.num_epochs or trainer.has_stalled()
        return not is_over and trainer.config.seed not in self.failures

    def train_epoch(self, epoch: int, going_on: list[BasicTrainer], progress: Progress) -> None:
        """An epoch of all networks, written down for those that go on."""
        started = time.perf_counter()
        plans = [trainer.plan_epoch(epoch) for trainer in self.trainers]
        orders = torch.stack([plan.order for plan in plans]).to(self.device)  # (network, digit)
        all_maps = torch.stack([plan.maps for plan in plans])  # (network, digit, 2, 3)
        all_logits = []
        size = self.config.batch_size
        steps = zip(plans[0].rates, orders.split(size, dim=1), all_maps.split(size, dim=1), strict=True)
        for rate, indices, maps in steps:
            set_learning_rate(self.optimizer, rate, self.device)
            images, labels = self.batches.take(indices.flatten())
            if not self.trainers[0].augmentation.is_identity:
                images = transform(images, maps.flatten(0, 1))
            all_logits.append(self.step(images.unflatten(0, indices.shape), labels.view_as(indices)))
            progress.step_done()
        synchronize(self.device)
        seconds = (time.perf_counter() - started) / len(going_on)  # each network's share
        logits = torch.cat(all_logits, dim=1)
        for place, trainer in enumerate(self.trainers):
            if trainer in going_on:
                self.hand_back(place, plans[0].rates[-1])
                labels = self.batches.labels.index_select(0, orders[place])
                try:
                    trainer.record(trainer.judge_epoch(epoch, plans[0].rates[-1], logits[place], labels, seconds))
                except UserError as error:
                    self.failures[trainer.config.seed] = error

    def train_step(
        self, images: Float[Tensor, "network batch 1 28 28"], labels: Int64[Tensor, "network batch"]
    ) -> Float[Tensor, "network batch 10"]:
        """One step of every network on its own batch. Returns the logits from before the step, float32."""
        self.optimizer.zero_grad()
        with autocast(self.device, self.precision):
            logits: Tensor = self.forward(self.parameters, images).float()
        mean = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=self.config.label_smoothing)
        (mean * len(self.trainers)).backward()  # the sum of the networks' losses: each gets its own gradient
        if self.config.gradient_clip_norm:
            _clip_each(self.parameters, self.config.gradient_clip_norm)
        self.optimizer.step()
        if self.averages:
            self.averages[0].mix(self.averaged, self.parameters, 0)
        return logits.detach()

    def hand_back(self, place: int, rate: float) -> None:
        """Gives a trainer its network's gradients and optimizer state, as views, as if it had trained alone."""
        trainer = self.trainers[place]
        set_learning_rate(trainer.optimizer, rate, self.device)
        for stacked, own in zip(self.parameters, trainer.model.parameters(), strict=True):
            assert stacked.grad is not None
            own.grad = stacked.grad[place]
            state = self.optimizer.state[stacked]
            trainer.optimizer.state[own] = {
                key: value[place] if isinstance(value, Tensor) and value.ndim else value for key, value in state.items()
            }


def _stack(networks: list[list[Tensor]]) -> list[Tensor]:
    """Stacks each parameter of several networks along a first axis and makes their own ones views into the stack."""
    stacks = []
    for parameters in zip(*networks, strict=True):
        stack = torch.stack([parameter.detach() for parameter in parameters])
        for place, parameter in enumerate(parameters):
            parameter.data = stack[place]
        stacks.append(stack.requires_grad_(parameters[0].requires_grad))
    return stacks


def _clip_each(parameters: list[Tensor], max_norm: float) -> None:
    """As torch's clip_grad_norm_, for each network along the first axis by its own norm."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    squares = [gradient.flatten(1).square().sum(dim=1) for gradient in gradients]
    factors = (max_norm / (torch.stack(squares).sum(dim=0).sqrt() + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
