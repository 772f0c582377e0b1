"""Softmax with cross-entropy."""

import numpy as np
from jaxtyping import Float, Int64

Logits = Float[np.ndarray, "batch classes"]


def softmax(logits: Logits) -> Logits:
    """p[n, k] = exp(z[n, k]) / sum over j of exp(z[n, j]); the largest logit is taken away first, lest exp overflow."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy_gradient(logits: Logits, labels: Int64[np.ndarray, " batch"], label_smoothing: float = 0.0) -> Logits:
    """dL/dz of the mean cross-entropy L = -1/N sum over n, k of t[n, k] log p[n, k]: (p - t) / N.

    The targets t are one-hot, of which `label_smoothing` spreads a share evenly over the classes.
    """
    targets = np.full_like(logits, label_smoothing / logits.shape[1])
    targets[np.arange(len(labels)), labels] += 1 - label_smoothing
    return (softmax(logits) - targets) / len(labels)
