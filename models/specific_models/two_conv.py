"""Two 3x3 convolutions with 32 and 64 channels, dropout, one fully connected layer. 34,826 parameters.

Source: the convolutional network of the Keras examples, https://keras.io/examples/vision/mnist_convnet/
"""

from torch import nn

from models.layers import NUM_CLASSES, Dropout, LayeredNet


class TwoConvNet(LayeredNet):
    """28 x 28 -> 26 -> 13 -> 11 -> 5 with valid convolutions; the last layer has 1,600 inputs.

    Pooling drops partial windows. It precedes ReLU, which gives the same values with a quarter of the work for ReLU.
    """

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__(
            conv1=nn.Conv2d(1, 32, 3),
            conv1_pool=nn.MaxPool2d(2),
            conv1_relu=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3),
            conv2_pool=nn.MaxPool2d(2),
            conv2_relu=nn.ReLU(),
            flatten=nn.Flatten(),
            dropout=Dropout(0.5),
            logits=nn.Linear(1600, num_classes),
        )
