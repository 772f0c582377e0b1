"""Configurations that several tests train by."""

from trainers.recipe import TrainConfig

# Nearly all that can be asked for at once.
ALL_AT_ONCE = TrainConfig(
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
    precision="fp32",
)
