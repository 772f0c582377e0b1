"""StandardFCNet without augmentation until it has memorised the training images: Adam, learning rate 0.001, batch 75,
at most 200 epochs, stopped after 30 epochs without a higher training accuracy.

    mnist train fc_early_stopping

On two cores of an AMD EPYC, 3 seeds, mean and 95 % confidence interval, by benchmarks/trainer_results.py:
97.95 % ± 0.20 % test accuracy after 93 to 102 epochs, 168 s of training.
"""

from utils.cli import run_script
from utils.recipe import Recipe

RECIPE = Recipe(
    "standard_fc",
    batch_size=75,
    num_epochs=200,
    early_stopping="train_accuracy",
    early_stopping_patience=30,
)

if __name__ == "__main__":
    run_script("fc_early_stopping")
