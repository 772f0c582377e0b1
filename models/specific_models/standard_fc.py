"""784-128-64-10 with ReLU. 109,386 parameters."""

from models.layers import NUM_CLASSES
from models.parametric_models.parametric_fc import ParametricFCNet


class StandardFCNet(ParametricFCNet):
    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__(hidden_widths=(128, 64), num_classes=num_classes)
