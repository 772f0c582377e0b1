"""Networks of torchvision.models for gray-scale images of 28 x 28: `torchvision:resnet18`."""

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import MNIST_MEAN, MNIST_STD, NUM_CLASSES, Standardize
from utils.errors import UserError, brief, did_you_mean

PREFIX = "torchvision:"
PADDING = 2  # to 32 x 32, the smallest input of most of these networks


class TorchvisionNet(nn.Module):
    """A classification network of torchvision.models with random weights, one input channel and black padding.

    The first convolution sums its weights over the three colours, so the logits are those of the original network for
    a gray image in all three channels.
    """

    def __init__(self, name: str, num_classes: int = NUM_CLASSES) -> None:
        """`name` is one of `torchvision.models.list_models()`, such as resnet18. Raises UserError for another name."""
        from torchvision import models  # takes a second to import

        known = models.list_models(module=models)
        if name not in known:
            raise UserError(
                f"torchvision has no network '{brief(name)}'{did_you_mean(name, known)}\nExpected a network for "
                "classification, such as resnet18; torchvision.models.list_models(module=torchvision.models) lists all."
            )
        super().__init__()
        self.standardize = Standardize()
        self.pad = nn.ConstantPad2d(PADDING, -MNIST_MEAN / MNIST_STD)  # black, standardised
        self.network = models.get_model(name, weights=None, num_classes=num_classes)
        first = next(module for module in self.network.modules() if isinstance(module, nn.Conv2d))
        first.in_channels = 1
        first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        outputs = self.network(self.pad(self.standardize(images)))
        logits: Tensor = outputs if isinstance(outputs, Tensor) else outputs.logits  # GoogLeNet adds auxiliary logits
        return logits
