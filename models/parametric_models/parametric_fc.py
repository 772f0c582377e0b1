"""Fully connected networks with any widths."""

import itertools
from collections.abc import Sequence

from torch import nn

from models.layers import NUM_CLASSES, NUM_PIXELS, Dropout, LayeredNet

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}


class ParametricFCNet(LayeredNet):
    """784 pixels, hidden layers of the given widths, logits. Without hidden layers: multinomial regression."""

    def __init__(
        self,
        hidden_widths: Sequence[int] = (128, 64),
        dropout: float = 0.0,
        activation: str = "relu",
        num_classes: int = NUM_CLASSES,
    ) -> None:
        """`dropout` is the probability of dropping a hidden value, `activation` a key of ACTIVATIONS."""
        super().__init__(**classifier([NUM_PIXELS, *hidden_widths], dropout, activation, num_classes))


def classifier(widths: Sequence[int], dropout: float, activation: str, num_classes: int) -> dict[str, nn.Module]:
    """Fully connected layers from widths[0] inputs to logits. Each activation is a separate module."""
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for number, (width_in, width_out) in enumerate(itertools.pairwise(widths), start=1):
        layers[f"fc{number}"] = nn.Linear(width_in, width_out)
        layers[f"fc{number}_{activation}"] = ACTIVATIONS[activation]()
        if dropout:
            layers[f"fc{number}_dropout"] = Dropout(dropout)
    return {**layers, "logits": nn.Linear(widths[-1], num_classes)}
