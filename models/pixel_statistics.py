"""How bright MNIST's pixels are."""

MNIST_MEAN = 0.1307  # of all training pixels in [0, 1]
MNIST_STD = 0.3081
