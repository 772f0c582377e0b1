"""Recipes that several tests train by."""

from utils.recipe import Execution, Recipe

CPU_FP32 = Execution(device="cpu", precision="fp32")

# Nearly every feature at once.
ALL_AT_ONCE = Recipe(
    dataset="digits",
    num_epochs=3,
    batch_size=100,
    learning_rate=0.01,
    schedule="one_cycle",
    optimizer="adamw",
    weight_decay=0.01,
    label_smoothing=0.05,
    gradient_clip_norm=1.0,
    ema_decay=0.8,
    rotation_degrees=10,
    translation_pixels=2,
    elastic_pixels=1,
    generic_probability=0.1,
    erasing_probability=0.1,
)
