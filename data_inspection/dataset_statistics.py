"""A data set by numbers: ImageSet -> plain values for statistics.json."""

from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Int64

from data_inspection.digit_shapes import DigitShapes, measure_shapes
from utils.image_set import ImageSet


def describe_dataset(
    train: ImageSet, test: ImageSet, writers: dict[str, Int64[np.ndarray, " n"]] | None = None
) -> dict[str, Any]:
    """All figures of a data set. `writers` gives the writer of each digit, a split a key, where that is known."""
    sets = {"train": train, "test": test}
    description: dict[str, Any] = {
        "splits": {name: describe_split(image_set) for name, image_set in sets.items()},
        "duplicates": describe_duplicates(train, test),
    }
    if writers:
        description["writers"] = {name: describe_writers(ids) for name, ids in writers.items()}
    return description


def describe_split(image_set: ImageSet) -> dict[str, Any]:
    """Pixels in [0, 1], sizes and distances in pixels, angles in degrees, the rest shares and counts."""
    images, labels = image_set.images.numpy(), image_set.labels.numpy()
    shapes = measure_shapes(images)
    values = np.bincount(images.reshape(-1), minlength=256)  # how often each of the 256 grey values occurs
    grey = np.arange(256) / 255
    mean = float(values @ grey / values.sum())
    return {
        "num_digits": len(labels),
        "pixel_mean": mean,
        "pixel_std": float(np.sqrt(values @ (grey - mean) ** 2 / values.sum())),
        "ink_share": float(1 - values[0] / values.sum()),
        **_describe_shapes(shapes, np.ones(len(labels), bool)),
        "classes": {
            name: {
                "num_digits": int((labels == number).sum()),
                "share": float((labels == number).mean()),
                "pixel_mean": float(images[labels == number].mean() / 255) if (labels == number).any() else None,
                **_describe_shapes(shapes, labels == number),
            }
            for number, name in enumerate(image_set.class_names)
        },
    }


def _describe_shapes(shapes: DigitShapes, chosen: np.ndarray) -> dict[str, Any]:
    off_centre = shapes.off_centre[chosen]
    longer_side = shapes.longer_side[chosen]
    return {
        "height": _spread(shapes.height[chosen]),
        "width": _spread(shapes.width[chosen]),
        "longer_side": _spread(longer_side),
        "centre_x": _spread(shapes.centre_x[chosen]),
        "centre_y": _spread(shapes.centre_y[chosen]),
        "off_centre": _spread(off_centre),
        "lean_degrees": _spread(shapes.lean_degrees[chosen]),
        "share_within_1_px_of_middle": float((off_centre <= 1).mean()) if chosen.any() else None,
        "share_with_longer_side_20": float((longer_side == 20).mean()) if chosen.any() else None,
    }


def _spread(values: np.ndarray) -> dict[str, float] | None:
    """Mean, standard deviation and quantiles, digits without ink left out; None where no digit is left."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, median, high = np.quantile(values, [0.01, 0.5, 0.99])
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "quantile_1": float(low),
        "median": float(median),
        "quantile_99": float(high),
        "max": float(values.max()),
    }


def describe_duplicates(train: ImageSet, test: ImageSet) -> dict[str, int]:
    """How many digits are, byte for byte, a digit that stands before them, in their own split or in the other."""
    train_digits, test_digits = ([image.tobytes() for image in part.images.numpy()] for part in (train, test))
    labels_of: dict[bytes, set[int]] = {}
    for digit, label in zip(train_digits + test_digits, train.labels.tolist() + test.labels.tolist(), strict=True):
        labels_of.setdefault(digit, set()).add(label)
    known = set(train_digits)
    return {
        "within_train": len(train_digits) - len(known),
        "within_test": len(test_digits) - len(set(test_digits)),
        "test_digits_also_in_train": sum(digit in known for digit in test_digits),
        "images_with_two_labels": sum(len(labels) > 1 for labels in labels_of.values()),
    }


def describe_writers(writers: Int64[np.ndarray, " n"]) -> dict[str, float]:
    """How many people wrote the digits, and how many each."""
    counts = np.array(list(Counter(writers.tolist()).values()))
    return {
        "num_writers": len(counts),
        "digits_per_writer_mean": float(counts.mean()),
        "digits_per_writer_min": int(counts.min()),
        "digits_per_writer_max": int(counts.max()),
    }
