"""Three valid convolutions with 16, 48 and 96 channels, FC 128-10: the best accuracy per second. 161,114 parameters."""

from torch import nn

from models.layers import NUM_CLASSES, LayeredNet


class FastConvNet(LayeredNet):
    """28 x 28 -> 24 -> 12 -> 10 -> 5 -> 3; the fully connected layers have 864 inputs.

    A block is convolution, max pooling, batch norm, ReLU. Pooling first saves batch norm and ReLU three quarters of
    the work. Channel counts are multiples of 16, the width of the CPU's vector units. benchmarks/SPEED_LOG.md lists the
    alternatives that were measured.
    """

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__(
            conv1=nn.Conv2d(1, 16, 5, bias=False),
            conv1_pool=nn.MaxPool2d(2),
            conv1_norm=nn.BatchNorm2d(16),
            conv1_relu=nn.ReLU(),
            conv2=nn.Conv2d(16, 48, 3, bias=False),
            conv2_pool=nn.MaxPool2d(2),
            conv2_norm=nn.BatchNorm2d(48),
            conv2_relu=nn.ReLU(),
            conv3=nn.Conv2d(48, 96, 3, bias=False),
            conv3_norm=nn.BatchNorm2d(96),
            conv3_relu=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(864, 128),
            fc1_relu=nn.ReLU(),
            logits=nn.Linear(128, num_classes),
        )
