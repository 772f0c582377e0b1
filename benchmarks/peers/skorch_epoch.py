"""skorch as its documentation shows it: arrays in memory, a NeuralNetClassifier."""

import torch
from skorch import NeuralNetClassifier

from benchmarks.peers.measure import BATCH_SIZES, Stopwatch, main, training_arrays
from benchmarks.peers.networks import build


def train(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    images, labels = training_arrays()
    classifier = NeuralNetClassifier(
        build(network),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=BATCH_SIZES[network],
        iterator_train__shuffle=True,
        max_epochs=num_epochs,
        train_split=None,
        verbose=0,
    )
    classifier.fit(images, labels)
    stopwatch.seconds += classifier.history[:, "dur"]


if __name__ == "__main__":
    main(train)
