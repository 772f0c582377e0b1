"""The shortest loop by hand: tensors in memory, no platform, no framework; fp32 as torch comes."""

import torch
import torch.nn.functional as F

from benchmarks.peers.measure import BATCH_SIZES, Stopwatch, main, training_arrays
from benchmarks.peers.networks import build


def train(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    images, labels = map(torch.from_numpy, training_arrays())
    model = build(network)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(num_epochs):
        with stopwatch.epoch():
            for indices in torch.randperm(len(images)).split(BATCH_SIZES[network]):
                optimizer.zero_grad()
                F.cross_entropy(model(images[indices]), labels[indices]).backward()
                optimizer.step()


if __name__ == "__main__":
    main(train)
