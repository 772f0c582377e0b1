"""Trains LinearNet, the baseline: Adam, learning rate 0.001 that falls along a cosine, batch 128, 20 epochs."""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe("linear", TrainConfig(learning_rate=1e-3, batch_size=128, num_epochs=20, schedule="cosine"))

if __name__ == "__main__":
    main(RECIPE, __doc__)
