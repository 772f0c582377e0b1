"""Keras on TensorFlow as its examples show it: arrays in memory, compile and fit."""

import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np

from benchmarks.peers.measure import BATCH_SIZES, Stopwatch, main, training_arrays


class EpochClock(keras.callbacks.Callback):
    def __init__(self, stopwatch: Stopwatch) -> None:
        super().__init__()
        self.stopwatch = stopwatch

    def on_epoch_begin(self, *_: object) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, *_: object) -> None:
        self.stopwatch.seconds.append(time.perf_counter() - self.started)


def build(network: str) -> keras.Model:
    layers = keras.layers
    if network == "fc":
        hidden = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(64, activation="relu")]
    else:
        hidden = [
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5),
        ]  # fmt: skip
    return keras.Sequential([keras.Input((28, 28, 1)), *hidden, layers.Dense(10, activation="softmax")])


def train(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    images, labels = training_arrays()
    model = build(network)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(
        np.moveaxis(images, 1, -1), labels, batch_size=BATCH_SIZES[network], epochs=num_epochs, verbose=0,
        callbacks=[EpochClock(stopwatch)],
    )  # fmt: skip


if __name__ == "__main__":
    main(train)
