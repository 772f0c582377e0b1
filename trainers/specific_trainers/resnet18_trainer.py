"""ResNet18: SGD with Nesterov momentum, one-cycle learning rate up to 0.1, batch 128, 15 epochs, random rotations and
shifts. For a GPU.

    mnist train resnet18

Not measured yet.
"""

from utils.cli import run_script
from utils.recipe import Recipe

RECIPE = Recipe(
    "resnet18",
    batch_size=128,
    num_epochs=15,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    schedule="one_cycle",
    rotation_degrees=10,
    translation_pixels=1,
)

if __name__ == "__main__":
    run_script("resnet18")
