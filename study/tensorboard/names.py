"""Readable names of runs, made of what differs between them: `fast_conv lr=0.01 aug=10° s0`."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

SHORT = {"learning_rate": "lr", "num_epochs": "epochs", "batch_size": "batch", "init_from": "from"}
AUGMENTATION = {
    "rotation_degrees": "{:g}°",
    "translation_pixels": "{:g}px",
    "scale_fraction": "{:.0%}",
    "shear_degrees": "shear {:g}°",
    "elastic_pixels": "elastic {:g}px",
    "erasing_probability": "erasing {:g}",
    "generic_probability": "generic {:g}",
    "generic_transformations": "{}",
}
UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')  # in folder names, on any system
MAX_LENGTH = 120


def group_names(recipes: Sequence[dict[str, Any]]) -> list[str]:
    """A name for each recipe, given by its fields: the model, and the fields in which recipes of this model differ. The
    seed does not count, so recipes that differ only in seed have one name."""
    keys = [tuple((name, value) for name, value in recipe.items() if name != "seed") for recipe in recipes]
    distinct = {key: dict(key) for key in keys}
    has_datasets = len({recipe["dataset"] for recipe in distinct.values()}) > 1
    same_model: dict[Any, list[dict[str, Any]]] = {}
    for recipe in distinct.values():
        same_model.setdefault((recipe["model"], recipe["dataset"]), []).append(recipe)
    different = {model: list(differing(others)) for model, others in same_model.items()}
    names: dict[Any, str] = {}
    taken: Counter[str] = Counter()
    for key, recipe in distinct.items():
        model, dataset = recipe["model"], recipe["dataset"]
        settings = _settings_text(recipe, different[model, dataset])
        name = UNSAFE.sub("_", " ".join([model, *([dataset] if has_datasets else []), *settings]))[:MAX_LENGTH]
        taken[name] += 1
        names[key] = f"{name} #{taken[name]}" if taken[name] > 1 else name
    return [names[key] for key in keys]


def differing(settings: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The settings with more than one value, with their values; lacking settings count as a value."""
    values: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        distinct = {setting.get(name) for setting in settings}
        if len(distinct) > 1:
            values[name] = sorted(distinct - {None}, key=lambda value: (isinstance(value, str), value))
    return values


def _settings_text(recipe: dict[str, Any], different: Sequence[str]) -> list[str]:
    parts = [f"{SHORT.get(name, name)}={_text(recipe[name])}" for name in different if name not in AUGMENTATION]
    changes = [AUGMENTATION[name].format(recipe[name]) for name in different if name in AUGMENTATION and recipe[name]]
    has_augmentation = any(name in AUGMENTATION for name in different)
    return [*parts, *([f"aug={'+'.join(changes) or 'none'}"] if has_augmentation else [])]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
