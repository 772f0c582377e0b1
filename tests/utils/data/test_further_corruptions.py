"""The further corruptions of MNIST-C's generator: properties of all, and hand-computed results or those of SciPy,
scikit-image and Pillow for each kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from utils.data.further_corruptions import FURTHER_CORRUPTIONS, corrupt_further, zoom_matrix
from utils.data.mnist_c import MNIST_C, gaussian_matrix
from utils.errors import UserError

WITHOUT_RANDOMNESS = {
    *("gaussian_blur", "defocus_blur", "zoom_blur", "contrast", "saturate"),
    *("jpeg_compression", "pixelate", "quantize", "inverse"),
}
GREY = torch.full((200, 28, 28), 100, dtype=torch.uint8)
BLACK = torch.zeros(200, 28, 28, dtype=torch.uint8)


def test_they_are_the_sixteen_that_mnist_c_leaves_out():
    assert len(FURTHER_CORRUPTIONS) == 16 and not set(FURTHER_CORRUPTIONS) & set(MNIST_C)
    assert all(function.__doc__ for function in FURTHER_CORRUPTIONS.values())


@pytest.mark.parametrize("name", FURTHER_CORRUPTIONS)
def test_only_seed_and_position_decide_the_result(name, few_digits):
    images = few_digits.images[:45]
    once = corrupt_further(images, name, seed=3)
    assert once.dtype == torch.uint8 and once.shape == images.shape
    assert torch.equal(corrupt_further(images, name, seed=3), once)
    assert torch.equal(corrupt_further(images[:22], name, seed=3), once[:22])
    assert torch.equal(corrupt_further(images, name, seed=4), once) == (name in WITHOUT_RANDOMNESS)


@pytest.mark.parametrize("name", FURTHER_CORRUPTIONS)
def test_every_digit_is_changed_and_still_resembles_its_class(name, few_digits):
    images, labels = few_digits.images, few_digits.labels
    changed = corrupt_further(images, name, seed=0)
    assert (changed != images).flatten(1).any(1).all()
    # The most correlated of the clean digits has the same label; moved digits have little overlap with their original.
    correlations = torch.corrcoef(torch.cat([changed, images]).flatten(1).double())[: len(images), len(images) :]
    share = (labels[correlations.abs().argmax(1)] == labels).double().mean()
    assert share > (0.6 if name == "elastic_transform" else 0.9)


@pytest.mark.parametrize("name", FURTHER_CORRUPTIONS)
def test_black_images_and_empty_sets_are_accepted(name):
    assert corrupt_further(BLACK[:2], name, seed=0).shape == (2, 28, 28)
    assert corrupt_further(BLACK[:0], name, seed=0).shape == (0, 28, 28)


def test_an_unknown_corruption_is_refused():
    with pytest.raises(UserError, match=r"'defocus': did you mean defocus_blur\?\nExpected one of gaussian_noise, "):
        corrupt_further(BLACK, "defocus", seed=0)


# Noise.


def test_gaussian_noise_has_its_standard_deviation():
    noisy = corrupt_further(GREY, "gaussian_noise", seed=0).double()
    # 100 is 0.392 of the range: what lies below black is clipped, so the quartiles above the median are compared.
    upper = noisy.flatten().quantile(0.75) - noisy.flatten().median()
    assert upper.item() / 255 == pytest.approx(0.6745 * 0.38, abs=0.005)


def test_speckle_noise_leaves_black_and_scales_with_the_level():
    assert torch.equal(corrupt_further(BLACK, "speckle_noise", seed=0), BLACK)
    low, high = (corrupt_further(GREY // part, "speckle_noise", seed=0).double().std().item() for part in (4, 2))
    assert high / low == pytest.approx(2, rel=0.02)


def test_pessimal_noise_repeats_a_tile_of_its_norm():
    noise = FURTHER_CORRUPTIONS["pessimal_noise"](torch.zeros(50, 28, 28), torch.Generator().manual_seed(0))
    tiles = noise.unfold(1, 14, 14).unfold(2, 14, 14)
    assert torch.equal(tiles[:, 0, 0], tiles[:, 1, 1])
    norms = tiles[:, 0, 0].flatten(1).norm(dim=1) / 255
    torch.testing.assert_close(norms, torch.full_like(norms, 10.63 / 4))


# Blurs, resolution and grey levels, compared with other libraries.


def levels_apart(name, few_digits, expected):
    """The largest difference from the expected images, in grey levels."""
    changed = corrupt_further(few_digits.images[:20], name, seed=0).double().numpy()
    return np.abs(changed - np.stack([expected(image) for image in few_digits.images[:20].double().numpy()])).max()


def test_gaussian_blur_blurs_the_columns(few_digits):
    from scipy.ndimage import gaussian_filter1d

    assert (
        levels_apart("gaussian_blur", few_digits, lambda image: gaussian_filter1d(image, 2, 0, mode="nearest")) < 0.51
    )


def test_defocus_blur_is_the_mean_over_29_pixels(few_digits):
    from scipy.ndimage import convolve

    y, x = np.mgrid[-3:4, -3:4]
    disk = (x**2 + y**2 <= 9) / 29
    assert disk.sum() == pytest.approx(1)
    assert levels_apart("defocus_blur", few_digits, lambda image: convolve(image, disk, mode="mirror")) < 0.51


def test_zoom_blur_equals_scipy(few_digits):
    from scipy.ndimage import zoom

    def expected(image):
        total = image.copy()
        for factor in np.arange(1, 1.31, 0.03):
            side = int(np.ceil(28 / factor))
            corner = (28 - side) // 2
            larger = zoom(image[corner : corner + side, corner : corner + side], factor, order=1)
            trim = (len(larger) - 28) // 2
            total += larger[trim : trim + 28, trim : trim + 28]
        return total / 12

    assert levels_apart("zoom_blur", few_digits, expected) < 0.51
    torch.testing.assert_close(zoom_matrix(1.0), torch.eye(28))


def test_pixelate_equals_pillow(few_digits):
    def expected(image):
        small = Image.fromarray(image.astype(np.uint8)).resize((11, 11), Image.Resampling.BOX)
        return np.array(small.resize((28, 28), Image.Resampling.BOX), dtype=np.float64)

    assert levels_apart("pixelate", few_digits, expected) <= 1  # Pillow rounds after each axis


def test_saturate_equals_scikit_image(few_digits):
    from skimage import color

    def expected(image):
        hsv = color.rgb2hsv(color.gray2rgb(image / 255))
        return 255 * color.rgb2gray(color.hsv2rgb(np.clip(20 * hsv + 0.2, 0, 1)))

    assert levels_apart("saturate", few_digits, expected) < 0.51


def test_contrast_quantize_and_inverse_by_hand():
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, :14] = 200
    image[0, 14:16] = 127
    mean = (14 * 200 + 2 * 127) / 28
    for name, expected in {
        "contrast": [0.9 * mean + 20, 0.9 * mean + 12.7, 0.9 * mean],
        "quantize": [255, 0, 0],
        "inverse": [55, 128, 255],
    }.items():
        rows = corrupt_further(image, name, seed=0)[0, [0, 14, 27], 5]
        assert rows.tolist() == [round(value) for value in expected], name


# Weather and distortion.


def test_snow_brightens_the_ground_and_whitens_the_digit(few_digits):
    snowed = corrupt_further(few_digits.images, "snow", seed=0)
    assert snowed.min() == round(0.45 * 0.5 * 255)
    assert (snowed[few_digits.images > 200] == 255).all()
    flakes = corrupt_further(BLACK, "snow", seed=0).double()
    assert flakes.diff(dim=2).abs().mean() > 1.5 * flakes.diff(dim=1).abs().mean()  # they fall


def test_frost_is_alike_at_the_edge_and_in_the_middle():
    ice = corrupt_further(BLACK, "frost", seed=0).double()
    edge, middle = ice[:, [0, 27]], ice[:, 10:18]
    assert abs(edge.mean() - middle.mean()) < 3 and abs(edge.std() - middle.std()) < 3
    assert ice.mean((1, 2)).std() > 10  # pictures differ in brightness


def test_elastic_transform_moves_digits_by_a_few_pixels(few_digits):
    moved = corrupt_further(few_digits.images, "elastic_transform", seed=0)

    def centre(images):
        places, mass = torch.arange(28.0), images.float()
        return torch.stack([mass.sum(axis) @ places for axis in (1, 2)], 1) / mass.sum((1, 2))[:, None]

    distance = (centre(moved) - centre(few_digits.images)).norm(dim=1)
    assert 1 < distance.mean() < 3 and distance.max() < 8
    ink = moved.float().sum((1, 2)) / few_digits.images.float().sum((1, 2))
    assert 0.9 < ink.median() < 1.1 and ink.min() > 0.4 and ink.max() < 2


def test_the_mirrored_gaussian_equals_scipy():
    from scipy.ndimage import gaussian_filter1d

    image = np.random.default_rng(0).random((28, 28))
    ours = gaussian_matrix(19.6, num_sigmas=3, is_mirrored=True).double().numpy() @ image
    np.testing.assert_allclose(ours, gaussian_filter1d(image, 19.6, 0, mode="reflect", truncate=3), atol=1e-5)


def test_a_line_reaches_from_the_left_to_the_right():
    lines = corrupt_further(BLACK, "line", seed=0)
    reached = (lines > 0).any(1)
    assert reached[:, 4:22].double().mean() > 0.98 and not reached[:, 26:].any()  # a steep line leaves the image
    starts = reached.double().argmax(1)
    assert set(starts.tolist()) == set(range(5))
