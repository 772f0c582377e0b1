"""Builds networks by name, loads trained networks from runs, combines them into ensembles.

To add a network, write its class in specific_models/ and add it to MODELS.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.layers import NUM_CLASSES
from models.model_string import LAYERS, SIDE, parse
from models.own_models import errors_of_own_code, module_without_class, own_model
from models.parametric_models.model_string_net import ModelStringNet
from models.specific_models.deep_conv import DeepConvNet
from models.specific_models.fast_conv import FastConvNet
from models.specific_models.linear import LinearNet
from models.specific_models.resnet18 import ResNet18
from models.specific_models.shift_invariant import ShiftInvariantNet
from models.specific_models.standard_conv import StandardConvNet
from models.specific_models.standard_fc import StandardFCNet
from models.specific_models.two_conv import TwoConvNet
from models.torchvision_models import PREFIX, TorchvisionNet
from utils.checkpoints import load_checkpoint, load_safetensors, load_weights
from utils.errors import UserError, brief, did_you_mean
from utils.files import shown
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
BEST_KEYS = {"epoch", "model"}  # of checkpoints/best.pt


def build_model(name: str, num_classes: int | None = NUM_CLASSES) -> nn.Module:
    """The network with random weights. The name is a registered name, a model string such as `C(16,3)-P2-FC128-FC10`, a
    network of torchvision such as `torchvision:resnet18`, or your own class such as `my_package.my_module:Net`.

    Your class must be an nn.Module without required constructor arguments, in an installed package or in the working
    folder. Without `num_classes` the number of outputs of a model string or of your own class is not checked.

    Raises UserError for any other name, and for a network whose output is not (N, num_classes).
    """
    if name in MODELS:
        return MODELS[name](num_classes or NUM_CLASSES)
    if name.startswith(PREFIX):
        return _torchvision_network(name, num_classes or NUM_CLASSES)
    if ":" in name:
        model = own_model(name)
        check_output(model, num_classes)
        return model
    try:
        model_string = parse(name)
    except UserError as error:
        raise _unknown_model(name, error) from None
    (num_outputs,) = model_string.shapes[-1]
    if num_outputs != (num_classes or num_outputs):
        raise UserError(
            f"model '{brief(name)}' has {num_outputs} outputs, the data set has {num_classes} classes: "
            f"expected FC{num_classes} as the last layer"
        )
    return ModelStringNet(model_string)


def _torchvision_network(name: str, num_classes: int) -> nn.Module:
    model = TorchvisionNet(name.removeprefix(PREFIX), num_classes)
    try:
        check_output(model, num_classes)
    except UserError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"model '{name}' does not take MNIST's images: {reason}\n"
            "Choose a network for smaller images, such as resnet18 or mobilenet_v3_small."
        ) from error
    return model


def _unknown_model(name: str, error: UserError) -> UserError:
    """The error for a name that is not a model string, given the error of its parser."""
    if re.fullmatch(r"[\w./]+", name) and not any(re.fullmatch(layer.pattern, name) for layer in LAYERS):
        module = module_without_class(name)
        if module:
            return UserError(
                f"model '{brief(name)}' has no class: expected the module and your class, such as {module}:Net"
            )
        error = UserError(f"unknown model '{brief(name)}'{did_you_mean(name, MODELS)}")
    return UserError(
        f"{error}\nExpected {', '.join(MODELS)}, a model string such as C(16,3)-P2-FC128-FC10, {PREFIX}NAME, "
        "or your own class as my_package.my_module:Net"
    )


def check_output(model: nn.Module, num_classes: int | None = NUM_CLASSES, training_batch: int | None = None) -> int:
    """The number of the network's outputs. Raises UserError unless it maps images (2, 1, 28, 28) to floating-point
    logits (2, num_classes) in eval mode, or with None to logits of any number of classes.

    With `training_batch`, does the same in training mode with this many images. The buffers of the network, such as the
    statistics of batch norm, keep their values.
    """
    was_training = model.training
    if training_batch is None:
        num_outputs = _check_forward(model.eval(), 2, num_classes, "")
    else:
        buffers = [buffer.clone() for buffer in model.buffers()]
        num_outputs = _check_forward(model.train(), training_batch, num_classes, " in training mode")
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)
    model.train(was_training)
    return num_outputs


def _check_forward(model: nn.Module, num_images: int, num_classes: int | None, mode: str) -> int:
    """The number of outputs. Raises UserError as `check_output`."""
    images = f"for images of shape ({num_images}, 1, {SIDE}, {SIDE}){mode}"
    device = next((parameter.device for parameter in model.parameters()), None)
    with torch.no_grad(), errors_of_own_code(f"the forward pass of {type(model).__name__} {images}"):
        logits = model(torch.zeros(num_images, 1, SIDE, SIDE, device=device))
    if not isinstance(logits, Tensor):
        found = f"is a {type(logits).__name__}"
    elif logits.shape[:-1] != (num_images,) or logits.shape[1] != (num_classes or logits.shape[1]):
        found = f"has shape {tuple(logits.shape)}"
    elif not logits.is_floating_point():
        found = f"is of type {logits.dtype}"
    else:
        return logits.shape[1]
    raise UserError(
        f"the output of {type(model).__name__} {images} {found}.\n"
        f"Expected floating-point logits of shape ({num_images}, {num_classes or 'number of classes'}), one per class."
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

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        log_probabilities = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return log_probabilities.logsumexp(0) - math.log(len(self.members))


def load_trained(
    source: Run | Path | str, device: torch.device | None = None, num_threads: int | None = None
) -> nn.Module:
    """The network of a run with the weights of its selected epoch, or of a safetensors file that `mnist export` wrote,
    in eval mode, by default on the CPU.

    Convolutional networks are in channels_last format, which makes them two to three times faster on a CPU. Sets
    torch's number of threads, by default with the rule of `utils.runtime.choose_num_threads`.

    Raises UserError for a run without a checkpoint, for damaged files, and for a safetensors file of an own class.
    """
    model = _network_of_run(source) if isinstance(source, Run) else _network_of_file(Path(source))
    use_threads(model, num_threads)
    return model.to(device or "cpu").to(memory_format=memory_format(model)).eval()


def _network_of_run(run: Run) -> nn.Module:
    weights = load_checkpoint(run.best_checkpoint, BEST_KEYS)["model"]
    name, num_outputs = run.recipe.model, None
    if name in MODELS or name.startswith(PREFIX):
        num_outputs = len(list(weights.values())[-1])  # the bias of the logits
    with location_of_own_model(run):
        model = build_model(name, num_outputs)
    load_weights(model, weights, run.best_checkpoint)
    return model


def _network_of_file(path: Path) -> nn.Module:
    """The network of a safetensors file. The file names its model; its own class would run code, so it is refused."""
    weights, metadata = load_safetensors(path)
    try:
        name, num_classes = metadata["model"], len(json.loads(metadata["classes"]))
    except (LookupError, TypeError, ValueError):
        raise UserError(
            f"{shown(path)} does not name its model and classes: expected a file that mnist export wrote"
        ) from None
    if ":" in name and not name.startswith(PREFIX):
        raise UserError(
            f"{shown(path)} holds weights of {brief(name)}, a class of its author.\n"
            "Make an instance of the class, and load the weights with safetensors.torch.load_model"
        )
    model = build_model(name, num_classes)
    load_weights(model, weights, path)
    return model


@contextmanager
def location_of_own_model(run: Run) -> Iterator[None]:
    """Adds the run and the folder to start from to the error of an own model that cannot be built."""
    model = run.recipe.model
    try:
        yield
    except UserError as error:
        if ":" not in model or model.startswith(PREFIX):
            raise
        folder = run.environment.get("working_folder", "the folder of the module")
        reason = " ".join(str(error).splitlines())
        raise UserError(
            f"run {run.name}: {reason}\nIts model is {model}: start the command in {folder}, where the run was trained."
        ) from error


def load_ensemble(runs: Sequence[Run], device: torch.device | None = None) -> nn.Module:
    """The networks of these runs as one Ensemble; the network itself for one run. Raises as `load_trained`."""
    models = [load_trained(run, device) for run in runs]
    model = models[0] if len(models) == 1 else Ensemble(models).eval()
    use_threads(model)
    return model
