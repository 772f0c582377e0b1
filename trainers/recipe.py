"""A recipe: all that decides a result, as plain values, JSON in and out."""

import dataclasses
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_type_hints

from utils.errors import UserError, brief

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "step", "cosine", "one_cycle", "plateau"]
Engine = Literal["torch", "numpy"]
Precision = Literal["auto", "fp32", "bf16", "fp64"]
Compile = Literal["auto", "none", "inductor", "cuda_graph"]
JudgedEpoch = Literal["best", "last"]
EarlyStopping = Literal["none", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]


# Recipes of earlier versions lack these and mean the defaults.
LATER_FIELDS = ("train_size", "judged_epoch", "start", "engine", "compile")


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained."""

    dataset: str = "mnist"
    """Data set: mnist, fashion_mnist, kmnist, qmnist, emnist_digits, usps, digits (bundled with scikit-learn) or
    csv:FILE[,FILE...][,test=FILE]."""
    validation_size: float = 1 / 12
    """Training digits held out to choose the best epoch: a count, or below 1 a share (5,000 of MNIST's 60,000)."""
    train_size: float = 1.0
    """Training digits used, of those not held out: a count, or up to 1 a share."""
    seed: int = 0
    """Decides the initial weights, the order of the digits, augmentation and dropout."""
    start: str = ""
    """The run whose last weights training begins with; by default weights are drawn afresh."""
    num_epochs: int = 10
    """How often each training digit is seen."""
    batch_size: int = 64
    """Digits a step."""

    optimizer: Optimizer = "adam"
    """Adam, AdamW, or SGD with Nesterov momentum."""
    learning_rate: float = 1e-3
    """The highest learning rate of the schedule."""
    momentum: float = 0.9
    """Momentum of SGD, first beta of Adam and AdamW."""
    adam_beta2: float = 0.999
    """Second beta of Adam and AdamW."""
    weight_decay: float = 0.0
    """Weight decay, on weight matrices and kernels only: not on biases and norms."""
    gradient_clip_norm: float = 0.0
    """The gradient's norm is clipped to this in every step; 0 for no clipping."""
    label_smoothing: float = 0.0
    """The share of each target that is spread evenly over the ten classes."""
    ema_decay: float = 0.0
    """Judges an exponential moving average of the weights with this decay a step; 0 for the weights themselves."""

    schedule: Schedule = "constant"
    """How the learning rate changes: by step for cosine and one_cycle, by epoch for step and plateau."""
    warmup_fraction: float = 0.3
    """one_cycle: the share of all steps in which the learning rate rises."""
    step_epochs: int = 30
    """step: epochs between two drops of the learning rate."""
    plateau_patience: int = 5
    """plateau: epochs without a lower validation loss before a drop of the learning rate."""
    decay_factor: float = 0.1
    """step, plateau: what a drop multiplies the learning rate by."""

    early_stopping: EarlyStopping = "none"
    """Stop when this metric has not improved for --early-stopping-patience epochs."""
    early_stopping_patience: int = 5
    """Epochs without improvement before training stops."""

    judged_epoch: JudgedEpoch = "best"
    """Whose weights the run ends with: those of the best epoch by validation, or the last's."""

    rotation_degrees: float = 0.0
    """Augmentation: each digit is turned by up to this, either way."""
    translation_pixels: float = 0.0
    """Augmentation: each digit is moved by up to this along both axes, either way."""
    scale_fraction: float = 0.0
    """Augmentation: each digit is enlarged or shrunk by up to this share."""
    shear_degrees: float = 0.0
    """Augmentation: each digit is slanted by up to this, either way."""

    engine: Engine = "torch"
    """What computes: torch, or numpy, the same networks from scratch, for model strings on the CPU."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """fp32, bf16, or auto: bf16 for convolutional networks where the hardware is made for it; fp64 with numpy."""
    compile: Compile = "auto"
    """How a step runs: none (kernel by kernel), inductor (torch.compile), cuda_graph (recorded once, replayed),
    or auto: cuda_graph on CUDA, none elsewhere."""
    preload: bool = True
    """Keep the whole set on the device; otherwise a DataLoader brings the same batches in the same order."""
    num_workers: int = 2
    """Processes that load batches when not preloading."""

    def __post_init__(self) -> None:
        """Raises UserError where a value makes no sense."""
        for name, value in vars(self).items():
            _check(name, value, not isinstance(value, int) or abs(value) < 2**63, "a number below 2**63")
            _check(name, value, not isinstance(value, float) or math.isfinite(value), "a finite number")
        for name in ("num_epochs", "batch_size", "step_epochs", "early_stopping_patience"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("validation_size", "train_size", "learning_rate", "decay_factor"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("seed", "weight_decay", "gradient_clip_norm", "plateau_patience",
                     "rotation_degrees", "translation_pixels", "num_workers"):  # fmt: skip
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name in ("momentum", "adam_beta2", "label_smoothing", "ema_decay", "scale_fraction"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "from 0 to below 1")
        _check("warmup_fraction", self.warmup_fraction, 0 <= self.warmup_fraction <= 1, "from 0 to 1")
        _check("rotation_degrees", self.rotation_degrees, self.rotation_degrees <= 180, "at most 180")
        _check("translation_pixels", self.translation_pixels, self.translation_pixels <= 28, "at most 28")
        _check("shear_degrees", self.shear_degrees, 0 <= self.shear_degrees < 90, "from 0 to below 90")


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained: the same recipe on the same machine gives the same run."""

    model: str
    """The network: a registered name, or a model string such as C(16,3)-P2-FC128-FC10."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as config.json holds them."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Any) -> "Recipe":
        """The recipe of `to_json`. Raises UserError for unknown keys, missing keys and values of the wrong type."""
        expected = {"model", "train"}
        if not isinstance(values, dict) or set(values) != expected or not isinstance(values["train"], dict):
            raise UserError(f"not a recipe: expected the keys {sorted(expected)}")
        names = {config_field.name for config_field in dataclasses.fields(TrainConfig)}
        unknown = sorted(set(values["train"]) - names)
        if unknown:
            raise UserError(f"not a recipe of this version: unknown keys {', '.join(unknown)}")
        train = with_later_fields(values["train"])
        if set(train) != names:
            raise UserError(f"not a recipe: missing keys {', '.join(sorted(names - set(train)))}")
        hints = get_type_hints(TrainConfig)
        for name, hint in {"model": str, **hints}.items():
            _check_type(name, values["model"] if name == "model" else train[name], hint)
        config = TrainConfig(**train)
        floats: dict[str, Any] = {name: float(value) for name, value in train.items() if hints[name] is float}
        return Recipe(values["model"], replace(config, **floats))  # 1 and 1.0 are one recipe, and written alike

    def differences(self, other: "Recipe") -> list[str]:
        """What differs in `other`, a line a field, such as `batch_size is 64, not 128`."""
        mine, others = ({"model": recipe.model, **dataclasses.asdict(recipe.train)} for recipe in (self, other))
        return [f"{name} is {mine[name]}, not {others[name]}" for name in mine if mine[name] != others[name]]


def with_later_fields(train: dict[str, Any]) -> dict[str, Any]:
    """The fields of a TrainConfig as an earlier version wrote them, with those that it did not have."""
    return {**{name: getattr(TrainConfig(), name) for name in LATER_FIELDS}, **train}


def _check_type(name: str, value: object, hint: Any) -> None:
    if get_args(hint):
        _check(name, value, value in get_args(hint), f"one of {', '.join(get_args(hint))}")
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = is_number and (hint is float or isinstance(value, int)) if hint in (int, float) else isinstance(value, hint)
    _check(name, value, fits, {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint])


def _check(name: str, value: object, is_good: bool, expected: str) -> None:
    if not is_good:
        raise UserError(f"--{name.replace('_', '-')} {brief(value)}: expected {expected}")
