"""Networks with random weights, the controls of attribution maps and feature visualisations."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from models.registry import build_model

MAX_CASCADE_STEPS = 8  # of a network with more layers, several are replaced in a step


def random_networks(
    model_name: str, num_classes: int, device: torch.device, num: int = 1, seed: int = 0
) -> list[nn.Module]:
    """Independently initialised networks of this model, in eval mode. The global random state does not change."""
    networks = []
    for number in range(num):
        with torch.random.fork_rng():
            torch.manual_seed(seed + number)
            network = build_model(model_name, num_classes)
        networks.append(network.to(device).eval().requires_grad_(False))
    return networks


def replace_layers_from_the_last(model: nn.Module, other: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Copies of the model in which one layer more has the values of the other network in each step, from the last layer
    to the first, with the name of the layer that was replaced last. Every step changes the same copy."""
    # The modules that hold parameters themselves.
    names = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))][::-1]
    changed = copy.deepcopy(model)
    for part in np.array_split(names, min(len(names), MAX_CASCADE_STEPS)):
        for name in part.tolist():
            _copy_values(other.get_submodule(name), changed.get_submodule(name))
        yield part.tolist()[-1].removeprefix("layers.") or "all", changed


@torch.no_grad()
def _copy_values(source: nn.Module, target: nn.Module) -> None:
    """Copies the parameters and buffers that the module itself holds, without those of its submodules."""
    for values, new_values in (
        *zip(target.parameters(recurse=False), source.parameters(recurse=False), strict=True),
        *zip(target.buffers(recurse=False), source.buffers(recurse=False), strict=True),
    ):
        values.copy_(new_values)
