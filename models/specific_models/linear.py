"""Multinomial logistic regression: 784 pixels to 10 logits. 7,850 parameters."""

from models.layers import NUM_CLASSES
from models.parametric_models.parametric_fc import ParametricFCNet


class LinearNet(ParametricFCNet):
    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__(hidden_widths=(), num_classes=num_classes)
