"""Synthetic outliers: pixels in range, the same generator gives the same images, and each kind is what it says."""

from typing import get_args

import pytest
import torch

from utils.data.batches import to_pixels
from utils.data.outliers import CLASS_OF_ONE, OUTLIERS, synthetic_outliers
from utils.recipe import OutlierKind


@pytest.fixture
def batch(few_digits):
    return to_pixels(few_digits.images), few_digits.labels


def made(kind, batch, count=60, seed=0):
    return synthetic_outliers(*batch, count, torch.Generator().manual_seed(seed), [kind])


def test_every_kind_of_the_recipe_has_a_function():
    assert set(OUTLIERS) == set(get_args(OutlierKind))


@pytest.mark.parametrize("kind", OUTLIERS)
def test_outliers_are_images_in_range_and_the_same_for_the_same_seed(batch, kind):
    outliers = made(kind, batch)
    assert outliers.shape == (60, 1, 28, 28) and outliers.min() >= 0 and outliers.max() <= 1
    assert torch.equal(outliers, made(kind, batch)) and not torch.equal(outliers, made(kind, batch, seed=1))
    assert len(outliers.flatten(1).unique(dim=0)) > 50
    assert torch.cdist(outliers.flatten(1), batch[0].flatten(1)).min() > 0.1  # none is a digit of the batch
    one_image = (batch[0][:1], batch[1][:1])
    assert made(kind, one_image, count=2).shape == (2, 1, 28, 28)


def test_half_keeps_one_half_of_an_image_that_is_no_one(batch):
    images, labels = batch
    candidates = images[labels != CLASS_OF_ONE]
    halves = [(slice(14), slice(None)), (slice(14, 28), slice(None)), (slice(None), slice(14)),
              (slice(None), slice(14, 28))]  # fmt: skip
    for outlier in made("half", batch):
        kept = [part for part in halves if outlier[0][part].count_nonzero() == outlier.count_nonzero()]
        assert kept  # black elsewhere
        assert any((candidates[(slice(None), 0, *part)] == outlier[0][part]).all(2).all(1).any() for part in kept)


def test_patches_are_those_of_one_image_in_another_order(batch):
    pixels = batch[0].flatten(1).sort(1).values
    for outlier in made("patches", batch):
        assert ((pixels - outlier.flatten().sort().values).abs().amax(1) == 0).any()


def test_overlaid_are_two_images_of_different_classes(batch):
    images, labels = batch
    for outlier in made("overlaid", batch, count=20):
        below = (images <= outlier).flatten(1).all(1).nonzero()[:, 0]
        pairs = [(a, b) for a in below for b in below if torch.equal(torch.maximum(images[a], images[b]), outlier)]
        assert any(labels[a] != labels[b] and CLASS_OF_ONE not in (labels[a], labels[b]) for a, b in pairs)


def test_each_outlier_is_of_a_random_kind(batch):
    images, labels = batch
    mixed = synthetic_outliers(images, labels, 200, torch.Generator().manual_seed(0), ["noise", "half"])
    is_half = (mixed == 0).flatten(1).float().mean(1) > 0.5  # half an image is mostly black
    assert 60 < is_half.sum() < 140
