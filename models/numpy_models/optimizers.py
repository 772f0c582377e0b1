"""How the parameters go down the gradient. Each changes them in place; all have torch's definitions."""

from collections.abc import Sequence

import numpy as np

from models.numpy_models.layer import Array


class SGD:
    """Gradient descent with Nesterov momentum (Sutskever et al. 2013): v <- m v + g, w <- w - r (g + m v)."""

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.state: dict[str, list[Array]] = {}

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], rate: float) -> None:
        velocities = self.state.setdefault("velocity", [np.zeros_like(w) for w in parameters])
        for w, g, v in zip(parameters, gradients, velocities, strict=True):
            v *= self.momentum
            v += g
            w -= rate * (g + self.momentum * v)


class Adam:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980):

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  w <- w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8)
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.beta1, self.beta2 = beta1, beta2
        self.state: dict[str, list[Array]] = {}

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], rate: float) -> None:
        for name in ("mean", "square"):
            self.state.setdefault(name, [np.zeros_like(w) for w in parameters])
        (num_steps,) = self.state.setdefault("num_steps", [np.zeros(())])
        num_steps += 1
        correction = np.sqrt(1 - self.beta2**num_steps)
        step_size = rate / (1 - self.beta1**num_steps)
        moments = zip(parameters, gradients, self.state["mean"], self.state["square"], strict=True)
        for w, g, m, v in moments:
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g * g - v)
            w -= (step_size * m / (np.sqrt(v) / correction + 1e-8)).astype(w.dtype)
