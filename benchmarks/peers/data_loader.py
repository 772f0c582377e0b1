"""The way of PyTorch's MNIST example: torchvision's data set through a DataLoader, digit by digit."""

import torch
import torch.nn.functional as F

from benchmarks.peers.measure import BATCH_SIZES, Stopwatch, main
from benchmarks.peers.networks import build, example_loader


def train(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    loader = example_loader(BATCH_SIZES[network])
    model = build(network)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(num_epochs):
        with stopwatch.epoch():
            for images, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()


if __name__ == "__main__":
    main(train)
