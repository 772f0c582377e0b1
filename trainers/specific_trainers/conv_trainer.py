"""Trains StandardConvNet: Adam, learning rate 0.001 along a cosine, batch 64, 50 epochs, digits turned and moved.

    mnist train conv

On two cores of an AMD EPYC, 3 seeds, mean and 95 % interval, by benchmarks/trainer_results.py:
99.54 % ± 0.16 % test accuracy after 1,031 s of training (bf16).
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe(
    "standard_conv",
    TrainConfig(
        learning_rate=1e-3,
        batch_size=64,
        num_epochs=50,
        schedule="cosine",
        rotation_degrees=10,
        translation_pixels=1,
    ),
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
