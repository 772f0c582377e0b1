"""Trains ResNet18: SGD with Nesterov momentum, learning rate 0.1 in one cycle, batch 128, 15 epochs, digits turned and
moved. Made for a GPU.

    mnist train resnet18

Not measured yet: no GPU was at hand.
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe(
    "resnet18",
    TrainConfig(
        batch_size=128,
        num_epochs=15,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        schedule="one_cycle",
        rotation_degrees=10,
        translation_pixels=1,
    ),
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
