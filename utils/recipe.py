"""What decides a training result (`Recipe`) and how it is computed (`Execution`): frozen dataclasses, JSON in and out.

A recipe's hash names the runs of a sweep and groups runs that differ only in seed. `Execution` changes the result by
rounding only, so it is not part of a run's identity.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal, get_args, get_type_hints

from utils.errors import CONTROL_CHARACTERS, UserError, brief, did_you_mean

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "step", "cosine", "one_cycle", "plateau"]
Backend = Literal["torch", "numpy"]
Checkpoint = Literal["best", "last"]
Validation = Literal["writers", "random"]
EarlyStopping = Literal["none", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
Precision = Literal["auto", "fp32", "bf16", "fp64"]
Compile = Literal["auto", "none", "inductor", "cuda_graph"]
OutlierLoss = Literal["energy", "uniform"]
OutlierKind = Literal["noise", "smooth_noise", "patches", "half", "overlaid", "several"]
Transformation = Literal[
    "filter", "tone", "field", "noise", "patches", "resolution", "strokes", "polarity", "thickness", "blur"
]

MAX_INT = 2**63


@cache
def field_types(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields by name. Resolving them is slow compared with reading a line of metrics."""
    return get_type_hints(kind)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run. The same recipe gives the same run on the same machine."""

    model: str = ""
    """Model: a registered name, a model string such as C(16,3)-P2-FC128-FC10, torchvision:NAME, or your own class as
    my_package.my_module:Net."""
    dataset: str = "mnist"
    """Data set: mnist, digits (bundled with scikit-learn), another name (an unknown one lists all), or
    `csv:FILE[,FILE...][,test=FILE or fraction]`."""
    validation_size: float = 1 / 12
    """Training images held out for validation: a count, or a fraction below 1 (5,000 of MNIST's 60,000)."""
    validation: Validation = "writers"
    """writers: no writer has both training and validation images (random if the writers are unknown); or random."""
    train_size: float = 1.0
    """Training images used, out of those that are not held out: a count, or a fraction up to 1."""
    seed: int = 0
    """Seed of the initial weights, the order of the images, augmentation and dropout."""
    init_from: str = ""
    """Run whose final weights initialise the model; by default the weights are random."""
    num_epochs: int = 10
    """Passes over the training set."""
    batch_size: int = 64
    """Images per step."""

    optimizer: Optimizer = "adam"
    """Adam, AdamW, or SGD with Nesterov momentum."""
    learning_rate: float = 1e-3
    """Highest learning rate of the schedule."""
    momentum: float = 0.9
    """Momentum of SGD, first beta of Adam and AdamW."""
    adam_beta2: float = 0.999
    """Second beta of Adam and AdamW."""
    weight_decay: float = 0.0
    """Weight decay of weight matrices and kernels; biases and norm layers have none."""
    gradient_clip_norm: float = 0.0
    """Maximum norm of the gradient; 0 disables clipping."""
    label_smoothing: float = 0.0
    """Fraction of each target that is spread evenly over the classes."""
    ema_decay: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is then evaluated; 0 disables it."""

    schedule: Schedule = "constant"
    """Learning-rate schedule; cosine and one_cycle change the rate per step, step and plateau per epoch."""
    warmup_fraction: float = 0.3
    """one_cycle: fraction of all steps in which the learning rate rises."""
    step_epochs: int = 30
    """step: epochs between two decays of the learning rate."""
    plateau_patience: int = 5
    """plateau: epochs without a lower validation loss before the learning rate decays."""
    decay_factor: float = 0.1
    """step, plateau: factor of each decay."""

    early_stopping: EarlyStopping = "none"
    """Metric that ends training when it has not improved for --early-stopping-patience epochs."""
    early_stopping_patience: int = 5
    """Epochs without improvement before training stops."""
    checkpoint: Checkpoint = "best"
    """Weights that are evaluated and loaded later: of the best epoch on validation, or of the last epoch."""

    rotation_degrees: float = 0.0
    """Augmentation: maximum rotation in either direction."""
    translation_pixels: float = 0.0
    """Augmentation: maximum shift along each axis, in either direction."""
    scale_fraction: float = 0.0
    """Augmentation: maximum change of size, as a fraction."""
    shear_degrees: float = 0.0
    """Augmentation: maximum shear in either direction."""
    elastic_pixels: float = 0.0
    """Augmentation: elastic deformation, maximum root mean square of the shifts along each axis; 0 disables it."""
    erasing_probability: float = 0.0
    """Augmentation: probability with which a random rectangle of an image is erased."""
    generic_probability: float = 0.0
    """Augmentation: probability with which each generic transformation is applied to an image."""
    generic_transformations: str = ""
    """Augmentation: generic transformations, such as filter,tone,field; by default all. The others are noise, patches,
    resolution, strokes, polarity, thickness and blur."""

    adversarial_radius: float = 0.0
    """Adversarial training: largest change of a pixel in [0, 1] (l-infinity); 0 disables it."""
    adversarial_steps: int = 1
    """1: one gradient step from a random start (FGSM); more: so many smaller steps (PGD)."""
    adversarial_fraction: float = 1.0
    """Fraction of each batch that is attacked."""
    trades_beta: float = 0.0
    """0: loss of the attacked images; above 0 (TRADES): loss of the images before the attack, plus this weight times
    the divergence of the prediction after the attack."""
    consistency_weight: float = 0.0
    """Weight of the divergence between the predictions for an image and for two versions of it with generic
    transformations (AugMix: 12); 0 disables it."""
    mixup_alpha: float = 0.0
    """Mixup: pairs of images are averaged with a weight from Beta(alpha, alpha); 0 disables it."""
    cutmix_alpha: float = 0.0
    """CutMix: a rectangle comes from another image, its area from Beta(alpha, alpha); 0 disables it. With mixup, each
    batch takes one of both."""
    outlier_weight: float = 0.0
    """Outlier exposure: weight of the loss on synthetic images of no class; 0 disables it."""
    outlier_fraction: float = 0.25
    """Synthetic outliers per training image."""
    outlier_loss: OutlierLoss = "energy"
    """energy: images of digits and outliers are separated by their energy; uniform: cross-entropy to the uniform
    distribution on outliers."""
    outlier_kinds: str = ""
    """Kinds of outliers, separated by commas: noise, smooth_noise, patches, half, overlaid, several; by default
    all."""

    backend: Backend = "torch"
    """Program that computes the model: torch, or numpy (the from-scratch layers; model strings only)."""

    def __post_init__(self) -> None:
        """Raises UserError for a value of the wrong type or out of range."""
        _check_types(self)
        for names, is_good, expected in RANGES:
            for name in names.split():
                _check(name, getattr(self, name), is_good(getattr(self, name)), expected)
        _check_transformations(self)
        _check_objectives(self)

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain values, in the layout of config.json."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Any) -> "Recipe":
        """The recipe that `to_json` wrote, or version 1 of this platform. Missing fields take their defaults; without
        the field `validation`, which is newer than the others, the validation digits were random.

        Raises UserError for unknown keys and for values of the wrong type.
        """
        if not isinstance(values, dict) or "model" not in values:
            raise UserError("not a recipe: expected a JSON object with a model")
        if isinstance(values.get("train"), dict):
            values = _of_version_1(values)
        unknown = ", ".join(brief(name) for name in sorted(set(values) - set(FIELDS)))
        if unknown:
            raise UserError(f"not a recipe, or written by a newer version: unknown keys {unknown}")
        if values.get("dataset", Recipe.dataset) in DATASETS_WITH_WRITERS:
            values = {"validation": "random", **values}
        for name, value in values.items():
            _check_type(name, value, FIELDS[name])
        return Recipe(**values)

    def differences(self, other: "Recipe") -> list[str]:
        """One line per field that differs in `other`, such as `batch_size is 64, not 128`."""
        mine, others = self.to_json(), other.to_json()
        return [f"{name} is {mine[name]}, not {others[name]}" for name in mine if mine[name] != others[name]]

    def with_seed(self, seed: int) -> "Recipe":
        return replace(self, seed=seed)

    @property
    def without_seed(self) -> "Recipe":
        """The recipe with seed 0: equal for all runs that differ only in seed."""
        return self.with_seed(0)

    @cached_property
    def hash(self) -> str:
        """Ten hexadecimal digits over the model and every field that is not at its default; the seed does not count.

        A field that a later version adds leaves the hash of existing recipes as it is.
        """
        defaults = Recipe().to_json()
        changed = {k: v for k, v in self.to_json().items() if k not in ("seed", "model") and v != defaults[k]}
        content = json.dumps([self.model, changed], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:10]

    @property
    def transformations(self) -> tuple[Transformation, ...]:
        """The generic transformations of training, in the order of `Transformation`."""
        if not self.generic_probability:
            return ()
        chosen = self.generic_transformations.split(",")
        return tuple(name for name in get_args(Transformation) if chosen == [""] or name in chosen)

    @property
    def has_objectives(self) -> bool:
        """Whether training has an objective besides the classification of the images."""
        return any(getattr(self, name) for name in OBJECTIVES)

    @property
    def outliers(self) -> tuple[OutlierKind, ...]:
        """The kinds of synthetic outliers in training, in the order of `OutlierKind`."""
        chosen = self.outlier_kinds.split(",")
        return tuple(name for name in get_args(OutlierKind) if chosen == [""] or name in chosen)

    @property
    def plain_model(self) -> str:
        """The model's name as a part of a folder name."""
        return re.sub(r"[^A-Za-z0-9_.]+", "_", self.model).strip("_")[:60]


@dataclass(frozen=True)
class Execution:
    """How a run is computed. Not part of its identity; environment.json records the resolved values."""

    device: str = "auto"
    """auto (a GPU if available), cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """fp32, bf16, or auto: bf16 for convolutional networks on hardware with bf16 arithmetic; fp64 with numpy."""
    compile: Compile = "auto"
    """none (eager), inductor (torch.compile), cuda_graph (record a step once, then replay it), or auto: cuda_graph
    on CUDA, none elsewhere."""
    preload: bool = True
    """Keep the whole data set on the device; otherwise a DataLoader streams the same batches in the same order."""
    num_workers: int = 2
    """DataLoader processes when not preloading."""
    threads: int | None = None
    """CPU threads; by default OMP_NUM_THREADS if set, else one for small fully connected networks and one per core for
    all others. Results with different numbers of threads are equal within rounding."""

    log_every: int = 0
    """TensorBoard: loss and learning rate of every N-th step; 0: per epoch only."""
    log_confusion_every: int = 10
    """TensorBoard: confusion matrix of the validation digits every N epochs; 0: never."""
    log_histograms: bool = False
    """TensorBoard: distributions of weights, gradients and activations, per epoch."""
    profile: bool = False
    """Record some steps as trace.json in the run's folder; https://ui.perfetto.dev shows it."""

    def __post_init__(self) -> None:
        """Raises UserError for a value of the wrong type or out of range."""
        _check_types(self)
        for name in ("num_workers", "log_every", "log_confusion_every"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Execution":
        """The execution among these values; other keys are ignored. Raises UserError for values of the wrong type."""
        return Execution(**{name: values[name] for name in field_types(Execution) if name in values})


RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (  # fields, condition, what is expected
    (
        "num_epochs batch_size step_epochs early_stopping_patience adversarial_steps",
        lambda value: value >= 1,
        "at least 1",
    ),
    ("validation_size train_size learning_rate decay_factor", lambda value: value > 0, "above 0"),
    ("seed weight_decay gradient_clip_norm plateau_patience", lambda value: value >= 0, "0 or more"),
    ("momentum adam_beta2 label_smoothing ema_decay scale_fraction", lambda value: 0 <= value < 1, "from 0 to below 1"),
    ("warmup_fraction erasing_probability generic_probability", lambda value: 0 <= value <= 1, "from 0 to 1"),
    ("rotation_degrees", lambda value: 0 <= value <= 180, "from 0 to 180"),
    ("translation_pixels elastic_pixels", lambda value: 0 <= value <= 28, "from 0 to 28"),
    ("shear_degrees", lambda value: 0 <= value < 90, "from 0 to below 90"),
    ("adversarial_radius", lambda value: 0 <= value <= 1, "from 0 to 1, the range of a pixel"),
    ("adversarial_fraction outlier_fraction", lambda value: 0 < value <= 1, "above 0, at most 1"),
    (
        "trades_beta consistency_weight mixup_alpha cutmix_alpha outlier_weight",
        lambda value: value >= 0,
        "0 or more",
    ),
)
OBJECTIVES = ("adversarial_radius", "consistency_weight", "mixup_alpha", "cutmix_alpha", "outlier_weight")
NEEDS = (  # fields, and the field without which they have no effect
    ("adversarial_steps adversarial_fraction trades_beta", "adversarial_radius"),
    ("consistency_weight", "generic_probability"),
    ("outlier_fraction outlier_loss outlier_kinds", "outlier_weight"),
)
FIELDS = field_types(Recipe)
DATASETS_WITH_WRITERS = ("mnist", "qmnist")  # all others are split at random, whatever the recipe says

# Version 1 nested everything but the model in `train`, had other names for three fields, and included the execution.
_RENAMED = {"judged_epoch": "checkpoint", "start": "init_from", "engine": "backend"}
_EXECUTION_OF_VERSION_1 = {"device", "precision", "compile", "preload", "num_workers"}


def _of_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """The config.json of version 1 as one of this version."""
    settings = {_RENAMED.get(k, k): v for k, v in values["train"].items() if k not in _EXECUTION_OF_VERSION_1}
    return {**{k: v for k, v in values.items() if k != "train"}, **settings}


def _check_transformations(recipe: Recipe) -> None:
    """Raises UserError for unknown generic transformations, and for a choice without a probability."""
    text = recipe.generic_transformations
    if text and not recipe.generic_probability:
        raise UserError(
            f"--generic-transformations {brief(text)}: no effect while --generic-probability is 0; set both or neither"
        )
    _check_names("generic_transformations", recipe, get_args(Transformation))


def _check_objectives(recipe: Recipe) -> None:
    """Raises UserError for fields that have no effect or contradict each other, and for unknown kinds of outliers."""
    for names, needed in NEEDS:
        for name in names.split():
            value = getattr(recipe, name)
            if value != getattr(Recipe, name) and not getattr(recipe, needed):
                flag, other = (f"--{it.replace('_', '-')}" for it in (name, needed))
                raise UserError(f"{flag} {brief(value)} has no effect because {other} is 0: set both or none")
    if recipe.outlier_weight and (recipe.mixup_alpha or recipe.cutmix_alpha):
        raise UserError(
            "--outlier-weight contradicts --mixup-alpha and --cutmix-alpha: a mixture of two digits would be both "
            "digits and an outlier.\nSet one or the other."
        )
    for name in OBJECTIVES:
        _check(name, getattr(recipe, name), recipe.backend == "torch" or not getattr(recipe, name),
               "0 with --backend numpy, which has only the classification loss")  # fmt: skip
    _check_names("outlier_kinds", recipe, get_args(OutlierKind))


def _check_names(field: str, recipe: Recipe, known: tuple[str, ...]) -> None:
    """Raises UserError for unknown names in a field that chooses some of the known ones. Writes the same choice always
    alike: in the order of `known`, all as the empty text."""
    text = getattr(recipe, field)
    chosen = [name.strip() for name in text.split(",")] if text.strip() not in ("", "all") else list(known)
    for name in chosen:
        if name not in known:
            raise UserError(
                f"--{field.replace('_', '-')}: unknown name '{brief(name)}'{did_you_mean(name, known)}\n"
                f"Expected all, or some of these separated by commas: {', '.join(known)}"
            )
    in_order = ",".join(name for name in known if name in chosen)
    object.__setattr__(recipe, field, in_order if len(set(chosen)) < len(known) else "")


def _check_types(config: Recipe | Execution) -> None:
    """Raises UserError for a field of the wrong type; turns whole numbers in fractional fields into floats."""
    kind: Any = type(config)  # mypy does not accept a union of dataclass types as hashable
    for name, hint in field_types(kind).items():
        value = getattr(config, name)
        _check_type(name, value, hint)
        if hint is float:
            object.__setattr__(config, name, float(value))  # 1 and 1.0 are one recipe, and written alike


def _check_type(name: str, value: object, hint: Any) -> None:
    choices = get_args(hint)
    if type(None) in choices:
        if value is None:
            return
        hint = choices[0]
    elif choices:
        _check(name, value, value in choices, f"one of {', '.join(choices)}")
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = is_number and (hint is float or isinstance(value, int)) if hint in (int, float) else isinstance(value, hint)
    _check(name, value, fits, {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint])
    _check(name, value, not isinstance(value, int) or abs(value) < MAX_INT, "a number below 2**63")
    _check(name, value, not isinstance(value, float) or math.isfinite(value), "a finite number")
    _check(name, value, not isinstance(value, str) or not CONTROL_CHARACTERS.search(value), "printable text")


def _check(name: str, value: object, is_good: bool, expected: str) -> None:
    if not is_good:
        raise UserError(f"--{name.replace('_', '-')} {brief(value)}: expected {expected}")
