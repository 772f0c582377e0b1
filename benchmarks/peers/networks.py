"""The two networks of the comparison in plain PyTorch, as a user would write them."""

from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.peers.measure import raw_folder
from models.layers import MNIST_MEAN, MNIST_STD


def build(network: str) -> nn.Sequential:
    """784-128-64-10, or 3x3 conv 32, pool, 3x3 conv 64, pool, dropout, dense 10; standardised pixels in, logits out."""
    if network == "fc":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10),
    )  # fmt: skip


def example_loader(batch_size: int, split: str = "train") -> DataLoader:
    """The DataLoader of PyTorch's MNIST example: torchvision's data set, ToTensor, Normalize, shuffled."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MNIST_MEAN,), (MNIST_STD,))])
    digits = datasets.MNIST(str(raw_folder()), train=split == "train", transform=transform)
    return DataLoader(digits, batch_size=batch_size, shuffle=True)
