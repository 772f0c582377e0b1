"""Builds networks by name, loads trained networks from runs, combines them into ensembles.

To add a network, write its class in specific_models/ and add it to MODELS.
"""

import importlib
import inspect
import math
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.model_string import NUM_CLASSES, SIDE, parse
from models.parametric_models.model_string_net import ModelStringNet
from models.specific_models.deep_conv import DeepConvNet
from models.specific_models.fast_conv import FastConvNet
from models.specific_models.linear import LinearNet
from models.specific_models.resnet18 import ResNet18
from models.specific_models.shift_invariant import ShiftInvariantNet
from models.specific_models.standard_conv import StandardConvNet
from models.specific_models.standard_fc import StandardFCNet
from models.specific_models.two_conv import TwoConvNet
from utils.checkpoints import load_checkpoint, load_weights
from utils.errors import UserError, brief
from utils.run import Run
from utils.runtime import memory_format, use_threads

MODELS: dict[str, type[nn.Module]] = {
    "linear": LinearNet,
    "standard_fc": StandardFCNet,
    "standard_conv": StandardConvNet,
    "two_conv": TwoConvNet,
    "fast_conv": FastConvNet,
    "deep_conv": DeepConvNet,
    "shift_invariant": ShiftInvariantNet,
    "resnet18": ResNet18,
}
IMPORT_PATH = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?<!\.py):([^\W\d]\w*)")  # a module, not a file
BEST_KEYS = {"epoch", "model"}  # of checkpoints/best.pt


def build_model(name: str) -> nn.Module:
    """The network with random weights: a registered name, a model string such as `C(16,3)-P2-FC128-FC10`, or the import
    path of your own class, such as `my_package.my_module:Net`.

    Your class must be an nn.Module without required constructor arguments, in an installed package or in the working
    directory. Raises UserError for anything else, and for a network whose output is not (N, 10).
    """
    if name in MODELS:
        return MODELS[name]()
    if ":" in name:
        return _build_imported(name)
    try:
        model_string = parse(name)
    except UserError as error:
        raise UserError(
            f"{error}\nRegistered models: {', '.join(MODELS)}. A model of your own: my_package.my_module:Net"
        ) from None
    return ModelStringNet(model_string)


def check_output(model: nn.Module) -> None:
    """Raises UserError unless the network maps images (2, 1, 28, 28) to floating-point logits (2, 10) in eval mode."""
    name = type(model).__name__
    device = next((parameter.device for parameter in model.parameters()), None)
    was_training = model.training
    with torch.no_grad(), _own_code(f"the forward pass of {name} for images of shape (2, 1, {SIDE}, {SIDE})"):
        logits = model.eval()(torch.zeros(2, 1, SIDE, SIDE, device=device))
    model.train(was_training)
    if not isinstance(logits, Tensor):
        found = f"is a {type(logits).__name__}"
    elif logits.shape != (2, NUM_CLASSES) or not logits.is_floating_point():
        found = f"has shape {tuple(logits.shape)} and type {logits.dtype}"
    else:
        return
    raise UserError(
        f"the output of {name} for images of shape (2, 1, {SIDE}, {SIDE}) {found}.\n"
        f"Expected floating-point logits of shape (2, {NUM_CLASSES}), one per class."
    )


def num_parameters(model: nn.Module) -> int:
    """The number of values in all parameters; buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


class Ensemble(nn.Module):
    """Logits whose softmax is the mean of the members' class probabilities.

    Source: Lakshminarayanan et al. 2017, arXiv 1612.01474.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        log_probabilities = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return log_probabilities.logsumexp(0) - math.log(len(self.members))


def load_trained(run: Run, device: torch.device | None = None, num_threads: int | None = None) -> nn.Module:
    """The network of a run with the weights of its selected epoch, in eval mode, by default on the CPU.

    Convolutional networks are in channels_last format, which makes them two to three times faster on a CPU. Sets
    torch's number of threads, by default with the rule of `utils.runtime.choose_num_threads`.

    Raises UserError for a run without a checkpoint and for damaged files.
    """
    checkpoint = load_checkpoint(run.best_checkpoint, BEST_KEYS)
    model = build_model(run.recipe.model)
    load_weights(model, checkpoint["model"], run.best_checkpoint)
    use_threads(model, num_threads)
    return model.to(device or "cpu").to(memory_format=memory_format(model)).eval()


def load_ensemble(runs: Sequence[Run], device: torch.device | None = None) -> nn.Module:
    """The networks of these runs as one Ensemble; the network itself for one run. Raises as `load_trained`."""
    models = [load_trained(run, device) for run in runs]
    model = models[0] if len(models) == 1 else Ensemble(models).eval()
    use_threads(model)
    return model


def _build_imported(path: str) -> nn.Module:
    """An instance of the class with the import path `package.module:Class`."""
    match = IMPORT_PATH.fullmatch(path)
    if not match:
        raise UserError(f"model '{brief(path)}': expected package.module:Class, such as my_package.my_module:Net")
    module_name, class_name = match.groups()
    with _import_from_working_directory():
        kind = getattr(_import(module_name), class_name, None)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            found = "does not exist" if kind is None else f"is of type {type(kind).__name__}"
            raise UserError(
                f"model '{path}': {class_name} {found} in {module_name}. Expected a class derived from torch.nn.Module."
            )
        try:
            inspect.signature(kind).bind()
        except TypeError as error:
            raise UserError(
                f"model '{path}': the constructor cannot be called without arguments: {error}.\n"
                "Give every argument a default value."
            ) from None
        with _own_code(f"{path}()"):
            model: nn.Module = kind()
        check_output(model)
    return model


@contextmanager
def _import_from_working_directory() -> Iterator[None]:
    """Adds the working directory to the end of Python's search path for modules, for the time of the context."""
    folder = str(Path.cwd())
    is_new = folder not in sys.path
    if is_new:
        sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if is_new:
            sys.path.remove(folder)


def _import(name: str) -> ModuleType:
    try:
        with _own_code(f"the import of {name}"):
            return importlib.import_module(name)
    except UserError as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if not missing or not f"{name}.".startswith(f"{missing}."):
            raise  # the module exists, an import inside it failed
        package = sys.modules.get(name.partition(".")[0])
        imported = f"\nAlready imported: {package}." if package else ""
        raise UserError(f"no module '{missing}' in {Path.cwd()} or the installed packages.{imported}") from None


@contextmanager
def _own_code(action: str) -> Iterator[None]:
    """Turns an exception of the user's code into a UserError with its location; the exception stays its cause."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        not_own = ("<frozen", __file__, importlib.__file__, str(Path(torch.__file__).parent))
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(not_own)
        ]
        place = f"\n{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
        reason = brief(str(error).partition("\n")[0])
        raise UserError(f"{action} failed: {type(error).__name__}: {reason}{place}") from error
