"""Trains StandardFCNet without augmentation until it knows its digits by heart: Adam, learning rate 0.001, batch 75,
at most 200 epochs, stopped when the training accuracy has not risen for 30.

    mnist train fc_early_stopping
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe(
    "standard_fc",
    TrainConfig(batch_size=75, num_epochs=200, early_stopping="train_accuracy", early_stopping_patience=30),
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
