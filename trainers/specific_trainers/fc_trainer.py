"""StandardFCNet: Adam, one-cycle learning rate up to 0.01, batch 128, 100 epochs, random rotations and shifts.

    mnist train fc

On two cores of an AMD EPYC, 3 seeds, mean and 95 % confidence interval, by benchmarks/trainer_results.py:
98.76 % ± 0.14 % test accuracy after 70 s of training.
"""

from utils.cli import run_script
from utils.recipe import Recipe

RECIPE = Recipe(
    "standard_fc",
    learning_rate=1e-2,
    batch_size=128,
    num_epochs=100,
    schedule="one_cycle",
    rotation_degrees=10,
    translation_pixels=1,
)

if __name__ == "__main__":
    run_script("fc")
