"""ResNet-18 for 28 x 28 images: a 3x3 first convolution with stride 1, no first pool. 11,172,810 parameters.

Source: He et al. 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385.
"""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import NUM_CLASSES, GlobalAveragePool, LayeredNet


class ResidualBlock(nn.Module):
    """ReLU(shortcut + two 3x3 convolutions with batch norm); the first convolution may halve height and width.

    The shortcut is the identity, or a 1x1 convolution with batch norm if the shape changes.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, padding=1, bias=False)
        self.conv1_norm = nn.BatchNorm2d(width_out)
        self.conv1_relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.conv2_norm = nn.BatchNorm2d(width_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or width_in != width_out:
            convolution = nn.Conv2d(width_in, width_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=convolution, norm=nn.BatchNorm2d(width_out)))
        self.relu = nn.ReLU()

    def forward(self, maps: Float[Tensor, "batch width_in rows columns"]) -> Float[Tensor, "batch width_out _ _"]:
        changes = self.conv1_relu(self.conv1_norm(self.conv1(maps)))
        changes = self.conv2_norm(self.conv2(changes))
        result: Tensor = self.relu(changes + self.shortcut(maps))
        return result


class ResNet18(LayeredNet):
    """Two residual blocks each with 64, 128, 256 and 512 channels at 28, 14, 7 and 4 px, a global mean, FC10.

    Kernels have a standard deviation of sqrt(2 / (k * k * channels out)): He et al. 2015, arXiv 1502.01852.
    """

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        blocks: dict[str, nn.Module] = {}
        for number, (width_in, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
            blocks[f"block{number}a"] = ResidualBlock(width_in, width, stride=1 if number == 1 else 2)
            blocks[f"block{number}b"] = ResidualBlock(width, width, stride=1)
        super().__init__(
            conv=nn.Conv2d(1, 64, 3, padding=1, bias=False),
            conv_norm=nn.BatchNorm2d(64),
            conv_relu=nn.ReLU(),
            **blocks,
            mean=GlobalAveragePool(),
            logits=nn.Linear(512, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
