"""MNIST's test digits under a corruption: as published where the files lie in data/, else generated."""

from utils.datasets import load_dataset
from utils.image_set import ImageSet
from utils.mnist_c.corruptions import check_name, corrupt
from utils.mnist_c.official_files import official_digits
from utils.paths import home_folder


def load_corrupted(name: str, seed: int = 0) -> tuple[ImageSet, str]:
    """The 10,000 test digits under this corruption, and in words where they come from.

    The seed is that of generated digits; published ones have none. Raises UserError for an unknown name, for published
    files that are damaged, and where MNIST cannot be had.
    """
    check_name(name)
    official = official_digits(name)
    if official:
        images, labels, place = official
        source = place.relative_to(home_folder()).as_posix()
        return ImageSet(f"mnist_c/{name}", images, labels), f"the published digits in {source}"
    clean = load_dataset("mnist", "test")
    corrupted = ImageSet(f"mnist_c/{name}", corrupt(clean.images, name, seed), clean.labels)
    return corrupted, f"generated from MNIST's test digits with seed {seed}"
