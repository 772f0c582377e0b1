"""Training objectives besides the classification of the images: adversarial training, consistency, mixed images and
outlier exposure. docs/techniques.md explains them.

A step takes a batch after its rotations and shifts, mixes it, applies the generic transformations, attacks it, passes
all images that the objectives compare through the network together, and adds the losses up.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from utils.data.augmentation import Augmentation, cutmix, mixup
from utils.data.outliers import synthetic_outliers
from utils.recipe import OutlierLoss, Recipe
from utils.runtime import random_seed

Images = Float[Tensor, "batch 1 28 28"]
Labels = Int64[Tensor, " batch"]
Logits = Float[Tensor, "batch classes"]
OutlierLogits = Float[Tensor, "count classes"]
Scalar = Float[Tensor, ""]

ONE_STEP = 1.25  # length of a single step relative to the radius (Wong et al. 2020)
ALL_STEPS = 2.5  # length of several steps together relative to the radius (Madry et al. 2018)
NUM_VERSIONS = 2  # of an image, which a consistent network predicts alike (Hendrycks et al. 2020)
# Limits of the energy in nats; ten logits of 0 have -2.3. Liu et al. fine-tune trained networks with -23 and -5. From
# random weights, three epochs with 12,000 digits then gave 96.0 % instead of 99.2 %, and with these limits 99.3 %.
DIGIT_ENERGY = -5.0
OUTLIER_ENERGY = -2.0


@dataclass(frozen=True)
class Targets:
    """The labels of a batch. Mixed images have two labels each."""

    labels: Labels
    other_labels: Labels | None = None
    kept: Scalar | None = None
    """Weight of the first labels."""

    def first(self, count: int) -> "Targets":
        """Those of the first images."""
        others = None if self.other_labels is None else self.other_labels[:count]
        return Targets(self.labels[:count], others, self.kept)

    def loss(self, logits: Logits, compute_loss: Callable[[Tensor, Tensor], Tensor]) -> Scalar:
        """For mixed images, the weighted mean of the losses for both labels (Zhang et al. 2018)."""
        loss = compute_loss(logits, self.labels)
        if self.other_labels is None or self.kept is None:
            return loss
        return self.kept * loss + (1 - self.kept) * compute_loss(logits, self.other_labels)


class Objectives:
    """The loss of a training step by all objectives of a recipe. All random draws are a function of seed and epoch."""

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        logits_of: Callable[[Tensor], Tensor],
        compute_loss: Callable[[Tensor, Tensor], Tensor],
        device: torch.device,
    ) -> None:
        """`logits_of` is the model's forward pass, with float32 logits."""
        self.recipe, self.model, self.device = recipe, model, device
        self.logits_of, self.compute_loss = logits_of, compute_loss
        self.augmentation = Augmentation.of(recipe)
        self.begin_epoch(1)

    def begin_epoch(self, epoch: int) -> None:
        """Seeds the draws of the epoch."""
        seed = random_seed(self.recipe.seed, epoch, "objectives")
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.num_steps = 0

    def logits_and_loss(self, images: Images, labels: Labels) -> tuple[Logits, Scalar]:
        """The logits of the images that the loss classifies, and the loss of all objectives together, for a batch after
        its rotations and shifts.

        The classified images are mixed, transformed and attacked. With TRADES they are not attacked. With consistency
        they are not transformed, as in AugMix.
        """
        recipe = self.recipe
        self.num_steps += 1
        images, targets = self.mixed(images, labels)
        outliers = self.outliers(images, labels)
        num_versions = NUM_VERSIONS if recipe.consistency_weight else 1
        *versions, outliers = self.augmentation.change(
            torch.cat([*[images] * num_versions, outliers]), self.generator
        ).split([len(images)] * num_versions + [len(outliers)])
        clean = images if recipe.consistency_weight else versions.pop()

        num_attacked = round(recipe.adversarial_fraction * len(images)) if recipe.adversarial_radius else 0
        attacked = self.attacked(clean[:num_attacked], targets.first(num_attacked))
        if recipe.trades_beta:
            inputs = clean
        else:
            inputs, attacked = torch.cat([attacked, clean[num_attacked:]]), attacked[:0]

        parts = [inputs, attacked, *versions, outliers]  # together, so that batch norm sees them as one batch
        all_logits = self.logits_of(torch.cat(parts)).split([len(part) for part in parts])
        logits, attacked_logits, *version_logits, outlier_logits = all_logits
        loss = targets.loss(logits, self.compute_loss)
        if len(attacked_logits):
            divergence = kl_divergence(logits[:num_attacked], attacked_logits).sum() / len(images)
            loss = loss + recipe.trades_beta * divergence
        if version_logits:
            loss = loss + recipe.consistency_weight * jensen_shannon([logits, *version_logits])
        if len(outlier_logits):
            outlier_loss = OUTLIER_LOSSES[recipe.outlier_loss]
            loss = loss + recipe.outlier_weight * outlier_loss(torch.cat([logits, *version_logits]), outlier_logits)
        return logits, loss

    def mixed(self, images: Images, labels: Labels) -> tuple[Images, Targets]:
        """The batch after mixup or CutMix, which alternate if the recipe has both."""
        recipe = self.recipe
        if not (recipe.mixup_alpha or recipe.cutmix_alpha):
            return images, Targets(labels)
        if recipe.mixup_alpha and (not recipe.cutmix_alpha or self.num_steps % 2):
            images, partners, kept = mixup(images, self.generator, recipe.mixup_alpha)
        else:
            images, partners, kept = cutmix(images, self.generator, recipe.cutmix_alpha)
        return images, Targets(labels, labels[partners], kept)

    def outliers(self, images: Images, labels: Labels) -> Float[Tensor, "count 1 28 28"]:
        """The recipe's share of synthetic outliers, made of this batch; none without outlier exposure."""
        count = round(self.recipe.outlier_fraction * len(images)) if self.recipe.outlier_weight else 0
        return synthetic_outliers(images, labels, count, self.generator, self.recipe.outliers) if count else images[:0]

    def attacked(self, images: Images, targets: Targets) -> Images:
        """The images after an attack that raises the loss, or with TRADES the divergence from their prediction.

        The network attacks itself in evaluation mode: with the statistics of batch norm that are used later, which the
        attack leaves as they are, and without dropout. Pang et al. 2021 (arXiv 2010.00467) find higher clean and equal
        robust accuracy than with an attack in training mode.
        """
        if not len(images):
            return images
        with in_evaluation_mode(self.model):
            if self.recipe.trades_beta:
                with torch.no_grad():
                    clean_logits = self.logits_of(images)
                return attack(
                    lambda points: kl_divergence(clean_logits, self.logits_of(points)).sum(),
                    images, self.recipe.adversarial_radius, self.recipe.adversarial_steps, self.generator,
                )  # fmt: skip
            return attack(
                lambda points: targets.loss(self.logits_of(points), self.compute_loss),
                images, self.recipe.adversarial_radius, self.recipe.adversarial_steps, self.generator,
            )  # fmt: skip


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    yield
    model.train(was_training)


