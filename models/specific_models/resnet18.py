"""ResNet-18 for 28 x 28 digits: a 3x3 stem without stride and without the first pool. 11,172,810 parameters."""

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet18

from models.layers import Standardize


class ResNet18(nn.Module):
    """Eight residual blocks of 64 to 512 channels at 28, 14, 7 and 4 px, global average pooling, one FC10.

    Source: He et al. 2016, Deep Residual Learning, arXiv 1512.03385; the stem as in its section 4.2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.standardize = Standardize()
        self.layers = resnet18(num_classes=10)
        self.layers.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.layers.maxpool = nn.Identity()

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(self.standardize(images))
        return logits
