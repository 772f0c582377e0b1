"""StandardConvNet: Adam, learning rate 0.001 with cosine decay, batch 64, 50 epochs, random rotations and shifts.

    mnist train conv

On two cores of an AMD EPYC, 3 seeds, mean and 95 % confidence interval, by benchmarks/trainer_results.py:
99.54 % ± 0.16 % test accuracy after 1,031 s of training (bf16).
"""

from utils.cli import run_script
from utils.recipe import Recipe

RECIPE = Recipe(
    "standard_conv",
    learning_rate=1e-3,
    batch_size=64,
    num_epochs=50,
    schedule="cosine",
    rotation_degrees=10,
    translation_pixels=1,
)

if __name__ == "__main__":
    run_script("conv")
