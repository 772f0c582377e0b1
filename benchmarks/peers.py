"""One training epoch by this platform and by other frameworks, each used as in its documentation.

    python -m benchmarks.peers bare_loop fc --epochs 2

Prints the seconds of each epoch and the peak memory as JSON. The other scripts start it as a process per measurement.
Lightning, skorch and Keras are optional packages, imported by the function that needs them.
"""

import argparse
import gzip
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.results import runs_to_throw_away
from models.layers import MNIST_MEAN, MNIST_STD
from trainers import train
from utils.data.datasets import DATASETS, load_dataset
from utils.files import data_folder
from utils.recipe import Execution, Recipe

BATCH_SIZES = {"fc": 64, "conv": 128}
REGISTERED_MODELS = {"fc": "standard_fc", "conv": "two_conv"}
NUM_DIGITS, NUM_TRAINED = 60_000, 55_000


class Stopwatch:
    """Wall-clock seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextmanager
    def epoch(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - started)


def platform(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """This platform. An epoch has 55,000 images, as 5,000 are held out; its seconds are scaled to 60,000."""
    recipe = Recipe(REGISTERED_MODELS[network], batch_size=BATCH_SIZES[network], num_epochs=num_epochs)
    with runs_to_throw_away():
        run = train(recipe, execution=Execution(device="cpu"))
        stopwatch.seconds += [row.epoch_seconds * NUM_DIGITS / NUM_TRAINED for row in run.metrics]


def bare_loop(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """The shortest training loop in plain PyTorch: tensors in memory, fp32, torch's defaults."""
    images, labels = map(torch.from_numpy, training_arrays())
    model = plain_model(network)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(num_epochs):
        with stopwatch.epoch():
            for indices in torch.randperm(len(images)).split(BATCH_SIZES[network]):
                optimizer.zero_grad()
                F.cross_entropy(model(images[indices]), labels[indices]).backward()
                optimizer.step()


def data_loader(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """The loop of PyTorch's MNIST example: torchvision's data set through a DataLoader, image by image."""
    loader = example_loader(BATCH_SIZES[network])
    model = plain_model(network)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(num_epochs):
        with stopwatch.epoch():
            for images, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()


def lightning(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """Lightning: a LightningModule, a Trainer, the DataLoader of PyTorch's example."""
    from lightning import LightningModule, Trainer

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = plain_model(network)
            self.started = 0.0

        def on_train_epoch_start(self) -> None:
            self.started = time.perf_counter()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, labels = batch
            return F.cross_entropy(self.model(images), labels)

        def on_train_epoch_end(self) -> None:
            stopwatch.seconds.append(time.perf_counter() - self.started)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), 1e-3)

    trainer = Trainer(
        max_epochs=num_epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Classifier(), example_loader(BATCH_SIZES[network]))


def skorch(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """skorch: arrays in memory, a NeuralNetClassifier."""
    from skorch import NeuralNetClassifier

    images, labels = training_arrays()
    classifier = NeuralNetClassifier(
        plain_model(network),
        criterion=nn.CrossEntropyLoss,
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


def keras(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """Keras on TensorFlow: arrays in memory, compile and fit."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    from keras import Input, Sequential, callbacks, layers

    class EpochClock(callbacks.Callback):
        def on_epoch_begin(self, *_: object) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, *_: object) -> None:
            stopwatch.seconds.append(time.perf_counter() - self.started)

    if network == "fc":
        hidden = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(64, activation="relu")]
    else:
        hidden = [
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5),
        ]  # fmt: skip
    model = Sequential([Input((28, 28, 1)), *hidden, layers.Dense(10, activation="softmax")])
    images, labels = training_arrays()
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(
        np.moveaxis(images, 1, -1), labels, batch_size=BATCH_SIZES[network], epochs=num_epochs, verbose=0,
        callbacks=[EpochClock()],
    )  # fmt: skip


PROGRAMS: dict[str, Callable[[str, int, Stopwatch], None]] = {
    program.__name__: program for program in (platform, bare_loop, data_loader, lightning, skorch, keras)
}


def plain_model(network: str) -> nn.Sequential:
    """784-128-64-10, or 3x3 conv 32, pool, 3x3 conv 64, pool, dropout, dense 10. Inputs are standardised pixels."""
    if network == "fc":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10),
    )  # fmt: skip


def training_arrays() -> tuple[np.ndarray, np.ndarray]:
    """The 60,000 training images, standardised, float32 (n, 1, 28, 28), and their labels, int64."""
    digits = load_dataset("mnist", "train")
    pixels = (digits.images.numpy()[:, None].astype(np.float32) / 255 - MNIST_MEAN) / MNIST_STD
    return pixels.astype(np.float32), digits.labels.numpy()


def example_loader(batch_size: int, split: str = "train") -> DataLoader:
    """The DataLoader of PyTorch's MNIST example: torchvision's data set, ToTensor, Normalize, shuffled."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MNIST_MEAN,), (MNIST_STD,))])
    digits = datasets.MNIST(str(raw_folder()), train=split == "train", transform=transform)
    return DataLoader(digits, batch_size=batch_size, shuffle=True)


def raw_folder() -> Path:
    """The folder with MNIST for torchvision: the platform's files, unpacked once."""
    root = data_folder() / "torchvision"
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for split, (files,) in DATASETS["mnist"].files.items():
        for file in files:
            target = raw / file.name.removesuffix(".gz")
            if not target.exists():
                load_dataset("mnist", split)  # downloaded and verified
                target.write_bytes(gzip.decompress(file.path.read_bytes()))
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("network", choices=BATCH_SIZES)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    stopwatch = Stopwatch()
    PROGRAMS[options.program](options.network, options.epochs, stopwatch)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    measured: dict[str, Any] = {"epoch_seconds": stopwatch.seconds, "peak_bytes": peak_bytes}
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
