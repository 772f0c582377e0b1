"""MNIST-C: the test digits under fifteen corruptions (Mu and Gilmer 2019, arXiv 1906.02337)."""

import functools

import numpy as np
from tqdm import tqdm

from study.generalisation.cells import Part, mean_cell, share_cell
from study.generalisation.subject import Subject
from utils.image_set import ImageSet
from utils.mnist_c.corrupted_digits import load_corrupted
from utils.mnist_c.corruptions import CORRUPTIONS
from utils.splits import stratified_sample

MEAN = "mean over the corruptions"
NUM_SAMPLED = 1000


def corrupted(subject: Subject) -> Part:
    """Accuracy under each corruption, and the mean over all of them. The official files are read where they are at
    hand, else the digits are our own generators' with seed 0."""
    return _corrupted(subject, len(subject.test_set))


def corrupted_sample(subject: Subject) -> Part:
    """As `corrupted`, of a stratified sample of the digits."""
    return _corrupted(subject, NUM_SAMPLED)


@functools.cache
def _corrupted_set(name: str) -> tuple[ImageSet, str]:
    """Kept for the networks that follow: 8 MB each."""
    return load_corrupted(name)


def _corrupted(subject: Subject, num_digits: int) -> Part:
    right, sources = {}, set()
    for name in tqdm(CORRUPTIONS, desc="corruptions", disable=None, leave=False):
        image_set, source = _corrupted_set(name)
        right[name] = subject.is_right(stratified_sample(image_set, num_digits))
        sources.add(source)
    mean = mean_cell(np.mean(list(right.values()), axis=0))
    return Part({MEAN: mean, **{name: share_cell(hits) for name, hits in right.items()}}, {"sources": sorted(sources)})
