"""Trains StandardFCNet: Adam, learning rate 0.01 in one cycle, batch 128, 100 epochs, digits turned and moved.

    mnist train fc

On two cores of an AMD EPYC, 3 seeds, mean and 95 % interval, by benchmarks/trainer_results.py:
98.76 % ± 0.14 % test accuracy after 70 s of training.
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe(
    "standard_fc",
    TrainConfig(
        learning_rate=1e-2,
        batch_size=128,
        num_epochs=100,
        schedule="one_cycle",
        rotation_degrees=10,
        translation_pixels=1,
    ),
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
