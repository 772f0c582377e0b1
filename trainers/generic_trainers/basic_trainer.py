"""The training loop: fit -> train_epoch -> train_step."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from models.registry import BEST_KEYS, check_output
from trainers.generic_trainers.cuda_graph import as_compiled
from trainers.generic_trainers.logging import Callback, Progress
from trainers.generic_trainers.optimization import (
    MovingAverage,
    build_optimizer,
    clip_gradients,
    gradient_norm,
    learning_rates,
    set_learning_rate,
    training_loss,
)
from trainers.generic_trainers.robust_training import Objectives
from utils.checkpoints import load_checkpoint, load_weights, save_checkpoint
from utils.data.augmentation import Augmentation
from utils.data.batches import BatchSource, PreloadedBatches, StreamedBatches
from utils.data.datasets import ImageSet
from utils.errors import UserError
from utils.evaluation import predict_logits, score
from utils.files import shown, sync_folder
from utils.recipe import Execution, Recipe
from utils.run import EpochMetrics, Run, selected_epoch
from utils.runtime import autocast, memory_format, random_seed, resolve_execution, synchronize

LAST_KEYS = {"epoch", "seconds", "model", "optimizer", "average"}
NUM_BATCH_NORM_IMAGES = 10_000  # training images for the batch-norm statistics of the averaged weights

LabelledImages = ImageSet | tuple[Tensor, Tensor] | DataLoader


@dataclass(frozen=True)
class EpochPlan:
    """Everything random in an epoch, and its learning rates."""

    epoch: int
    """Counted from 1."""
    rates: list[float]
    """Learning rate of each step."""
    order: Int64[Tensor, " n"]
    """Indices of the training images."""
    maps: Float[Tensor, "n 2 3"]
    """Affine map of each image, in this order."""
    generator: torch.Generator
    """What the augmentation draws batch by batch."""


@dataclass(frozen=True)
class EpochDetails:
    """What the metrics of an epoch were computed from, for TensorBoard."""

    rates: list[float]
    """Learning rate of each step."""
    losses: Float[Tensor, " n"]
    """Loss of each training image, in the order of the steps."""
    val_logits: Float[Tensor, "m classes"]


class BasicTrainer:
    """Trains one network. For another loss, override `compute_loss`; for another step, override `train_step`."""

    def __init__(
        self,
        model: nn.Module,
        train_set: LabelledImages,
        validation_set: LabelledImages,
        recipe: Recipe = Recipe(),
        execution: Execution = Execution(),
        run: Run | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """The model maps pixels in [0, 1] of shape (n, 1, 28, 28) to logits (n, classes), and is moved to the device.

        A set is an ImageSet, a pair of tensors (images, labels), or a DataLoader that yields such pairs; a loader is
        read once into memory. Images are uint8, or float in [0, 1], of shape (n, 28, 28) or (n, 1, 28, 28).

        With a run, metrics and checkpoints are written after each epoch. Without a run nothing is written.

        Raises UserError if model, data, recipe and execution do not fit together.
        """
        self.recipe = recipe
        self.run = run
        self.execution = resolve_execution(recipe, model, execution)
        self.device = torch.device(self.execution.device)
        self.model = model.to(self.device).to(memory_format=memory_format(model))
        num_outputs = check_output(self.model, None)
        train_images = as_image_set(train_set, "training set", num_outputs)
        validation_images = as_image_set(validation_set, "validation set", num_outputs)
        self.num_images = len(train_images)
        check_output(self.model, num_outputs, training_batch=1 if self.num_images % recipe.batch_size == 1 else 2)

        self.optimizer = build_optimizer(self.model.parameters(), recipe, self.device)
        self.average = MovingAverage(self.model, recipe.ema_decay) if recipe.ema_decay else None
        self.augmentation = Augmentation.of(recipe)
        self.batches: BatchSource = (
            PreloadedBatches(train_images, recipe.batch_size, self.device)
            if self.execution.preload
            else StreamedBatches(train_images, recipe.batch_size, self.device, self.execution.num_workers)
        )
        self.validation_set = validation_images.to(self.device)
        self.steps_per_epoch = math.ceil(self.num_images / recipe.batch_size)
        self.forward: Callable[[Tensor], Tensor] = self.model
        if self.execution.compile == "inductor":  # with the same random draws as without
            self.forward = torch.compile(self.model, dynamic=False, options={"fallback_random": True})
        self.objectives: Objectives | None = None
        if recipe.has_objectives:
            self.objectives = Objectives(recipe, self.model, self.logits_of, self.compute_loss, self.device)
        self.step = as_compiled(self.train_step, self.optimizer, recipe.batch_size, self.execution.compile)

        self.metrics: list[EpochMetrics] = []
        self.epoch_details: EpochDetails | None = None
        """Of the last epoch of this process."""
        self.progress = Progress(recipe.num_epochs, self.steps_per_epoch)
        self.callbacks: list[Callback] = [self.progress, *callbacks]
        self.started = time.perf_counter()
        self.seconds_before = 0.0

    def fit(self) -> list[EpochMetrics]:
        """Trains to the last epoch or to early stopping and returns the metrics of all epochs.

        Afterwards `model` has the weights of the last epoch; best.pt of the run has those of the selected epoch.
        Raises UserError if a loss is not finite; the checkpoints of the epoch before remain.
        """
        if not self.metrics:
            self.save_last()
        with self.progress.shown(len(self.metrics)):
            while not self.is_done:
                self.train_epoch()
        return self.metrics

    def train_epoch(self) -> EpochMetrics:
        """The next epoch: one step per batch, validation, metrics and checkpoints."""
        started = time.perf_counter()
        plan = self.begin_epoch(len(self.metrics) + 1)
        self.model.train()
        logits, labels = [], []  # on the device, so that the host waits once per epoch, not per step
        all_maps = plan.maps.split(self.recipe.batch_size)
        batches = zip(plan.rates, all_maps, self.batches.epoch(plan.order), strict=True)
        for rate, maps, (images, batch_labels) in batches:
            set_learning_rate(self.optimizer, rate, self.device)
            augment = self.augmentation.move if self.objectives else self.augmentation.apply
            images = augment(images, maps, plan.generator)  # with objectives, the step applies the transformations
            logits.append(self.step(images, batch_labels))
            labels.append(batch_labels)
            for callback in self.callbacks:
                callback.step_done()
        synchronize(self.device)
        seconds = time.perf_counter() - started
        return self.finish_epoch(plan, torch.cat(logits), torch.cat(labels), seconds)

    def train_step(
        self, images: Float[Tensor, "batch 1 28 28"], labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch classes"]:
        """One optimizer step on one batch. Returns the logits from before the step as float32, detached: those of the
        images that the loss classifies, with objectives after mixing and attack."""
        self.optimizer.zero_grad()
        if self.objectives is None:
            logits = self.logits_of(images)
            loss = self.compute_loss(logits, labels)
        else:  # adversarial training, consistency, mixing, outlier exposure
            logits, loss = self.objectives.logits_and_loss(images, labels)
        loss.backward()
        if self.recipe.gradient_clip_norm:
            clip_gradients(self.model.parameters(), self.recipe.gradient_clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        return logits.detach()

    def logits_of(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        """The forward pass in the precision of the execution, with logits as float32."""
        with autocast(self.device, self.execution.precision):
            logits: Tensor = self.forward(images).float()
        return logits

    def compute_loss(
        self, logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """The loss of a batch, a scalar that is minimised."""
        return training_loss(logits, labels, self.recipe)

    def begin_epoch(self, epoch: int) -> EpochPlan:
        """Seeds dropout and draws everything else that is random in the epoch, from the seed and the epoch alone."""
        seed = self.recipe.seed
        torch.manual_seed(random_seed(seed, epoch, "dropout"))
        if self.objectives is not None:
            self.objectives.begin_epoch(epoch)
        order_generator = torch.Generator().manual_seed(random_seed(seed, epoch, "order"))
        affine_generator = torch.Generator(self.device).manual_seed(random_seed(seed, epoch, "augmentation"))
        generator = torch.Generator(self.device).manual_seed(random_seed(seed, epoch, "transformations"))
        val_losses = [metrics.val_loss for metrics in self.metrics]
        return EpochPlan(
            epoch=epoch,
            rates=learning_rates(self.recipe, epoch, self.steps_per_epoch, val_losses),
            order=torch.randperm(self.num_images, generator=order_generator),
            maps=self.augmentation.draw_maps(self.num_images, affine_generator),
            generator=generator,
        )

    def finish_epoch(
        self,
        plan: EpochPlan,
        logits: Float[Tensor, "n classes"],
        labels: Int64[Tensor, " n"],
        epoch_seconds: float,
    ) -> EpochMetrics:
        """Validates after the steps of an epoch, then writes metrics and checkpoints and calls the callbacks.

        `logits` and `labels` are those of the epoch's steps, in order.
        """
        metrics = self.measure_epoch(plan, logits, labels, epoch_seconds)
        self.metrics.append(metrics)
        if self.run:
            self.run.append_metrics(metrics)
        self.save_last()
        if selected_epoch(self.metrics, self.recipe.checkpoint) is metrics:
            self.save_best()
        for callback in self.callbacks:
            callback.epoch_done(metrics)
        return metrics

    def measure_epoch(
        self,
        plan: EpochPlan,
        logits: Float[Tensor, "n classes"],
        labels: Int64[Tensor, " n"],
        epoch_seconds: float,
    ) -> EpochMetrics:
        """The epoch's metrics: training from the logits of its steps, validation from a pass over the validation set.

        Raises UserError if a loss or the gradient is not finite.
        """
        losses = F.cross_entropy(logits, labels, reduction="none")
        not_finite = torch.nonzero(~losses.isfinite())
        if len(not_finite):
            self._refuse_to_continue(plan.epoch, int(not_finite[0]) // self.recipe.batch_size + 1)
        grad_norm = gradient_norm(self.model.parameters())
        train = score(logits, labels)
        if self.average is not None:
            self._update_batch_norm(self.average.module)
        val_logits = self.predict(self.validation_set.images)
        validation = score(val_logits, self.validation_set.labels)
        if not math.isfinite(validation.loss + grad_norm):
            self._refuse_to_continue(plan.epoch, self.steps_per_epoch)
        self.epoch_details = EpochDetails(plan.rates, losses, val_logits)
        return EpochMetrics(
            epoch=plan.epoch,
            step=plan.epoch * self.steps_per_epoch,
            learning_rate=plan.rates[-1],
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            grad_norm=grad_norm,
            epoch_seconds=epoch_seconds,
            images_per_second=self.num_images / epoch_seconds,
        )

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that is validated and saved: with ema_decay the average of the weights, else the model itself."""
        return self.model if self.average is None else self.average.module

    def predict(self, images: Tensor) -> Float[Tensor, "n classes"]:
        """Logits of the evaluated model for uint8 images (n, 28, 28)."""
        return predict_logits(self.evaluated_model, images, self.device, self.execution.precision)

    @property
    def is_done(self) -> bool:
        """Whether the last epoch is over or early stopping applies."""
        if len(self.metrics) >= self.recipe.num_epochs:
            return True
        if self.recipe.early_stopping == "none" or not self.metrics:
            return False
        sign = 1 if self.recipe.early_stopping.endswith("loss") else -1
        values = [sign * getattr(metrics, self.recipe.early_stopping) for metrics in self.metrics]
        return len(values) - 1 - values.index(min(values)) >= self.recipe.early_stopping_patience

    @property
    def seconds(self) -> float:
        """Wall-clock time of this session and of those before a resume."""
        return self.seconds_before + time.perf_counter() - self.started

    def save_last(self) -> None:
        """Writes last.pt: everything that resuming needs besides metrics.jsonl. The file of the epoch before becomes
        last.previous.pt."""
        if self.run is None:
            return
        save_checkpoint(
            self.run.last_checkpoint,
            {
                "epoch": len(self.metrics),
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.module.state_dict() if self.average is not None else None,
            },
            previous=self.run.previous_checkpoint,
        )

    def save_best(self) -> None:
        """Writes best.pt. It follows last.pt, so that a resumed run never finds the weights of an epoch to come."""
        if self.run is not None:
            best = {"epoch": len(self.metrics), "model": self.evaluated_model.state_dict()}
            save_checkpoint(self.run.best_checkpoint, best)

    def load_last(self) -> None:
        """Restores the last checkpoint of the run, or the one before if the last is missing or damaged. Writes best.pt
        if it lacks this epoch.

        Raises UserError if both checkpoints are damaged or belong to another recipe, and if best.pt is lost.
        """
        assert self.run is not None
        last, previous = self.run.last_checkpoint, self.run.previous_checkpoint
        try:
            self._load(last)
        except UserError as error:
            try:
                self._load(previous)
            except UserError:
                raise error from None
            print(f"{shown(last)} is missing or damaged: continues after epoch {len(self.metrics)} ({previous.name})")
            previous.replace(last)
            sync_folder(last.parent)
        if not self.metrics:
            return
        selected = selected_epoch(self.metrics, self.recipe.checkpoint)
        try:
            is_best = load_checkpoint(self.run.best_checkpoint, BEST_KEYS)["epoch"] == selected.epoch
        except UserError as error:
            if selected is not self.metrics[-1]:
                reason = str(error).splitlines()[0]
                raise UserError(
                    f"{reason}.\nThe weights of epoch {selected.epoch} are in no other file: train the recipe anew."
                ) from None
            is_best = False
        if selected is self.metrics[-1] and not is_best:
            self.save_best()

    def _load(self, path: Path) -> None:
        """Restores this checkpoint. Raises UserError if it is damaged or belongs to another recipe."""
        assert self.run is not None
        checkpoint = load_checkpoint(path, LAST_KEYS)
        load_weights(self.model, checkpoint["model"], path)
        try:
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            if self.average is not None:
                load_weights(self.average.module, checkpoint["average"], path)
            self.seconds_before = float(checkpoint["seconds"])
            self.metrics = self.run.keep_metrics(int(checkpoint["epoch"]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{shown(path)} is damaged or belongs to another recipe: {error}") from None

    def adopt_step(self, rate: float, gradients: Sequence[Tensor], states: Sequence[dict[str, Any]]) -> None:
        """Sets the gradients and the optimizer state after a step that StackedTrainer computed on the same weights, one
        entry per parameter."""
        set_learning_rate(self.optimizer, rate, self.device)
        for parameter, gradient, state in zip(self.model.parameters(), gradients, states, strict=True):
            parameter.grad = gradient
            self.optimizer.state[parameter] = state

    def _update_batch_norm(self, average: nn.Module) -> None:
        """Recomputes the batch-norm statistics for the averaged weights."""
        indices = torch.arange(min(NUM_BATCH_NORM_IMAGES, self.num_images))
        with autocast(self.device, self.execution.precision):
            update_bn(self.batches.epoch(indices), average)

    def _refuse_to_continue(self, epoch: int, step: int) -> NoReturn:
        saved = ""
        if self.run is not None and epoch > 1:
            saved = f" The checkpoint of epoch {epoch - 1} remains in {shown(self.run.path)}."
        raise UserError(
            f"the loss is not finite in epoch {epoch}, step {step} of {self.steps_per_epoch}.{saved}\n"
            "Try a lower --learning-rate or --gradient-clip-norm 1 in a new run."
        )


def as_image_set(data: LabelledImages, name: str, num_outputs: int) -> ImageSet:
    """The images and labels as an ImageSet. Float pixels are stored as 8 bits, in steps of 1/255.

    Raises UserError unless images and labels are as `BasicTrainer` describes them, of as many classes as the model has
    outputs.
    """
    if isinstance(data, DataLoader):
        batches = list(data)
        if not batches or not all(isinstance(batch, list | tuple) and len(batch) == 2 for batch in batches):
            raise UserError(f"{name}: expected a DataLoader that yields pairs (images, labels)")
        data = (torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches]))
    if not isinstance(data, ImageSet):
        images, labels = data
        if images.shape[1:] == (1, 28, 28):
            images = images.squeeze(1)
        if images.is_floating_point():
            if not ((images >= 0) & (images <= 1)).all():
                raise UserError(
                    f"{name}: pixels from {float(images.min()):.3g} to {float(images.max()):.3g}, expected uint8 or "
                    "float in [0, 1].\nStandardisation belongs in the model, as its first layer."
                )
            images = (images * 255).round().byte()
        is_whole = bool((labels.long() == labels).all())
        data = ImageSet(name, images, labels.long() if is_whole else labels, tuple(map(str, range(num_outputs))))
    if not len(data):
        raise UserError(f"{name}: expected at least one image")
    if data.num_classes != num_outputs:
        raise UserError(
            f"the model has {num_outputs} outputs, {data.name} has {data.num_classes} classes: expected the same number"
        )
    return data
