"""Trains FastConvNet for the best accuracy a second: Adam, learning rate 0.01 in one cycle, batch 256, last epoch.

    mnist train fast_conv
    mnist train fast_conv --num-epochs 3
    mnist train fast_conv --num-epochs 1 --train-size 40000

On two cores of an AMD EPYC, 5 seeds, mean and 95 % interval, by benchmarks/time_to_accuracy.py (bf16):
99.61 % ± 0.05 % test accuracy after 28.9 s of training, 99.57 % ± 0.04 % after 11.6 s, 99.27 % ± 0.06 % after 3.1 s.
benchmarks/SPEED_LOG.md says how it was found.
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
