"""The same loop with the NumPy engine's step."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from models.numpy_models.loss import cross_entropy_gradient
from models.numpy_models.network import NumpyNet
from models.numpy_models.optimizers import SGD, Adam
from models.parametric_models.model_string_net import ModelStringNet
from trainers.generic_trainers.basic_trainer import BasicTrainer, EpochPlan
from trainers.recipe import TrainConfig
from utils.errors import UserError
from utils.evaluation import BATCH_SIZE
from utils.preloading import to_pixels
from utils.randomness import random_seed
from utils.run_folder import MEDIANS, EpochMetrics


def numpy_twin(model: nn.Module) -> NumpyNet:
    """The NumPy network of the same model string, whose weights lie in the same memory; in the model's precision.

    Raises UserError where it is no network of a model string.
    """
    model = _of_model_string(model)
    state = {name.removeprefix("layers."): value.numpy() for name, value in model.state_dict().items()}
    network = NumpyNet(model.model_string, np.random.default_rng(), state["logits.weight"].dtype)
    network.use_arrays(state)
    return network


def _of_model_string(model: nn.Module) -> ModelStringNet:
    """The network itself. Raises UserError where it is no network of a model string."""
    if not isinstance(model, ModelStringNet):
        raise UserError("the NumPy engine runs model strings: expected one such as C(8,5)-P2-C(16,3)-P2-FC128-FC10")
    return model


def choose_numpy_precision(model: nn.Module, config: TrainConfig) -> str:
    """`fp32` or `fp64`. Raises UserError for what the engine does not do."""
    _of_model_string(model)
    expected = {"optimizer": ("adam", "sgd"), "precision": ("auto", "fp32", "fp64"), "compile": ("auto", "none"),
                "device": ("auto", "cpu"), "weight_decay": (0,), "ema_decay": (0,)}  # fmt: skip
    for name, values in expected.items():
        if getattr(config, name) not in values:
            flag = name.replace("_", "-")
            raise UserError(
                f"--{flag} {getattr(config, name)} is not in the NumPy engine: expected {' or '.join(map(str, values))}"
            )
    return "fp64" if config.precision == "fp64" else "fp32"


class NumpyTrainer(BasicTrainer):
    """Trains the network in NumPy, in memory that it shares with the torch network of the same model string, which is
    what is saved. Augmentation and batches come from torch as ever."""

    model: ModelStringNet

    def __init__(self, model: ModelStringNet, config: TrainConfig, *arguments: Any, **options: Any) -> None:
        super().__init__(model, config, *arguments, **options)
        if self.precision == "fp64":
            self.model.double()
        self.network = numpy_twin(self.model)
        self.optimizer = NumpyOptimizer(self.model.parameters(), config)
        self.median_loss = 0.0

    def train_epoch(self, epoch: int) -> EpochMetrics:
        """As ever, with one thread for NumPy's matrix products and one for torch, which only brings the batches: two
        for products of this size win little, and lose more where they wait for each other's processors."""
        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1, "blas"):
                return super().train_epoch(epoch)
        finally:
            torch.set_num_threads(num_threads)

    def plan_epoch(self, epoch: int) -> EpochPlan:
        seed = random_seed(self.config.seed, epoch, "dropout")
        self.network.use_generator(np.random.default_rng(seed))
        return super().plan_epoch(epoch)

    def train_step(
        self, images: Float[Tensor, "batch 1 28 28"], labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch 10"]:
        logits = self.network.forward(images.numpy(), training=True)
        self.network.backward(cross_entropy_gradient(logits, labels.numpy(), self.config.label_smoothing))
        for parameter, gradient in zip(self.model.parameters(), self.network.gradients(), strict=True):
            parameter.grad = torch.from_numpy(gradient)
        if self.config.gradient_clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip_norm)
        self.optimizer.step()
        return torch.from_numpy(logits)

    def judge_epoch(
        self,
        epoch: int,
        rate: float,
        logits: Float[Tensor, "n 10"],
        labels: Int64[Tensor, " n"],
        epoch_seconds: float,
    ) -> EpochMetrics:
        self.median_loss = float(F.cross_entropy(logits, labels, reduction="none").median())
        return super().judge_epoch(epoch, rate, logits, labels, epoch_seconds)

    def record(self, row: EpochMetrics) -> None:
        """Also writes the median over the digits' losses down, first: an epoch that is done has one."""
        with (self.run.path / MEDIANS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": row.epoch, "median_loss": self.median_loss}) + "\n")
        super().record(row)

    def predict(self, images: Tensor) -> Float[Tensor, "n 10"]:
        return numpy_logits(self.network, images)


def numpy_logits(network: NumpyNet, images: Tensor) -> Float[Tensor, "n 10"]:
    """The engine's answers to digits uint8 (n, 28, 28)."""
    return torch.cat(
        [torch.from_numpy(network.forward(to_pixels(batch).numpy())) for batch in images.split(BATCH_SIZE)]
    )


class NumpyOptimizer(torch.optim.Optimizer):
    """An optimizer of the NumPy engine as torch's: over parameters with gradients, whose memory it changes."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: TrainConfig) -> None:
        super().__init__(parameters, {"lr": config.learning_rate})
        self.rule = SGD(config.momentum) if config.optimizer == "sgd" else Adam(config.momentum, config.adam_beta2)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 - it takes no closure
        (group,) = self.param_groups
        gradients = [parameter.grad.numpy() for parameter in group["params"]]
        self.rule.step([parameter.numpy() for parameter in group["params"]], gradients, group["lr"])

    def state_dict(self) -> dict[str, Any]:
        return {name: [torch.from_numpy(array) for array in arrays] for name, arrays in self.rule.state.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rule.state = {name: [tensor.numpy() for tensor in tensors] for name, tensors in state_dict.items()}
