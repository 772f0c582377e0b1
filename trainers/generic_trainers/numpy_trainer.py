"""The training loop of BasicTrainer with the from-scratch NumPy network (`--backend numpy`)."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from models.numpy_models.network import SGD, Adam, NumpyNet, cross_entropy_gradient
from models.parametric_models.model_string_net import ModelStringNet
from trainers.generic_trainers.basic_trainer import BasicTrainer, EpochPlan, LabelledImages
from trainers.generic_trainers.optimization import clip_gradients, depends_on_weights
from utils.data.batches import to_pixels
from utils.errors import UserError
from utils.evaluation import BATCH_SIZE
from utils.recipe import Recipe
from utils.run import EpochMetrics
from utils.runtime import random_seed

NUMPY_OPTIMIZERS: dict[str, Callable[[Recipe], SGD | Adam]] = {
    "adam": lambda recipe: Adam(recipe.momentum, recipe.adam_beta2),
    "sgd": lambda recipe: SGD(recipe.momentum),
}


def numpy_twin(model: nn.Module) -> NumpyNet:
    """The NumPy network of the same model string and precision, with its weights in the same memory.

    Raises UserError if the model is not the network of a model string.
    """
    if not isinstance(model, ModelStringNet):
        raise UserError("the NumPy backend runs model strings: expected one such as C(8,5)-P2-C(16,3)-P2-FC128-FC10")
    state = {name.removeprefix("layers."): value.numpy() for name, value in model.state_dict().items()}
    network = NumpyNet(model.model_string, np.random.default_rng(), state["logits.weight"].dtype)
    network.use_arrays(state)
    return network


class NumpyTrainer(BasicTrainer):
    """Trains a NumPy network in the memory of the torch network of the same model string, which is what is saved. Torch
    loads the batches and augments them."""

    def __init__(
        self,
        model: nn.Module,
        train_set: LabelledImages,
        validation_set: LabelledImages,
        recipe: Recipe = Recipe(),
        *arguments: Any,
        **options: Any,
    ) -> None:
        """See BasicTrainer. Raises UserError for features that the NumPy backend lacks."""
        recipe = replace(recipe, backend="numpy")
        for flag, value in (("weight-decay", recipe.weight_decay), ("ema-decay", recipe.ema_decay)):
            if value:
                raise UserError(f"--{flag} {value}: not in the NumPy backend, expected 0")
        if recipe.optimizer not in NUMPY_OPTIMIZERS:
            expected = " or ".join(NUMPY_OPTIMIZERS)
            raise UserError(f"--optimizer {recipe.optimizer}: not in the NumPy backend, expected {expected}")
        numpy_twin(model)
        super().__init__(model, train_set, validation_set, recipe, *arguments, **options)
        self._check_loss()
        if self.execution.precision == "fp64":
            self.model.double()
        self.network = numpy_twin(self.model)
        rule = NUMPY_OPTIMIZERS[recipe.optimizer](recipe)
        self.optimizer = NumpyOptimizer(self.model.parameters(), rule, recipe.learning_rate)

    def _check_loss(self) -> None:
        """Raises UserError unless `compute_loss` is the cross-entropy whose gradient the NumPy network computes."""
        logits = torch.linspace(-3, 3, 40, dtype=torch.float64).sin().view(4, 10).requires_grad_()
        labels = torch.tensor([0, 3, 5, 9])
        (expected,) = torch.autograd.grad(self.compute_loss(logits, labels), logits)
        gradient = cross_entropy_gradient(logits.detach().numpy(), labels.numpy(), self.recipe.label_smoothing)
        if not np.allclose(gradient, expected.numpy()) or depends_on_weights(self.compute_loss, self.model):
            raise UserError("the NumPy backend has only the cross-entropy loss: use --backend torch for another loss")

    def train_epoch(self) -> EpochMetrics:
        """The next epoch, with one thread for NumPy's matrix products and one for torch: a second
        thread gains less in products of this size than it costs in waiting."""
        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1, "blas"):
                return super().train_epoch()
        finally:
            torch.set_num_threads(num_threads)

    def begin_epoch(self, epoch: int) -> EpochPlan:
        seed = random_seed(self.recipe.seed, epoch, "dropout")
        self.network.use_generator(np.random.default_rng(seed))
        return super().begin_epoch(epoch)

    def train_step(
        self, images: Float[Tensor, "batch 1 28 28"], labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch classes"]:
        logits = self.network.forward(images.numpy(), training=True)
        self.network.backward(cross_entropy_gradient(logits, labels.numpy(), self.recipe.label_smoothing))
        for parameter, gradient in zip(self.model.parameters(), self.network.gradients(), strict=True):
            parameter.grad = torch.from_numpy(gradient)
        if self.recipe.gradient_clip_norm:
            clip_gradients(self.model.parameters(), self.recipe.gradient_clip_norm)
        self.optimizer.step()
        return torch.from_numpy(logits)

    def measure_epoch(
        self,
        plan: EpochPlan,
        logits: Float[Tensor, "n classes"],
        labels: Int64[Tensor, " n"],
        epoch_seconds: float,
    ) -> EpochMetrics:
        median = float(F.cross_entropy(logits, labels, reduction="none").median())
        return replace(super().measure_epoch(plan, logits, labels, epoch_seconds), median_train_loss=median)

    def predict(self, images: Tensor) -> Float[Tensor, "n classes"]:
        return numpy_logits(self.network, images)


def numpy_logits(network: NumpyNet, images: Tensor) -> Float[Tensor, "n classes"]:
    """The logits of the NumPy network for uint8 images (n, 28, 28)."""
    return torch.cat(
        [torch.from_numpy(network.forward(to_pixels(batch).numpy())) for batch in images.split(BATCH_SIZE)]
    )


class NumpyOptimizer(torch.optim.Optimizer):
    """A NumPy optimizer with the interface of torch.optim.Optimizer."""

    def __init__(self, parameters: Iterable[nn.Parameter], rule: SGD | Adam, learning_rate: float) -> None:
        super().__init__(parameters, {"lr": learning_rate})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        (group,) = self.param_groups
        gradients = [parameter.grad.numpy() for parameter in group["params"]]
        self.rule.step([parameter.numpy() for parameter in group["params"]], gradients, group["lr"])

    def state_dict(self) -> dict[str, Any]:
        return {name: [torch.from_numpy(array) for array in arrays] for name, arrays in self.rule.state.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rule.state = {name: [tensor.numpy() for tensor in tensors] for name, tensors in state_dict.items()}
