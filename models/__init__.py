"""Networks: pixels in [0, 1] of shape (N, 1, 28, 28) in, logits (N, 10) out."""

import utils  # noqa: F401 - before torch: it sets how torch's threads wait
from models.registry import build_model, load_ensemble, load_trained, num_parameters

__all__ = ["build_model", "load_ensemble", "load_trained", "num_parameters"]
