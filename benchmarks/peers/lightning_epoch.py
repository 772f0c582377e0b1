"""Lightning as its documentation shows it: a LightningModule, a Trainer, the DataLoader of PyTorch's example."""

import time

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers.measure import BATCH_SIZES, Stopwatch, main
from benchmarks.peers.networks import build, example_loader


class Classifier(lightning.LightningModule):
    def __init__(self, network: str, stopwatch: Stopwatch) -> None:
        super().__init__()
        self.model = build(network)
        self.stopwatch = stopwatch
        self.started = 0.0

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.model(images), labels)

    def on_train_epoch_end(self) -> None:
        self.stopwatch.seconds.append(time.perf_counter() - self.started)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def train(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    trainer = lightning.Trainer(
        max_epochs=num_epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Classifier(network, stopwatch), example_loader(BATCH_SIZES[network]))


if __name__ == "__main__":
    main(train)
