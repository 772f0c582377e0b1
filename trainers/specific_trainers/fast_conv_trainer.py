"""Trains FastConvNet for the best accuracy a second: Adam, learning rate 0.01 in one cycle, batch 256.

mnist train fast_conv                    # 8 epochs
mnist train fast_conv --num-epochs 4
mnist train fast_conv --num-epochs 1
"""

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import main

RECIPE = Recipe(
    "fast_conv",
    TrainConfig(
        num_epochs=8,
        batch_size=256,
        learning_rate=0.01,
        momentum=0.7,
        adam_beta2=0.9,
        schedule="one_cycle",
        label_smoothing=0.05,
        judged_epoch="last",
        rotation_degrees=10,
        translation_pixels=1,
    ),
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
