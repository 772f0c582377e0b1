"""What a network's first layer looks for, as pictures."""

import numpy as np
from jaxtyping import Float
from torch import nn

MAX_FILTERS = 64
NUM_PIXELS = 28 * 28


def first_layer_filters(model: nn.Module) -> Float[np.ndarray, "filters height width"] | None:
    """The weights of the first layer as pictures; None where it is fully connected and sees pooled pixels."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)), None)
    if first is None or (isinstance(first, nn.Linear) and first.in_features != NUM_PIXELS):
        return None
    weights = first.weight.detach().float().cpu().numpy()[:MAX_FILTERS]
    return weights[:, 0] if isinstance(first, nn.Conv2d) else weights.reshape(-1, 28, 28)
