"""Statistics of a data set: pixels, position and size of the digits, duplicates, writers, unusual digits."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from utils.data.splits import ImageSet
from utils.figures import elided

SIDE = 28
MIDDLE = (SIDE - 1) / 2  # image centre, in pixels from the centre of the first pixel

NUM_NEIGHBOURS = 10
MAX_REFERENCE = 2_000  # digits per class in which neighbours are searched; more hardly change the ranking
SEED = 0

MAX_NAME = 30  # characters of a class name in the table

# Columns of `measure_shapes`.
SHAPES = ("height", "width", "longer_side", "centre_x", "centre_y", "off_centre", "lean_degrees")


def measure_shapes(images: UInt8[np.ndarray, "n 28 28"]) -> pd.DataFrame:
    """One row per image. An image without ink has height and width 0 and NaN in the other columns.

    height, width, longer_side    of the bounding box of all ink (pixels above 0), in pixels
    centre_x, centre_y            centre of mass, in pixels to the right of and below the image centre
    off_centre                    distance of the centre of mass from the image centre, in pixels
    lean_degrees                  lean to the right: arctan(-cov(x, y) / var(y)), weighted by the pixel values
    """
    y, x = (axis.ravel() for axis in np.mgrid[:SIDE, :SIDE] - MIDDLE)
    coordinates = np.stack([np.ones_like(x), x, y, x * y, y * y], axis=1).astype(np.float32)
    moments = (images.reshape(-1, SIDE**2).astype(np.float32) @ coordinates).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):  # images without ink
        centre_x, centre_y, mean_xy, mean_yy = (moments[:, 1:] / moments[:, :1]).T
        slope = -(mean_xy - centre_x * centre_y) / (mean_yy - centre_y**2)
    height, width = _extent(np.any(images, axis=2)), _extent(np.any(images, axis=1))
    off_centre, lean_degrees = np.hypot(centre_x, centre_y), np.degrees(np.arctan(slope))
    values = (height, width, np.maximum(height, width), centre_x, centre_y, off_centre, lean_degrees)
    return pd.DataFrame(dict(zip(SHAPES, values, strict=True)))


def _extent(has_ink: np.ndarray) -> Int64[np.ndarray, " n"]:
    """The number of pixels from the first to the last one with ink in each row of (n, 28); 0 without ink."""
    first = has_ink.argmax(axis=1)
    last = SIDE - 1 - has_ink[:, ::-1].argmax(axis=1)
    return np.where(has_ink.any(axis=1), last - first + 1, 0)


def neighbour_distances(image_set: ImageSet) -> Float32[Tensor, " n"]:
    """The mean Euclidean distance of each image to its ten nearest neighbours among (up to 2,000 of) its own class.

    Pixels are in [0, 1]. The distance is small for typical and large for unusual images (k-nearest-neighbour outliers,
    Ramaswamy et al. 2000). A class of one image gives 0.
    """
    result = torch.zeros(len(image_set))
    generator = torch.Generator().manual_seed(SEED)
    for label in image_set.labels.unique().tolist():
        members = torch.nonzero(image_set.labels == label)[:, 0]
        chosen = members[torch.randperm(len(members), generator=generator)[:MAX_REFERENCE]]
        pixels = image_set.images[members].flatten(1).float() / 255
        reference = image_set.images[chosen].flatten(1).float() / 255
        distances = torch.cdist(pixels, reference)
        distances[members[:, None] == chosen] = torch.inf  # an image is not its own neighbour
        nearest = distances.topk(min(NUM_NEIGHBOURS, len(chosen)), largest=False).values
        result[members] = nearest.masked_fill(nearest.isinf(), 0).mean(dim=1)
    return result


def typical_and_unusual(
    image_set: ImageSet, per_class: int
) -> tuple[list[Int64[Tensor, " _"]], list[Int64[Tensor, " _"]]]:
    """Indices of the most typical and of the most unusual images of each class, the most extreme first.

    A class with few images gives at most half of them to each list.
    """
    distances = neighbour_distances(image_set)
    typical, unusual = [], []
    for label in range(len(image_set.class_names)):
        members = torch.nonzero(image_set.labels == label)[:, 0]
        ranked = members[distances[members].argsort()]
        count = min(per_class, len(ranked) // 2)
        typical.append(ranked[:count])
        unusual.append(ranked.flip(0)[:count])
    return typical, unusual


def describe_dataset(train: ImageSet, test: ImageSet) -> dict[str, Any]:
    """All statistics as plain values for statistics.json."""
    writers = {
        name: describe_writers(part.writers.numpy())
        for name, part in (("train", train), ("test", test))
        if part.writers is not None
    }
    return {
        "splits": {"train": describe_split(train), "test": describe_split(test)},
        "duplicates": describe_duplicates(train, test),
        **({"writers": writers} if writers else {}),
    }


def describe_split(image_set: ImageSet) -> dict[str, Any]:
    """Pixel values in [0, 1], sizes and distances in pixels, angles in degrees."""
    images, labels = image_set.images.numpy(), image_set.labels.numpy()
    shapes = measure_shapes(images)
    counts = np.bincount(images.reshape(-1), minlength=256)  # of each grey value
    grey = np.arange(256) / 255
    mean = float(counts @ grey / counts.sum())
    return {
        "num_digits": len(labels),
        "pixel_mean": mean,
        "pixel_std": float(np.sqrt(counts @ (grey - mean) ** 2 / counts.sum())),
        "ink_share": float(1 - counts[0] / counts.sum()),
        **_describe_shapes(shapes),
        "classes": {
            name: {
                "num_digits": int((labels == label).sum()),
                "share": float((labels == label).mean()),
                "pixel_mean": float(images[labels == label].mean() / 255) if (labels == label).any() else None,
                **_describe_shapes(shapes[labels == label]),
            }
            for label, name in enumerate(image_set.class_names)
        },
    }


def _describe_shapes(shapes: pd.DataFrame) -> dict[str, Any]:
    return {
        **{name: _distribution(shapes[name]) for name in SHAPES},
        "share_within_1_px_of_middle": float((shapes["off_centre"] <= 1).mean()) if len(shapes) else None,
        "share_with_longer_side_20": float((shapes["longer_side"] == 20).mean()) if len(shapes) else None,
    }


def _distribution(values: pd.Series) -> dict[str, float] | None:
    """Mean, standard deviation and quantiles. NaN is left out. None if nothing is left."""
    values = values.dropna()
    if values.empty:
        return None
    quantiles = {"min": 0, "quantile_1": 0.01, "median": 0.5, "quantile_99": 0.99, "max": 1}
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=0)),
        **{name: float(values.quantile(fraction)) for name, fraction in quantiles.items()},
    }


def describe_duplicates(train: ImageSet, test: ImageSet) -> dict[str, int]:
    """Counts of images that equal an earlier image, within each split and between the splits."""
    train_images, test_images = ([image.tobytes() for image in part.images.numpy()] for part in (train, test))
    labels_of: dict[bytes, set[int]] = {}
    for image, label in zip(train_images + test_images, train.labels.tolist() + test.labels.tolist(), strict=True):
        labels_of.setdefault(image, set()).add(label)
    known = set(train_images)
    return {
        "within_train": len(train_images) - len(known),
        "within_test": len(test_images) - len(set(test_images)),
        "test_digits_also_in_train": sum(image in known for image in test_images),
        "images_with_two_labels": sum(len(labels) > 1 for labels in labels_of.values()),
    }


def describe_writers(writers: Int64[np.ndarray, " n"]) -> dict[str, float]:
    """The number of writers and of digits per writer."""
    counts = np.unique(writers, return_counts=True)[1]
    return {
        "num_writers": len(counts),
        "digits_per_writer_mean": float(counts.mean()),
        "digits_per_writer_min": int(counts.min()),
        "digits_per_writer_max": int(counts.max()),
    }


def statistics_rows(description: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table with one row per split and class."""
    header = ["class", "images", "share", "pixel mean", "height, px", "width, px", "off centre, px", "lean, degrees"]
    rows = []
    for split, whole in description["splits"].items():
        for name, part in {**whole["classes"], "all": {**whole, "share": 1.0}}.items():
            shapes = [part[key] for key in ("height", "width", "off_centre", "lean_degrees")]
            rows.append(
                [
                    f"{split} {elided(name, MAX_NAME)}",
                    f"{part['num_digits']:,}",
                    f"{part['share']:.1%}",
                    f"{part['pixel_mean']:.4f}" if part["num_digits"] else "-",
                    *(f"{values['mean']:.1f} ± {values['std']:.1f}" if values else "-" for values in shapes),
                ]
            )
    return header, rows


