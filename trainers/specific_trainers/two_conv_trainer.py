"""TwoConvNet as in Keras' MNIST example: Adam, learning rate 0.001, batch 128, 15 epochs, a tenth held out.

    mnist train two_conv

On two cores of an AMD EPYC, 3 seeds, mean and 95 % confidence interval, by benchmarks/trainer_results.py (bf16):
99.22 % ± 0.16 % test accuracy after 97 s of training.
"""

from utils.cli import run_script
from utils.recipe import Recipe

RECIPE = Recipe("two_conv", validation_size=0.1, batch_size=128, num_epochs=15)

if __name__ == "__main__":
    run_script("two_conv")
