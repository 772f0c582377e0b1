"""Augmentation keeps shape, range and label of the digits, is repeatable, and treats each image by itself."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from utils.data.augmentation import Augmentation, cutmix, elastic_shifts, erase_some, mixup
from utils.data.batches import to_pixels
from utils.data.generic_transformations import TRANSFORMATIONS, transform_some
from utils.recipe import Recipe, Transformation

EVERYTHING = Recipe(
    rotation_degrees=20,
    translation_pixels=2,
    elastic_pixels=1.4,
    erasing_probability=0.5,
    generic_probability=0.3,
)
NAMES = sorted(TRANSFORMATIONS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def augmented(recipe, images, seed=0):
    augmentation, draws = Augmentation.of(recipe), generator(seed)
    return augmentation.apply(images, augmentation.draw_maps(len(images), draws), draws)


def only(name):
    return Recipe(generic_probability=1, generic_transformations=name)


@pytest.fixture(scope="module")
def pixels(few_digits):
    return to_pixels(few_digits.images)


def test_every_name_of_a_recipe_has_a_transformation():
    assert tuple(TRANSFORMATIONS) == get_args(Transformation)


RECIPES = {
    **{name: only(name) for name in NAMES},
    "elastic": Recipe(elastic_pixels=1.4),
    "erasing": Recipe(erasing_probability=1),
    "everything": EVERYTHING,
}


@pytest.mark.parametrize("name", RECIPES)
def test_augmented_images_are_images_and_repeatable(name, pixels):
    recipe, before = RECIPES[name], pixels.clone()
    result = augmented(recipe, pixels)
    assert result.shape == pixels.shape and result.dtype == torch.float32
    assert result.min() >= 0 and result.max() <= 1  # and no NaN
    assert torch.equal(pixels, before)  # the batch that came in stays as it is
    assert torch.equal(result, augmented(recipe, pixels))
    assert not torch.equal(result, augmented(recipe, pixels, seed=1))


@pytest.mark.parametrize("name", RECIPES)
def test_an_image_does_not_depend_on_its_neighbours(name, pixels):
    others = pixels.flip(0)
    others[:20] = pixels[:20]
    one, other = (augmented(RECIPES[name], images)[:20] for images in (pixels, others))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_transformation_changes_digits_that_stay_recognisable(name, digits):
    """The nearest other digit by correlation, of either sign, still has the same label for most digits."""
    known, new = to_pixels(digits.images[200:]), to_pixels(digits.images[:200])
    changed = augmented(only(name), new)
    is_changed = (changed - new).abs().amax(dim=(1, 2, 3)) > 0.02
    assert is_changed.float().mean() >= 0.9

    directions = [F.normalize(x.flatten(1) - x.mean(dim=(2, 3)), dim=1) for x in (changed, known)]
    nearest = (directions[0] @ directions[1].T).abs().argmax(1)
    assert (digits.labels[200:][nearest] == digits.labels[:200]).float().mean() >= 0.84  # 0.93 before
    contrast = changed.flatten(1).max(1).values - changed.flatten(1).min(1).values
    assert (contrast >= 0.2).float().mean() >= 0.98


def test_each_image_is_transformed_with_the_probability(pixels):
    images = pixels[:1].expand(4000, -1, -1, -1)
    changed = augmented(Recipe(generic_probability=0.2, generic_transformations="polarity"), images) != images
    assert changed.flatten(1).any(1).float().mean().item() == pytest.approx(0.2, abs=0.025)
    erased = erase_some(images, 0.3, generator()) != images
    assert 0.2 < erased.flatten(1).any(1).float().mean() < 0.3  # a black rectangle beside the digit changes nothing


def test_without_probability_nothing_happens(pixels):
    assert Augmentation.of(Recipe()).is_identity
    assert torch.equal(augmented(Recipe(), pixels), pixels)
    assert torch.equal(transform_some(pixels, NAMES, 0.0, generator()), pixels)
    assert torch.equal(erase_some(pixels, 0.0, generator()), pixels)
    for field in ("elastic_pixels", "erasing_probability", "generic_probability"):
        assert not Augmentation.of(replace(Recipe(), **{field: 0.5})).is_identity


def test_the_transformations_of_a_batch_come_in_random_order(pixels):
    """Noise stays sharp if blur comes first, and does not if it comes second."""
    edges = {
        (augmented(only("noise,blur"), pixels[:50], seed).diff(dim=3).abs().mean() > 0.12).item() for seed in range(12)
    }
    assert edges == {True, False}


def test_elastic_shifts_have_the_size_that_is_asked_for_and_are_smooth():
    shifts = elastic_shifts(2000, 1.4, generator()) * 14  # pixels
    sizes = shifts.square().mean(dim=(1, 2)).sqrt()
    assert shifts.square().mean().sqrt().item() == pytest.approx(1.4 / 3**0.5, rel=0.05)  # of a uniform size
    assert sizes.mean() < 0.75 and sizes.max() < 5
    at_pixels = shifts.square().mean(dim=(0, 3))
    assert at_pixels.max() / at_pixels.min() < 1.3  # as strong at the border as in the middle
    assert shifts.diff(dim=1).square().mean().sqrt() < 0.3 * shifts.square().mean().sqrt()


def test_elastic_deformation_is_part_of_the_one_interpolation():
    """A shift by whole pixels and no deformation worth a name leaves the values of the pixels."""
    images = (torch.rand(8, 1, 28, 28, generator=generator()) > 0.5).float()
    result = augmented(Recipe(rotation_degrees=0, elastic_pixels=1e-5), images)
    torch.testing.assert_close(result, images, atol=1e-3, rtol=0)


def test_an_erased_rectangle_has_2_to_20_percent_of_the_area():
    images = torch.full((500, 1, 28, 28), 0.123)
    is_erased = erase_some(images, 1.0, generator()) != images
    shares = is_erased.float().mean(dim=(1, 2, 3))
    assert 0.01 < shares.min() < 0.03 and 0.18 < shares.max() < 0.22
    boxes = is_erased.any(2).sum(2) * is_erased.any(3).sum(2)
    assert torch.equal(boxes[:, 0], is_erased.sum(dim=(1, 2, 3)))


def test_mixup_is_the_weighted_mean_of_an_image_and_its_partner(pixels):
    mixed, partners, kept = mixup(pixels, generator(), 0.4)
    torch.testing.assert_close(mixed, kept * pixels + (1 - kept) * pixels[partners])
    assert partners.sort().values.tolist() == list(range(len(pixels))) and 0 < kept < 1
    assert torch.equal(mixed, mixup(pixels, generator(), 0.4)[0])


def test_cutmix_keeps_the_share_of_the_image_that_it_says():
    images = torch.arange(50.0).view(50, 1, 1, 1).expand(50, 1, 28, 28)
    for seed in range(20):
        mixed, partners, kept = cutmix(images, generator(seed), 1.0)
        is_own = mixed == images
        for image, (own, partner) in enumerate(zip(is_own, partners.tolist(), strict=True)):
            assert partner == image or own.float().mean() == pytest.approx(kept.item(), abs=1e-6)
            assert set(mixed[image].unique().tolist()) <= {image, partner}


def test_the_weights_of_mixup_are_draws_of_a_beta_distribution():
    images, draws = torch.zeros(2, 1, 28, 28), generator()
    for alpha in (0.1, 1.0):
        kept = torch.stack([mixup(images, draws, alpha)[2] for _ in range(400)])
        assert kept.mean().item() == pytest.approx(0.5, abs=0.07)
        assert kept.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)
