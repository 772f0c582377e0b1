"""Batches: each digit once an epoch, in the order asked for, by either way; and what augmentation does to them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from utils.augmentation import RandomAffine, transform
from utils.mnist_form import to_mnist_form
from utils.preloading import PreloadedBatches, StreamedBatches

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_size", [1, 64, 200, 1000])
def test_each_digit_once_in_the_order_asked_for(few_digits, batch_size):
    order = torch.randperm(len(few_digits), generator=torch.Generator().manual_seed(1))
    batches = list(PreloadedBatches(few_digits, batch_size, CPU).epoch(order))
    images = torch.cat([images for images, _ in batches])
    assert torch.equal((images * 255).round().to(torch.uint8)[:, 0], few_digits.images[order])
    assert torch.equal(torch.cat([labels for _, labels in batches]), few_digits.labels[order])
    assert images.dtype == torch.float32 and images.min() == 0 and images.max() == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_streamed_batches_equal_preloaded_ones(few_digits, num_workers):
    preloaded = PreloadedBatches(few_digits, 64, CPU)
    streamed = StreamedBatches(few_digits, 64, CPU, num_workers)
    for epoch in range(2):  # the order changes between epochs, the workers stay
        order = torch.randperm(len(few_digits), generator=torch.Generator().manual_seed(epoch))
        for one, other in zip(preloaded.epoch(order), streamed.epoch(order), strict=True):
            assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def blob_images(few_digits):
    return few_digits.images[:16].unsqueeze(1).float() / 255


def augment(images, seed, **limits):
    return transform(images, RandomAffine(**limits).draw(len(images), torch.Generator().manual_seed(seed)))


def test_no_augmentation_is_the_identity(few_digits):
    images = blob_images(few_digits)
    torch.testing.assert_close(augment(images, 0), images, atol=1e-5, rtol=0)
    assert RandomAffine().is_identity and not RandomAffine(shear_degrees=1).is_identity


def test_translation_matches_scipy(few_digits):
    images = blob_images(few_digits)
    moved = augment(images, 5, translation_pixels=3)
    draws = torch.rand(5, len(images), generator=torch.Generator().manual_seed(5)) * 2 - 1
    for image, result, (x, y) in zip(images, moved, (draws[3:5] * 3).T.tolist(), strict=True):
        expected = ndimage.shift(image[0].numpy(), (-y, -x), order=1)
        np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-5)


def test_rotation_matches_scipy(few_digits):
    images = blob_images(few_digits)
    turned = augment(images, 5, rotation_degrees=30)
    angles = (torch.rand(5, len(images), generator=torch.Generator().manual_seed(5)) * 2 - 1)[0] * 30
    for image, result, angle in zip(images, turned, angles.tolist(), strict=True):
        expected = ndimage.rotate(image[0].numpy(), angle, reshape=False, order=1)
        np.testing.assert_allclose(result[0, 3:-3, 3:-3].numpy(), expected[3:-3, 3:-3], atol=1e-4)


def test_scale_changes_the_area_of_ink(few_digits):
    square = torch.zeros(64, 1, 28, 28)
    square[:, :, 9:19, 9:19] = 1
    areas = augment(square, 0, scale_fraction=0.2).sum(dim=(1, 2, 3)) / 100
    draws = (torch.rand(5, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1)[2]
    torch.testing.assert_close(areas, (1 + 0.2 * draws) ** 2, atol=0.05, rtol=0)


def test_shear_moves_rows_against_each_other_and_keeps_their_mass():
    square = torch.zeros(64, 1, 28, 28)
    square[:, :, 9:19, 9:19] = 1
    slanted = augment(square, 0, shear_degrees=20)
    columns = torch.arange(28.0)
    centres = (slanted[:, 0] * columns).sum(dim=2) / slanted[:, 0].sum(dim=2)
    draws = (torch.rand(5, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1)[1]
    slope = torch.tan(torch.deg2rad(20 * draws))
    torch.testing.assert_close(centres[:, 10] - centres[:, 17], 7 * slope, atol=0.02, rtol=0)


@settings(deadline=None)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), top=st.integers(0, 5), seed=st.integers(0, 100)
)  # fmt: skip
def test_mnist_form_fills_the_box_and_centres_the_mass(height, width, top, seed):
    digit = np.random.default_rng(seed).integers(100, 256, (height, width)).astype(np.uint8)
    formed = to_mnist_form(np.pad(digit, ((top, 3), (2, top))))
    rows, columns = np.nonzero(formed)
    box = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
    assert max(box) == 20
    assert min(box) == max(1, round(min(height, width) * 20 / max(height, width)))
    assert np.abs(np.array(ndimage.center_of_mass(formed)) - 14).max() <= 0.51


def test_empty_image_stays_empty():
    assert not to_mnist_form(np.zeros((10, 12), np.uint8)).any()
