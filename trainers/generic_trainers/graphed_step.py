"""A training step recorded once as a CUDA graph and replayed: Python no longer launches its kernels one by one."""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]
WARM_UP_STEPS = 3  # real steps on a stream of their own, in which libraries choose their kernels and take memory


def as_compiled(step: Step, optimizer: torch.optim.Optimizer, batch_size: int, compile_mode: str) -> Step:
    """The step as it is or, where the mode is cuda_graph, as it is recorded."""
    return GraphedStep(step, optimizer, batch_size) if compile_mode == "cuda_graph" else step


class GraphedStep:
    """Does what `step(images, labels)` does, which must neither wait for the device nor ask it anything.

    The first steps run as they are; then one is recorded, and all later ones replay it: on the same
    weights, the same optimizer state and the learning rate in its place. A smaller batch, as an epoch's last may
    be, runs as it is.
    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture
    """

    def __init__(self, step: Step, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
        self.step = step
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.num_warm_up_steps = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.images = self.labels = self.logits = torch.empty(0)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if labels.shape[-1] != self.batch_size:
            return self.step(images, labels)
        if self.num_warm_up_steps < WARM_UP_STEPS:
            self.num_warm_up_steps += 1
            return self.warm_up(images, labels)
        if self.graph is None:
            self.record(images, labels)
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.replay()
        return self.logits.clone()

    def warm_up(self, images: Tensor, labels: Tensor) -> Tensor:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            logits = self.step(images, labels)
        torch.cuda.current_stream().wait_stream(stream)
        return logits

    def record(self, images: Tensor, labels: Tensor) -> None:
        """Records the kernels of a step without running them."""
        self.images, self.labels = images.clone(), labels.clone()
        self.graph = torch.cuda.CUDAGraph()
        self.mark_capturable(True)
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # a loader's threads go on
            self.logits = self.step(self.images, self.labels)
        self.mark_capturable(False)

    def mark_capturable(self, is_capturable: bool) -> None:
        """Tells the optimizer that it is being recorded, which it refuses otherwise."""
        for group in self.optimizer.param_groups:
            group["capturable"] = is_capturable

    def replay(self) -> None:
        assert self.graph is not None
        self.graph.replay()
