"""Trains TwoConvNet as Keras' MNIST example does: Adam, learning rate 0.001, batch 128, 15 epochs, a tenth held out.

mnist train two_conv
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe("two_conv", TrainConfig(validation_size=0.1, batch_size=128, num_epochs=15))

if __name__ == "__main__":
    main(RECIPE, __doc__)
