"""Two 3x3 convolutions with 32 channels, two with 64, FC 128-10, batch norm and dropout. 468,138 parameters."""

from torch import nn

from models.layers import NUM_CLASSES, BatchNorm1d, Dropout, LayeredNet

DROPOUT = 0.4


class DeepConvNet(LayeredNet):
    """28 x 28 -> 14 x 14 -> 7 x 7 with padded convolutions. Batch norm follows each convolution and the hidden fully
    connected layer; dropout follows each pool and the hidden fully connected layer."""

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        layers: dict[str, nn.Module] = {}
        for number, (width_in, width_out) in enumerate([(1, 32), (32, 32), (32, 64), (64, 64)], start=1):
            layers[f"conv{number}"] = nn.Conv2d(width_in, width_out, 3, padding=1, bias=False)
            layers[f"conv{number}_norm"] = nn.BatchNorm2d(width_out)
            if number % 2 == 0:
                layers[f"conv{number}_pool"] = nn.MaxPool2d(2)  # before ReLU: same values, less work
            layers[f"conv{number}_relu"] = nn.ReLU()
            if number % 2 == 0:
                layers[f"conv{number}_dropout"] = Dropout(DROPOUT)
        super().__init__(
            **layers,
            flatten=nn.Flatten(),
            fc1=nn.Linear(7 * 7 * 64, 128, bias=False),
            fc1_norm=BatchNorm1d(128),
            fc1_relu=nn.ReLU(),
            fc1_dropout=Dropout(DROPOUT),
            logits=nn.Linear(128, num_classes),
        )
