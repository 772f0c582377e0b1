"""Fully connected networks with any widths."""

import itertools
from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import NUM_PIXELS, Dropout, Standardize
from models.model_string import NUM_CLASSES

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}


class ParametricFCNet(nn.Module):
    """784 pixels, hidden layers of the given widths, 10 logits. Without hidden layers: multinomial regression."""

    def __init__(
        self, hidden_widths: Sequence[int] = (128, 64), dropout: float = 0.0, activation: str = "relu"
    ) -> None:
        """`dropout` is the probability of dropping a hidden value, `activation` a key of ACTIVATIONS."""
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(standardize=Standardize(), flatten=nn.Flatten()))
        append_classifier(self.layers, NUM_PIXELS, hidden_widths, dropout, activation)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits


def append_classifier(
    layers: nn.Sequential, num_inputs: int, hidden_widths: Sequence[int], dropout: float, activation: str = "relu"
) -> None:
    """Appends fully connected layers that end in 10 logits. Each activation is a separate module."""
    widths = [num_inputs, *hidden_widths]
    for number, (width_in, width_out) in enumerate(itertools.pairwise(widths), start=1):
        layers.add_module(f"fc{number}", nn.Linear(width_in, width_out))
        layers.add_module(f"fc{number}_{activation}", ACTIVATIONS[activation]())
        if dropout:
            layers.add_module(f"fc{number}_dropout", Dropout(dropout))
    layers.add_module("logits", nn.Linear(widths[-1], NUM_CLASSES))
