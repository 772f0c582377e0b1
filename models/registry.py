"""One way in for every network: `build_model(name)`."""

from collections.abc import Callable

from torch import nn

from models.model_string import parse
from models.parametric_models.model_string_net import ModelStringNet
from models.specific_models.deep_conv import DeepConvNet
from models.specific_models.fast_conv import FastConvNet
from models.specific_models.linear import LinearNet
from models.specific_models.resnet18 import ResNet18
from models.specific_models.shift_invariant import ShiftInvariantNet
from models.specific_models.standard_conv import StandardConvNet
from models.specific_models.standard_fc import StandardFCNet
from models.specific_models.two_conv import TwoConvNet
from utils.errors import UserError

MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": LinearNet,
    "standard_fc": StandardFCNet,
    "standard_conv": StandardConvNet,
    "two_conv": TwoConvNet,
    "fast_conv": FastConvNet,
    "deep_conv": DeepConvNet,
    "shift_invariant": ShiftInvariantNet,
    "resnet18": ResNet18,
}


def build_model(name: str) -> nn.Module:
    """The network with freshly drawn weights: a registered name or a model string such as `C(16,3)-P2-FC128-FC10`.

    Raises UserError for anything else, before memory is taken.
    """
    if name in MODELS:
        return MODELS[name]()
    try:
        model_string = parse(name)
    except UserError as error:
        raise UserError(f"{error}\nRegistered models: {', '.join(MODELS)}") from None
    return ModelStringNet(model_string)


def num_parameters(model: nn.Module) -> int:
    """The number of trained values; buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())
