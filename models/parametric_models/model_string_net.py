"""The torch network of a model string."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import Standardize
from models.model_string import FullyConnected, ModelString


class ModelStringNet(nn.Module):
    """The layers of a model string under the string's names, after standardisation, with ReLU after each convolution
    and each hidden fully connected layer. A batch norm directly after such a layer precedes the ReLU."""

    def __init__(self, model_string: ModelString) -> None:
        super().__init__()
        self.model_string = model_string
        modules: OrderedDict[str, nn.Module] = OrderedDict(standardize=Standardize())
        for name, layer, inputs, has_relu in zip(
            model_string.names, model_string.layers, model_string.input_shapes, model_string.has_relu, strict=True
        ):
            if isinstance(layer, FullyConnected) and len(inputs) == 3:
                modules["flatten"] = nn.Flatten()
            modules[name] = layer.to_torch(inputs)
            if has_relu:
                modules[f"{name}_relu"] = nn.ReLU()
        self.layers = nn.Sequential(modules)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 10"]:
        logits: Tensor = self.layers(images)
        return logits
