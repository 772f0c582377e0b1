"""Trains LinearNet, the baseline: Adam, learning rate 0.001 along a cosine, batch 128, 20 epochs.

    mnist train linear

On two cores of an AMD EPYC, 3 seeds, mean and 95 % interval, by benchmarks/trainer_results.py:
92.60 % ± 0.13 % test accuracy after 5 s of training.
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe("linear", TrainConfig(learning_rate=1e-3, batch_size=128, num_epochs=20, schedule="cosine"))

if __name__ == "__main__":
    main(RECIPE, __doc__)
