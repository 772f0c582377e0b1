"""MNIST-C: the corruptions themselves, the published generator's digits, and the published files."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.mnist_c import official_files
from utils.mnist_c.blur import blurred_along, gaussian_matrix
from utils.mnist_c.corrupted_digits import load_corrupted
from utils.mnist_c.corruptions import CORRUPTIONS, corrupt
from utils.mnist_c.lines import dotted, zigzags

FIXED = {"scale", "brightness", "stripe", "canny_edges"}  # nothing in these is random


# What corrupt promises.


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_seed_and_place_alone_decide(name, few_digits):
    images = few_digits.images[:45]
    once = corrupt(images, name, seed=3)
    assert once.dtype == torch.uint8 and once.shape == images.shape and not torch.equal(once, images)
    assert torch.equal(corrupt(images, name, seed=3), once)
    assert torch.equal(corrupt(images[:22], name, seed=3), once[:22])
    assert torch.equal(corrupt(images, name, seed=4), once) == (name in FIXED)


@pytest.mark.parametrize("name", ["impulse_noise", "translate"])
def test_digits_of_the_next_block_have_draws_of_their_own(name, few_digits):
    many = corrupt(few_digits.images.repeat(6, 1, 1), name, seed=0)  # 1,200
    assert torch.equal(many[:1000], corrupt(few_digits.images.repeat(5, 1, 1), name, seed=0))
    assert not torch.equal(many[1000:], many[:200])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_black_and_no_digits_are_digits_too(name):
    corrupt(torch.zeros(2, 28, 28, dtype=torch.uint8), name, seed=0)
    assert corrupt(torch.zeros(0, 28, 28, dtype=torch.uint8), name, seed=0).shape == (0, 28, 28)


@pytest.mark.cuda
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_gpu_gives_what_the_cpu_gives(name, few_digits):
    here, there = corrupt(few_digits.images, name, seed=0), corrupt(few_digits.images.cuda(), name, seed=0)
    assert there.is_cuda
    assert ((here.int() - there.cpu().int()).abs() <= 1).double().mean() > 0.999


def test_an_unknown_name_is_refused(few_digits):
    for call in (lambda: corrupt(few_digits.images, "snow", seed=0), lambda: load_corrupted("snow")):
        with pytest.raises(UserError, match=r"unknown corruption 'snow': expected one of shot_noise, .*canny_edges"):
            call()


# By hand.


def test_impulses_are_salt_and_pepper_in_equal_parts():
    grey = torch.full((500, 28, 28), 100, dtype=torch.uint8)
    noisy = corrupt(grey, "impulse_noise", seed=0)
    for level in (0, 255):  # 392,000 pixels: a standard error of 0.00045
        assert (noisy == level).double().mean().item() == pytest.approx(0.085, abs=0.002)


def test_shot_noise_counts_photons():
    grey = torch.full((500, 28, 28), 85, dtype=torch.uint8)  # one photon a pixel, on average
    noisy = corrupt(grey, "shot_noise", seed=0)
    shares = [(noisy == level).double().mean().item() for level in (0, 85, 170, 255)]
    assert shares == pytest.approx([np.exp(-1), np.exp(-1), np.exp(-1) / 2, 1 - 2.5 * np.exp(-1)], abs=0.004)


def test_the_blur_is_scipys():
    from scipy.ndimage import gaussian_filter

    image = np.random.default_rng(0).random((28, 28))
    for sigma in (0.7, 1.5):
        matrix = gaussian_matrix(sigma).double().numpy()
        expected = gaussian_filter(image, sigma, mode="nearest", truncate=4)
        np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=1e-6)


# The published generator's own digits.


@pytest.fixture
def reference(real_mirror):
    """Corruption -> the first 500 test digits under it."""
    from benchmarks.mnist_c_agreement import reference_sets

    try:
        return {name: digits.images for name, digits in reference_sets().items()}
    except UserError:
        pytest.skip("the mirror has no reference digits of MNIST-C")


def furthest(ours, reference):
    """Digit by digit, the largest difference in levels."""
    return (ours.int() - reference.int()).abs().amax(dim=(1, 2))


@pytest.mark.real_mnist
@pytest.mark.parametrize("name, tolerance", [("scale", 1), ("brightness", 0), ("stripe", 0), ("canny_edges", 0)])
def test_what_is_not_random_is_the_references(name, tolerance, reference):
    assert furthest(corrupt(reference["identity"], name, seed=0), reference[name]).max() <= tolerance


@pytest.mark.real_mnist
@pytest.mark.parametrize("name, outcomes", [("shear", 2), ("rotate", 2), ("translate", 4)])
def test_but_for_the_signs_maps_are_the_references(name, outcomes, reference):
    draws = torch.stack([corrupt(reference["identity"], name, seed) for seed in range(24)])
    differences = torch.stack([furthest(draw, reference[name]) for draw in draws])
    # One digit in a thousand misses its sign 24 times where there are four.
    assert (differences.amin(dim=0) <= 1).double().mean() > 0.99
    assert ((differences <= 1).double().mean() - 1 / outcomes).abs() < 0.03


@pytest.mark.real_mnist
def test_each_line_of_the_reference_is_one_that_ours_can_be(reference):
    rows, rises = torch.arange(27), torch.arange(-5, 5)
    all_lines = {
        "dotted_line": dotted(*torch.cartesian_prod(rows, rows).T),
        "zigzag": zigzags(*torch.cartesian_prod(rows, rises).T),
    }
    for name, lines in all_lines.items():
        for digit, expected in zip(reference["identity"][:100], reference[name][:100], strict=True):
            drawn = (digit + lines).round().clamp(0, 255).byte()
            assert furthest(drawn, expected).min() == 0, name


@pytest.mark.real_mnist
def test_each_motion_of_the_reference_is_along_some_angle(reference):
    angles = torch.deg2rad(torch.linspace(-45, 45, 1801))
    for digit, expected in zip(reference["identity"][:10].float(), reference["motion_blur"][:10], strict=True):
        blurred = blurred_along(digit.expand(len(angles), 28, 28), angles)
        assert furthest(blurred, expected).min() <= 1


@pytest.mark.real_mnist
@pytest.mark.parametrize("name", ["shot_noise", "impulse_noise", "glass_blur", "motion_blur", "fog", "spatter"])
def test_what_is_random_in_each_pixel_has_the_references_statistics(name, reference):
    def statistics(images):
        levels = images.double()
        slopes = [levels.diff(dim=axis).abs().mean() for axis in (1, 2)]  # a blur along one axis lowers one of them
        spread = levels.flatten(1).mean(dim=1).std()  # over the digits
        return torch.stack([levels.mean(), levels.std(), spread, *slopes])

    ours = torch.stack([statistics(corrupt(reference["identity"], name, seed)) for seed in range(8)])
    z = (statistics(reference[name]) - ours.mean(dim=0)) / (ours.std(dim=0) * (1 + 1 / 8) ** 0.5)
    assert z.abs().max() < 5.4, z  # Student's t with 7 degrees of freedom: one in a thousand


# The published files.


def as_npy(array, **options):
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (10_000, 28, 28, 1), dtype=np.uint8)


LABELS = np.arange(10_000) % 10


@pytest.fixture
def folder(home, images):
    """data/mnist_c/fog with made-up digits."""
    folder = home / "data" / "mnist_c" / "fog"
    folder.mkdir(parents=True)
    (folder / "test_images.npy").write_bytes(as_npy(images))
    (folder / "test_labels.npy").write_bytes(as_npy(LABELS))
    return folder


def assert_read(name, place, images):
    digits, origin = load_corrupted(name)
    assert digits.name == f"mnist_c/{name}" and origin == f"the published digits in {place}"
    assert np.array_equal(digits.images.numpy(), images[..., 0]) and np.array_equal(digits.labels.numpy(), LABELS)


def test_published_digits_are_read_from_their_folder(folder, images):
    assert_read("fog", "data/mnist_c/fog", images)


def test_published_digits_are_read_from_the_zip(home, images, monkeypatch):
    path = home / "data" / "mnist_c.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mnist_c/zigzag/test_images.npy", as_npy(images))
        archive.writestr("mnist_c/zigzag/test_labels.npy", as_npy(LABELS))
    with pytest.raises(UserError, match=r"mnist_c.zip is damaged: its checksum is wrong\.\nFetch it again"):
        load_corrupted("zigzag")
    monkeypatch.setattr(official_files, "ZIP_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    assert_read("zigzag", "data/mnist_c.zip", images)
    with pytest.raises(UserError, match=r"cannot use test_images.npy: there is no fog/test_images.npy"):
        load_corrupted("fog")


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


BAD_IMAGES = {
    "it is no npy file": lambda _: b"damaged",
    "its length does not fit its header": lambda images: as_npy(images)[:-1],
    r"it holds uint8 of shape \(9999, 28, 28, 1\), expected uint8 of shape": lambda images: as_npy(images[1:]),
    r"it holds float32 of shape": lambda images: as_npy(images.astype(np.float32)),
    r"it holds object of shape \(1,\)": lambda _: as_npy(np.array([Trap()], dtype=object), allow_pickle=True),
}


@pytest.mark.parametrize("reason", BAD_IMAGES)
def test_bad_images_are_refused_in_two_lines(reason, folder, images):
    (folder / "test_images.npy").write_bytes(BAD_IMAGES[reason](images))
    with pytest.raises(UserError, match=rf"mnist_c/fog: cannot use test_images.npy: {reason}") as error:
        load_corrupted("fog")
    assert len(str(error.value).splitlines()) == 2


def test_bad_or_missing_labels_are_refused(folder):
    (folder / "test_labels.npy").write_bytes(as_npy(LABELS + 1))
    with pytest.raises(UserError, match=r"test_labels.npy: it does not hold labels from 0 to 9"):
        load_corrupted("fog")
    (folder / "test_labels.npy").unlink()
    with pytest.raises(UserError, match=r"test_labels.npy: No such file"):
        load_corrupted("fog")


@pytest.mark.real_mnist
def test_without_published_files_digits_are_generated(real_mirror):
    from utils.datasets import load_dataset

    digits, origin = load_corrupted("stripe", seed=7)
    assert len(digits) == 10_000 and origin == "generated from MNIST's test digits with seed 7"
    clean = load_dataset("mnist", "test")
    assert torch.equal(digits.labels, clean.labels)
    assert torch.equal(digits.images[:, :, :7], 255 - clean.images[:, :, :7])
    assert torch.equal(digits.images[:, :, 7:21], clean.images[:, :, 7:21])
