"""Batches for training: index slices of a data set that is on the device, or a DataLoader for larger sets."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from utils.data.splits import ImageSet

Batch = tuple[Float[Tensor, "batch 1 28 28"], Int64[Tensor, " batch"]]


def to_pixels(images: UInt8[Tensor, "batch 28 28"]) -> Float[Tensor, "batch 1 28 28"]:
    """The input of models: float32 in [0, 1] with a channel axis."""
    return images.unsqueeze(1).float().div_(255)


class PreloadedBatches:
    """The whole set on the device as uint8. A batch is an index slice, converted on the device."""

    def __init__(self, image_set: ImageSet, batch_size: int, device: torch.device) -> None:
        self.images = image_set.images.to(device)
        self.labels = image_set.labels.to(device)
        self.batch_size = batch_size

    def epoch(self, order: Int64[Tensor, " n"]) -> Iterator[Batch]:
        """Pixels in [0, 1] and labels on the device, batch by batch in this order of indices (a CPU tensor). The last
        batch may be smaller."""
        for indices in order.to(self.images.device).split(self.batch_size):
            yield self.take(indices)

    def take(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The images at these indices (on the device) as a batch."""
        # index_select copies whole rows and is several times faster than indexing.
        return to_pixels(self.images.index_select(0, indices)), self.labels.index_select(0, indices)


class StreamedBatches:
    """The same batches from a DataLoader with worker processes and pinned memory, for sets that do not fit."""

    def __init__(self, image_set: ImageSet, batch_size: int, device: torch.device, num_workers: int) -> None:
        self.device = device
        self.sampler = _FixedOrder(batch_size)
        self.loader = DataLoader(
            TensorDataset(image_set.images, image_set.labels),
            batch_sampler=self.sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # the default generator is the one that dropout draws from
        )

    def epoch(self, order: Int64[Tensor, " n"]) -> Iterator[Batch]:
        """As in PreloadedBatches."""
        self.sampler.order = order
        for images, labels in self.loader:
            images = images.to(self.device, non_blocking=True)
            yield to_pixels(images), labels.to(self.device, non_blocking=True)


BatchSource = PreloadedBatches | StreamedBatches


class _FixedOrder(Sampler[list[int]]):
    """Batches of indices in an order that is set before each epoch."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.order = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[list[int]]:
        return (indices.tolist() for indices in self.order.split(self.batch_size))
