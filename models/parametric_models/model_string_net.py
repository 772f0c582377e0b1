"""The torch network of a model string."""

from torch import nn

from models.layers import LayeredNet
from models.model_string import FullyConnected, ModelString


class ModelStringNet(LayeredNet):
    """The layers of a model string under the string's names, with ReLU after each convolution and each hidden fully
    connected layer. A batch norm directly after such a layer precedes the ReLU."""

    def __init__(self, model_string: ModelString) -> None:
        modules: dict[str, nn.Module] = {}
        for name, layer, inputs, has_relu in model_string.steps():
            if isinstance(layer, FullyConnected) and len(inputs) == 3:
                modules["flatten"] = nn.Flatten()
            modules[name] = layer.to_torch(inputs)
            if has_relu:
                modules[f"{name}_relu"] = nn.ReLU()
        super().__init__(**modules)
        self.model_string = model_string