def statistics_table(description: dict[str, Any]) -> str:
    """The same as text for the terminal."""
    header, rows = statistics_rows(description)
    return pd.DataFrame(rows, columns=header).set_index("class").rename_axis(None).to_string()


def summary_rows(description: dict[str, Any]) -> list[tuple[str, str]]:
    """The most important statistics of the training set: property and sentence."""
    train, duplicates = description["splits"]["train"], description["duplicates"]
    x, y, off_centre, longer_side = (train[key] for key in ("centre_x", "centre_y", "off_centre", "longer_side"))
    counts = [part["num_digits"] for part in train["classes"].values()]
    rows = [
        (
            "pixels",
            f"mean {train['pixel_mean']:.4f}, standard deviation {train['pixel_std']:.4f}; "
            f"{train['ink_share']:.1%} of all pixels have ink",
        ),
        (
            "centring",
            f"the centre of mass is {x['mean']:+.2f} ± {x['std']:.2f} px right of the image centre "
            f"and {y['mean']:+.2f} ± {y['std']:.2f} px below it; "
            f"99 % of the images are within {off_centre['quantile_99']:.2f} px of it",
        ),
        (
            "size",
            f"the longer side is {longer_side['mean']:.2f} ± {longer_side['std']:.2f} px; "
            f"{train['share_with_longer_side_20']:.1%} have exactly 20 px",
        ),
        (
            "balance",
            f"the largest class has {max(counts):,} images, the smallest {min(counts):,}: "
            f"ratio {max(counts) / max(1, min(counts)):.2f}",
        ),
        (
            "duplicates",
            f"{duplicates['within_train']} in the training set, {duplicates['within_test']} in the test set; "
            f"{duplicates['test_digits_also_in_train']} test images are also in the training set; "
            f"{duplicates['images_with_two_labels']} images have two labels",
        ),
    ]
    for split, writers in description.get("writers", {}).items():
        mean, low, high = (writers[f"digits_per_writer_{name}"] for name in ("mean", "min", "max"))
        people = f"{writers['num_writers']} people, {mean:.0f} digits each ({low} to {high})"
        rows.append(("writers", f"{split}: {people}"))
    return rows


def summary_text(dataset: str, description: dict[str, Any]) -> str:
    """The same as lines for the terminal."""
    num_digits = description["splits"]["train"]["num_digits"]
    lines = [f"{name:<10}  {text}" for name, text in summary_rows(description)]
    return "\n".join([f"{dataset}, {num_digits:,} training images:", *lines])
