"""A training step recorded once as a CUDA graph and then replayed, so that Python does not launch each kernel."""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]
WARM_UP_STEPS = 3  # real steps on a separate stream, in which libraries choose kernels and allocate memory


def as_compiled(step: Step, optimizer: torch.optim.Optimizer, batch_size: int, compile_mode: str) -> Step:
    """The step itself, or with the mode cuda_graph its recording."""
    return GraphedStep(step, optimizer, batch_size) if compile_mode == "cuda_graph" else step


class GraphedStep:
    """Replaces `step(images, labels)`, which must not wait for the device or read values from it.

    The first steps run as usual. Then one step is recorded, and all later steps replay it on the same weights, the same
    optimizer state and the learning rate in its place. A smaller batch, such as the last one of an epoch, runs as
    usual.
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
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # threads of a DataLoader keep running
            self.logits = self.step(self.images, self.labels)
        self.mark_capturable(False)

    def mark_capturable(self, is_capturable: bool) -> None:
        """Marks the optimizer as capturable: without the mark it refuses to be recorded."""
        for group in self.optimizer.param_groups:
            group["capturable"] = is_capturable

    def replay(self) -> None:
        assert self.graph is not None
        self.graph.replay()
