"""The curvature of the loss around a trained network: the largest eigenvalues of the Fisher information.

Source: Martens 2020, New Insights and Perspectives on the Natural Gradient Method, arXiv 1412.1193, section 9.2:
for softmax with cross-entropy the Fisher information is the Gauss-Newton matrix, the loss's Hessian without the part
that comes from the network's own curvature.
"""

import warnings

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp

TOLERANCE = 1e-3  # relative, of an eigenvalue


def fisher_eigenvalues(
    model: nn.Module, pixels: Float[Tensor, "batch 1 28 28"], count: int
) -> Float[np.ndarray, " count"]:
    """The largest eigenvalues, falling, of E[g g^T]: g is the gradient of log p(class | digit) by all weights, the mean
    that over these digits and over the classes as the network itself gives them probability.

    By Lanczos iteration on products with vectors, so that no matrix is ever formed.
    """
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    sizes = [weight.numel() for weight in weights.values()]

    def logits_of(weights: dict[str, Tensor]) -> Tensor:
        return functional_call(model, weights, (pixels,))

    logits, pull_back = vjp(logits_of, weights)  # type: ignore[misc]
    probabilities = logits.softmax(1)

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(vector.astype(np.float32).ravel()).split(sizes)
        direction = {name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch about torch, when it is first asked for this
            _, moved = jvp(logits_of, (weights,), (direction,))  # type: ignore[misc]
        pushed = probabilities * (moved - (probabilities * moved).sum(1, keepdim=True))
        (gradient,) = pull_back(pushed / len(pixels))
        return torch.cat([gradient[name].flatten() for name in weights]).numpy()

    size = sum(sizes)
    start = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    if not product(start).any():  # the network is so sure that no weight moves its answers
        return np.zeros(count)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float32)
    found = eigsh(operator, count, v0=start, tol=TOLERANCE, return_eigenvectors=False)
    return np.sort(found)[::-1].clip(min=0)
