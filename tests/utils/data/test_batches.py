"""Batches hold each image once per epoch in the given order; augmentation matches SciPy and hand-computed results."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from utils.data.augmentation import RandomAffine, transform
from utils.data.batches import PreloadedBatches, StreamedBatches

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_size", [1, 64, 200, 1000])
def test_batches_hold_each_image_once_in_the_given_order(few_digits, batch_size):
    order = torch.randperm(len(few_digits), generator=torch.Generator().manual_seed(1))
    batches = list(PreloadedBatches(few_digits, batch_size, CPU).epoch(order))
    images = torch.cat([images for images, _ in batches])
    assert torch.equal((images * 255).round().to(torch.uint8)[:, 0], few_digits.images[order])
    assert torch.equal(torch.cat([labels for _, labels in batches]), few_digits.labels[order])
    assert images.dtype == torch.float32 and images.min() == 0 and images.max() == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_streamed_batches_equal_preloaded_batches(few_digits, num_workers):
    preloaded = PreloadedBatches(few_digits, 64, CPU)
    streamed = StreamedBatches(few_digits, 64, CPU, num_workers)
    for epoch in range(2):  # the order changes between epochs, the worker processes do not
        order = torch.randperm(len(few_digits), generator=torch.Generator().manual_seed(epoch))
        for one, other in zip(preloaded.epoch(order), streamed.epoch(order), strict=True):
            assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def digit_pixels(few_digits):
    return few_digits.images[:16].unsqueeze(1).float() / 255


def augment(images, seed, **limits):
    return transform(images, RandomAffine(**limits).draw(len(images), torch.Generator().manual_seed(seed)))


def test_augmentation_without_limits_is_the_identity(few_digits):
    images = digit_pixels(few_digits)
    torch.testing.assert_close(augment(images, 0), images, atol=1e-5, rtol=0)
    assert RandomAffine().is_identity and not RandomAffine(shear_degrees=1).is_identity


def test_translation_matches_scipy(few_digits):
    images = digit_pixels(few_digits)
    shifted = augment(images, 5, translation_pixels=3)
    draws = torch.rand(5, len(images), generator=torch.Generator().manual_seed(5)) * 2 - 1
    for image, result, (x, y) in zip(images, shifted, (draws[3:5] * 3).T.tolist(), strict=True):
        expected = ndimage.shift(image[0].numpy(), (-y, -x), order=1)
        np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-5)


def test_rotation_matches_scipy(few_digits):
    images = digit_pixels(few_digits)
    rotated = augment(images, 5, rotation_degrees=30)
    angles = (torch.rand(5, len(images), generator=torch.Generator().manual_seed(5)) * 2 - 1)[0] * 30
    for image, result, angle in zip(images, rotated, angles.tolist(), strict=True):
        expected = ndimage.rotate(image[0].numpy(), angle, reshape=False, order=1)
        np.testing.assert_allclose(result[0, 3:-3, 3:-3].numpy(), expected[3:-3, 3:-3], atol=1e-4)


def test_scaling_changes_the_area_of_ink(few_digits):
    square = torch.zeros(64, 1, 28, 28)
    square[:, :, 9:19, 9:19] = 1
    areas = augment(square, 0, scale_fraction=0.2).sum(dim=(1, 2, 3)) / 100
    draws = (torch.rand(5, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1)[2]
    torch.testing.assert_close(areas, (1 + 0.2 * draws) ** 2, atol=0.05, rtol=0)


def test_shear_shifts_rows_in_proportion_to_their_distance():
    square = torch.zeros(64, 1, 28, 28)
    square[:, :, 9:19, 9:19] = 1
    sheared = augment(square, 0, shear_degrees=20)
    columns = torch.arange(28.0)
    centres = (sheared[:, 0] * columns).sum(dim=2) / sheared[:, 0].sum(dim=2)
    draws = (torch.rand(5, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1)[1]
    slope = torch.tan(torch.deg2rad(20 * draws))
    torch.testing.assert_close(centres[:, 10] - centres[:, 17], 7 * slope, atol=0.02, rtol=0)
