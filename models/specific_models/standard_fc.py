"""784-128-64-10 with ReLU. 109,386 parameters."""

from models.parametric_models.parametric_fc import ParametricFCNet


class StandardFCNet(ParametricFCNet):
    def __init__(self) -> None:
        super().__init__(hidden_widths=(128, 64))
