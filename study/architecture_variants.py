"""The networks of the architecture study: one to compare with, and others that differ from it in one property."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trainers.recipe import Recipe, TrainConfig

BASELINE_MODEL = "C(16,3)-BN-P2-C(32,3)-BN-P2-FC64-FC10"


@dataclass(frozen=True)
class Variant:
    """A network and its training, as it differs from the baseline."""

    property: str
    label: str
    model: str = BASELINE_MODEL
    settings: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, num_epochs: int, device: str) -> Recipe:
        """The whole recipe. The last epoch counts, so that validation chooses nothing."""
        baseline = TrainConfig(
            num_epochs=num_epochs,
            batch_size=128,
            learning_rate=0.01,
            schedule="one_cycle",
            judged_epoch="last",
            device=device,
        )
        return Recipe(self.model, replace(baseline, **self.settings))


BASELINE = Variant("baseline", "two 3x3 convolutions")
VARIANTS = (
    BASELINE,
    Variant("depth", "one convolution", "C(16,3)-BN-P2-FC64-FC10"),
    Variant("depth", "three convolutions", "C(16,3)-BN-P2-C(32,3)-BN-P2-C(64,3)-BN-P2-FC64-FC10"),
    Variant("depth", "two before each pool", "C(16,3)-BN-C(16,3)-BN-P2-C(32,3)-BN-C(32,3)-BN-P2-FC64-FC10"),
    Variant("width", "half", "C(8,3)-BN-P2-C(16,3)-BN-P2-FC32-FC10"),
    Variant("width", "double", "C(32,3)-BN-P2-C(64,3)-BN-P2-FC128-FC10"),
    Variant("kernel", "5x5", "C(16,5)-BN-P2-C(32,5)-BN-P2-FC64-FC10"),
    Variant("kernel", "7x7", "C(16,7)-BN-P2-C(32,7)-BN-P2-FC64-FC10"),
    Variant("pooling", "average", "C(16,3)-BN-A2-C(32,3)-BN-A2-FC64-FC10"),
    Variant("pooling", "only at the end", "C(16,3)-BN-C(32,3)-BN-P4-FC64-FC10"),
    Variant("pooling", "none", "C(16,3)-BN-C(32,3)-BN-FC64-FC10"),
    Variant("pooling", "global, no FC64", "C(16,3)-BN-P2-C(32,3)-BN-P2-G-FC10"),
    Variant("batch norm", "none", "C(16,3)-P2-C(32,3)-P2-FC64-FC10"),
    Variant("dropout", "0.5 before the last layer", "C(16,3)-BN-P2-C(32,3)-BN-P2-FC64-D0.5-FC10"),
    Variant("fully connected", "one layer, as many parameters", "FC99-BN-FC10"),
    Variant("fully connected", "two layers, as many parameters", "FC90-BN-FC90-BN-FC10"),
    Variant("augmentation", "10 degrees, 2 px", settings={"rotation_degrees": 10.0, "translation_pixels": 2.0}),
    Variant("augmentation", "30 degrees, 6 px", settings={"rotation_degrees": 30.0, "translation_pixels": 6.0}),
    # With fewer digits more epochs and smaller batches, so that training comes to its end as well.
    Variant("training digits", "100", settings={"train_size": 100.0, "batch_size": 16, "num_epochs": 60}),
    Variant("training digits", "1,000", settings={"train_size": 1000.0, "batch_size": 64, "num_epochs": 40}),
    Variant("training digits", "10,000", settings={"train_size": 10_000.0, "num_epochs": 15}),
)
PROPERTIES = tuple(dict.fromkeys(variant.property for variant in VARIANTS[1:]))