def attack(
    loss: Callable[[Tensor], Tensor], images: Images, radius: float, num_steps: int, generator: torch.Generator
) -> Images:
    """Images in [0, 1] within an l-infinity ball around these images, with a higher loss: gradient steps from a random
    start.

    One step has 1.25 times the radius (Wong et al. 2020, arXiv 2001.03994); several have 2.5 times the radius together
    (projected gradient descent, Madry et al. 2018, arXiv 1706.06083). The gradient of no parameter changes.
    """
    low, high = (images - radius).clamp(min=0), (images + radius).clamp(max=1)
    step = radius * (ONE_STEP if num_steps == 1 else ALL_STEPS / num_steps)
    draws = torch.rand(images.shape, generator=generator, device=images.device)
    points = (images + radius * (2 * draws - 1)).clamp(low, high)
    for _ in range(num_steps):
        points.requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(points), points)
        points = (points.detach() + step * gradient.sign()).clamp(low, high)
    return points


def kl_divergence(logits: Logits, other_logits: Logits) -> Float[Tensor, " batch"]:
    """Kullback-Leibler divergence of the second prediction from the first, in nats."""
    return F.kl_div(other_logits.log_softmax(1), logits.log_softmax(1), reduction="none", log_target=True).sum(1)


def jensen_shannon(all_logits: Sequence[Logits]) -> Scalar:
    """The mean divergence of several predictions for the same images from their mean prediction (Hendrycks et al. 2020,
    arXiv 1912.02781): 0 if all are equal."""
    log_probabilities = torch.stack([logits.log_softmax(1) for logits in all_logits])
    log_mean = log_probabilities.logsumexp(0) - math.log(len(all_logits))
    return torch.stack([kl_divergence(each, log_mean) for each in log_probabilities]).mean()


def energy_margin(logits: Logits, outlier_logits: OutlierLogits) -> Scalar:
    """How far the energies, -log sum exp of the logits, of digits are above and those of outliers below their limits:
    the sum of the mean squares (Liu et al. 2020, arXiv 2010.03759)."""
    digits_above = F.relu(-logits.logsumexp(1) - DIGIT_ENERGY)
    outliers_below = F.relu(OUTLIER_ENERGY + outlier_logits.logsumexp(1))
    return digits_above.square().mean() + outliers_below.square().mean()


def uniform_cross_entropy(logits: Logits, outlier_logits: OutlierLogits) -> Scalar:  # noqa: ARG001
    """Cross-entropy of the outliers' predictions to the uniform distribution (Hendrycks et al. 2019, arXiv
    1812.04606)."""
    return -outlier_logits.log_softmax(1).mean()


OUTLIER_LOSSES: dict[OutlierLoss, Callable[[Tensor, Tensor], Tensor]] = {
    "energy": energy_margin,
    "uniform": uniform_cross_entropy,
}
