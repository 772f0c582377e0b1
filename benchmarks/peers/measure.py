"""What every peer shares: the data as it lies on disk, and how an epoch is timed and reported."""

import argparse
import gzip
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from models.layers import MNIST_MEAN, MNIST_STD
from utils.datasets import load_dataset
from utils.paths import data_folder
from utils.public_sets import PUBLIC_SETS

NETWORKS = ("fc", "conv")
BATCH_SIZES = {"fc": 64, "conv": 128}


class Stopwatch:
    """Seconds of each epoch, by the wall clock."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextmanager
    def epoch(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - started)


def training_arrays() -> tuple[np.ndarray, np.ndarray]:
    """The 60,000 training digits, standardised, float32 (n, 1, 28, 28), and their labels, int64."""
    digits = load_dataset("mnist", "train")
    pixels = (digits.images.numpy()[:, None].astype(np.float32) / 255 - MNIST_MEAN) / MNIST_STD
    return pixels.astype(np.float32), digits.labels.numpy()


def raw_folder() -> Path:
    """The folder in which torchvision finds MNIST: its files, unpacked once from the platform's."""
    root = data_folder() / "torchvision"
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for split, files in PUBLIC_SETS["mnist"].files.items():
        for file in files:
            target = raw / file.name.removesuffix(".gz")
            if not target.exists():
                load_dataset("mnist", split)  # fetched and verified
                target.write_bytes(gzip.decompress((data_folder() / file.folder / file.name).read_bytes()))
    return root


def main(train: Callable[[str, int, Stopwatch], None]) -> None:
    """`python PEER.py fc|conv --epochs N`: trains and prints seconds an epoch and peak memory as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    stopwatch = Stopwatch()
    train(options.network, options.epochs, stopwatch)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"epoch_seconds": stopwatch.seconds, "peak_bytes": peak_bytes}))
