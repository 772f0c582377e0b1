"""Three 3x3 convolutions with 32, 64 and 64 channels and batch norm, then FC 512-128-10. 1,729,162 parameters."""

from models.layers import NUM_CLASSES
from models.parametric_models.parametric_conv import ParametricConvNet


class StandardConvNet(ParametricConvNet):
    """28 x 28 -> 14 x 14 -> 7 x 7 -> 7 x 7; the fully connected layers have 3,136 inputs."""

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__(
            channels=(32, 64, 64),
            kernel_sizes=(3, 3, 3),
            paddings=(1, 1, 1),
            pools=(2, 2, 1),
            hidden_widths=(512, 128),
            num_classes=num_classes,
        )
