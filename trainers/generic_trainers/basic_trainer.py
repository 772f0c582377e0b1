"""The loop: fit -> train_epoch -> train_step."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from trainers.generic_trainers.graphed_step import as_compiled
from trainers.generic_trainers.optimization import (
    build_average,
    build_optimizer,
    gradient_norm,
    learning_rates,
    set_learning_rate,
)
from trainers.recipe import TrainConfig
from utils.augmentation import RandomAffine, transform
from utils.checkpoints import load_checkpoint, load_weights, save_checkpoint
from utils.devices import autocast, memory_format, synchronize
from utils.errors import UserError
from utils.evaluation import predict_logits, score
from utils.image_set import ImageSet
from utils.paths import shown
from utils.preloading import BatchSource, PreloadedBatches, StreamedBatches
from utils.randomness import random_seed
from utils.run_folder import EpochMetrics, RunFolder, judged_row

LAST_KEYS = {"epoch", "seconds", "model", "optimizer", "average"}
BATCH_NORM_DIGITS = 10_000  # training digits from which the average's batch-norm statistics are taken


@runtime_checkable
class Observer(Protocol):
    """Sees a training go by, and only looks; or ends it, by raising."""

    def step_done(self) -> None: ...

    def epoch_done(self, row: EpochMetrics) -> None: ...


@dataclass(frozen=True)
class EpochPlan:
    """What an epoch will do, step by step."""

    rates: list[float]
    order: Int64[Tensor, " n"]
    maps: Float[Tensor, "n 2 3"]


class BasicTrainer:
    """Trains one network on one data set and keeps its run folder up to date."""

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        train_set: ImageSet,
        validation_set: ImageSet,
        run: RunFolder,
        device: torch.device,
        precision: str,
        compile_mode: str = "none",
        observers: Sequence[Observer] = (),
        started: float | None = None,
    ) -> None:
        """`precision` is fp32 or bf16 (or fp64 in the NumPy engine), `compile_mode` none, inductor or cuda_graph. The
        model moves to the device.

        `started` is when the clock began that `seconds` reads: now, unless loading the data is to count as well.
        """
        self.model = model.to(device).to(memory_format=memory_format(model))
        self.config = config
        self.run = run
        self.device = device
        self.precision = precision
        self.observers = observers
        self.optimizer = build_optimizer(self.model.parameters(), config, device)
        self.average = build_average(self.model, config)
        self.augmentation = RandomAffine(
            config.rotation_degrees, config.translation_pixels, config.scale_fraction, config.shear_degrees
        )
        self.batches: BatchSource = (
            PreloadedBatches(train_set, config.batch_size, device)
            if config.preload
            else StreamedBatches(train_set, config.batch_size, device, config.num_workers)
        )
        self.forward = compiled(self.model) if compile_mode == "inductor" else self.model
        self.step = as_compiled(self.train_step, self.optimizer, self.config.batch_size, compile_mode)
        self.num_digits = len(train_set)
        self.steps_per_epoch = math.ceil(self.num_digits / config.batch_size)
        self.validation_images = validation_set.images.to(device)
        self.validation_labels = validation_set.labels.to(device)
        self.rows: list[EpochMetrics] = []
        self.seconds_before = 0.0
        self.started = time.perf_counter() if started is None else started

    @property
    def seconds(self) -> float:
        """Wall-clock time of this training and of those that it goes on with, by time.perf_counter."""
        return self.seconds_before + time.perf_counter() - self.started

    def fit(self) -> None:
        """Trains to the last epoch or to an early stop; metrics and checkpoints are on disk after each epoch.

        Raises UserError where a loss is not finite; the checkpoints of the epoch before stay.
        """
        if not self.rows:
            self.save_last()
        while len(self.rows) < self.config.num_epochs and not self.has_stalled():
            self.fit_epoch()

    def fit_epoch(self) -> None:
        """The next epoch, with all that is written down after it."""
        self.record(self.train_epoch(len(self.rows) + 1))

    def record(self, row: EpochMetrics) -> None:
        """Writes an epoch down."""
        self.rows.append(row)
        self.run.append_row(row)
        if judged_row(self.rows, self.config.judged_epoch) is row:
            save_checkpoint(self.run.best_checkpoint, {"epoch": row.epoch, "model": self.judged().state_dict()})
        self.save_last()
        for observer in self.observers:
            observer.epoch_done(row)

    def train_epoch(self, epoch: int) -> EpochMetrics:
        """Shows each training digit once, then judges on the validation digits. Epochs count from 1."""
        started = time.perf_counter()
        plan = self.plan_epoch(epoch)
        self.model.train()
        logits, labels = [], []  # kept on the device: one look at the end of the epoch instead of one a step
        all_maps = plan.maps.split(self.config.batch_size)
        batches = zip(plan.rates, all_maps, self.batches.epoch(plan.order), strict=True)
        for rate, maps, (images, batch_labels) in batches:
            set_learning_rate(self.optimizer, rate, self.device)
            if not self.augmentation.is_identity:
                images = transform(images, maps)
            logits.append(self.step(images, batch_labels))
            labels.append(batch_labels)
            for observer in self.observers:
                observer.step_done()
        synchronize(self.device)
        seconds = time.perf_counter() - started
        return self.judge_epoch(epoch, plan.rates[-1], torch.cat(logits), torch.cat(labels), seconds)

    def plan_epoch(self, epoch: int) -> EpochPlan:
        """All that is random in an epoch, as a function of the seed and the epoch alone."""
        seed = self.config.seed
        torch.manual_seed(random_seed(seed, epoch, "dropout"))
        order_generator = torch.Generator().manual_seed(random_seed(seed, epoch, "order"))
        affine_generator = torch.Generator(self.device).manual_seed(random_seed(seed, epoch, "augmentation"))
        return EpochPlan(
            rates=learning_rates(self.config, epoch, self.steps_per_epoch, [row.val_loss for row in self.rows]),
            order=torch.randperm(self.num_digits, generator=order_generator),
            maps=self.augmentation.draw(self.num_digits, affine_generator),
        )

    def train_step(
        self, images: Float[Tensor, "batch 1 28 28"], labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch 10"]:
        """One step down the gradient of one batch. Returns the logits from before the step, float32."""
        self.optimizer.zero_grad()
        with autocast(self.device, self.precision):
            logits: Tensor = self.forward(images).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        loss.backward()
        if self.config.gradient_clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        return logits.detach()

    def judge_epoch(
        self,
        epoch: int,
        rate: float,
        logits: Float[Tensor, "n 10"],
        labels: Int64[Tensor, " n"],
        epoch_seconds: float,
    ) -> EpochMetrics:
        """The epoch's row: training figures from the logits of its steps, validation figures from a look now."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        unusable = torch.nonzero(~losses.isfinite())
        if len(unusable):
            self.refuse_to_go_on(epoch, int(unusable[0]) // self.config.batch_size + 1)
        grad_norm = gradient_norm(self.model.parameters())
        train = score(logits, labels)
        if self.average is not None:
            self.renew_batch_norm(self.average.module)
        validation = score(self.predict(self.validation_images), self.validation_labels)
        if not math.isfinite(validation.loss + grad_norm):
            self.refuse_to_go_on(epoch, self.steps_per_epoch)
        return EpochMetrics(
            epoch=epoch,
            step=epoch * self.steps_per_epoch,
            learning_rate=rate,
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            grad_norm=grad_norm,
            epoch_seconds=epoch_seconds,
            images_per_second=self.num_digits / epoch_seconds,
        )

    def refuse_to_go_on(self, epoch: int, step: int) -> None:
        kept = (
            f"The checkpoint of epoch {epoch - 1} stays in {shown(self.run.path)}" if epoch > 1 else "Nothing is lost"
        )
        raise UserError(
            f"the loss is not finite in epoch {epoch}, step {step} of {self.steps_per_epoch}. {kept}.\n"
            "Try a lower --learning-rate or --gradient-clip-norm 1 in a new run."
        )

    def judged(self) -> nn.Module:
        """The network whose figures count: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def predict(self, images: Tensor) -> Float[Tensor, "n 10"]:
        return predict_logits(self.judged(), images, self.device, self.precision)

    def renew_batch_norm(self, average: nn.Module) -> None:
        """Takes the average's batch-norm statistics anew: averaged weights do not fit those of the last steps."""
        images = torch.arange(min(BATCH_NORM_DIGITS, self.num_digits))
        with autocast(self.device, self.precision):
            update_bn(self.batches.epoch(images), average)

    def has_stalled(self) -> bool:
        """Whether the early-stopping metric has not improved for as many epochs as patience allows."""
        metric = self.config.early_stopping
        if metric == "none" or not self.rows:
            return False
        sign = 1 if metric.endswith("loss") else -1
        values = [sign * getattr(row, metric) for row in self.rows]
        return len(values) - 1 - values.index(min(values)) >= self.config.early_stopping_patience

    def save_last(self) -> None:
        """Writes all that going on needs; metrics.jsonl holds the rest."""
        save_checkpoint(
            self.run.last_checkpoint,
            {
                "epoch": len(self.rows),
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.module.state_dict() if self.average is not None else None,
            },
        )

    def load_last(self) -> None:
        """Goes back to the last checkpoint of the run. Raises UserError where it is damaged or foreign."""
        path = self.run.last_checkpoint
        checkpoint = load_checkpoint(path, LAST_KEYS)
        load_weights(self.model, checkpoint["model"], path)
        try:
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            if self.average is not None:
                load_weights(self.average.module, checkpoint["average"], path)
            self.seconds_before = float(checkpoint["seconds"])
            self.rows = self.run.keep_rows(int(checkpoint["epoch"]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{shown(path)} is damaged or of another recipe: {error}") from None


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network's forward and backward pass by torch.compile, with the same random draws as without."""
    return torch.compile(model, dynamic=False, options={"fallback_random": True})
