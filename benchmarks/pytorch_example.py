"""PyTorch's MNIST example, rewritten with the same network and recipe: trains until it reaches a test accuracy.

    python -m benchmarks.pytorch_example --accuracy 0.99 [--seed 1]

Source: https://github.com/pytorch/examples/tree/main/mnist (two 3x3 convolutions, dropout, FC 128; Adadelta with
learning rate 1, multiplied by 0.7 per epoch; batch 64, at most 14 epochs, DataLoader over torchvision's MNIST).
"""

import json
import time

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers import example_loader
from benchmarks.results import DEVICE, script_parser

MAX_EPOCHS = 14
TEST_BATCH_SIZE = 1000


def build() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


@torch.no_grad()
def accuracy(model: nn.Module, loader: torch.utils.data.DataLoader) -> float:
    model.eval()
    is_correct = [model(images.to(DEVICE)).argmax(1).cpu() == labels for images, labels in loader]
    model.train()
    return float(torch.cat(is_correct).double().mean())


def main() -> None:
    """Prints seconds of loading and training (without evaluation) and the test accuracy after each epoch, as JSON."""
    parser = script_parser(__doc__)
    parser.add_argument("--accuracy", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    loader, test_loader = example_loader(64), example_loader(TEST_BATCH_SIZE, "test")
    model = build().to(DEVICE)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    seconds, accuracies = 0.0, [0.0]
    while accuracies[-1] < options.accuracy and len(accuracies) <= MAX_EPOCHS:
        for images, labels in loader:
            optimizer.zero_grad()
            F.nll_loss(F.log_softmax(model(images.to(DEVICE)), dim=1), labels.to(DEVICE)).backward()
            optimizer.step()
        scheduler.step()
        seconds += time.perf_counter() - started
        accuracies.append(accuracy(model, test_loader))
        started = time.perf_counter()
    print(json.dumps({"seconds": seconds, "test_accuracies": accuracies[1:]}))


if __name__ == "__main__":
    main()
