"""Splits are stratified, disjoint, complete, and the same for every run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.splits import ImageSet, stratified_sample, stratified_split
from utils.errors import UserError


def numbered_set(labels):
    """Images with their own index in the first two pixels."""
    images = torch.zeros(len(labels), 28, 28, dtype=torch.uint8)
    indices = torch.arange(len(labels))
    images[:, 0, 0], images[:, 0, 1] = indices % 256, indices // 256
    return ImageSet("numbered", images, torch.tensor(labels))


def indices(image_set):
    return (image_set.images[:, 0, 0].long() + 256 * image_set.images[:, 0, 1].long()).tolist()


@settings(deadline=None)  # the first split imports scikit-learn
@given(per_class=st.integers(4, 40), share=st.floats(0.25, 0.75), seed=st.integers(0, 1000))
def test_a_split_is_disjoint_complete_and_stratified(per_class, share, seed):
    whole = numbered_set(list(range(10)) * per_class)
    remaining, held = stratified_split(whole, share, ("remaining", "held"), seed)
    assert sorted(indices(remaining) + indices(held)) == list(range(len(whole)))
    assert len(held) == round(share * len(whole))
    counts = held.labels.bincount(minlength=10)
    assert counts.max() - counts.min() <= 1


def test_a_size_from_one_on_is_a_count():
    remaining, held = stratified_split(numbered_set(list(range(10)) * 30), 50, ("remaining", "held"))
    assert (len(remaining), len(held), held.name) == (250, 50, "held")


def test_the_default_split_is_the_same_in_every_version():
    """Otherwise new runs would be validated on digits that earlier runs were trained on."""
    whole = numbered_set(list(range(10)) * 3)
    first, second = (stratified_split(whole, 10, ("a", "b"))[1] for _ in range(2))
    assert indices(first) == indices(second) == [0, 4, 6, 11, 12, 13, 25, 27, 28, 29]
    other = stratified_split(whole, 10, ("a", "b"), seed=1)[1]
    assert indices(other) == [1, 4, 10, 12, 13, 15, 16, 27, 28, 29]


@pytest.mark.parametrize("held_out", [300, 299, 5, 10**9, 0.001])
def test_impossible_split_sizes_are_refused(held_out):
    with pytest.raises(UserError, match=r"cannot hold .* of numbered.*\nChoose another"):
        stratified_split(numbered_set(list(range(10)) * 30), held_out, ("a", "b"), advice="Choose another")


def test_a_sample_is_stratified_and_the_same_at_every_call():
    whole = numbered_set(list(range(10)) * 30)
    for size in (100, 1 / 3):
        sample = stratified_sample(whole, size)
        assert indices(sample) == sorted(indices(stratified_sample(whole, 100)))
        assert sample.labels.bincount().tolist() == [10] * 10
    assert stratified_sample(whole, 1.0) is whole and stratified_sample(whole, 300) is whole


@pytest.mark.parametrize("size", [5, 301, 0.001])
def test_impossible_sample_sizes_are_refused(size):
    with pytest.raises(UserError, match=r"cannot train on .* of the 300 digits of numbered"):
        stratified_sample(numbered_set(list(range(10)) * 30), size)


IMAGES = torch.zeros(3, 28, 28, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (torch.rand(3, 28, 28), [0, 1, 2], "float32 images.*expected uint8"),
        (IMAGES[:, None], [0, 1, 2], r"shape \(3, 1, 28, 28\), expected uint8 \(n, 28, 28\)"),
        (IMAGES, [0, 1], r"labels of shape \(2,\), expected int64 \(3,\)"),
        (IMAGES, [0.0, 1.0, 2.0], "float32 labels"),
        (IMAGES, [0, 1, 26], "labels from 0 to 26, expected 0 to 25: it has 26 class names"),
        (IMAGES, [0, -1, 2], "labels from -1 to 2"),
    ],
)
def test_wrong_images_and_labels_are_refused(images, labels, reason):
    with pytest.raises(UserError, match=f"mine: .*{reason}"):
        ImageSet("mine", images, torch.tensor(labels), tuple("abcdefghijklmnopqrstuvwxyz"))
