"""MNIST-C: properties of the corruptions, agreement with the published generator, and the published files."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
import torch

from utils.data import load_dataset, mnist_c_files
from utils.data.mnist_c import (
    CORRUPTIONS,
    MNIST_C,
    blur_along,
    corrupt,
    dotted_lines,
    gaussian_matrix,
    load_corrupted,
    zigzags,
)
from utils.errors import UserError

FIXED = {"scale", "brightness", "stripe", "canny_edges"}  # corruptions without random numbers


# Properties of `corrupt`.


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_only_seed_and_position_decide_the_result(name, few_digits):
    images = few_digits.images[:45]
    once = corrupt(images, name, seed=3)
    assert once.dtype == torch.uint8 and once.shape == images.shape and not torch.equal(once, images)
    assert torch.equal(corrupt(images, name, seed=3), once)
    assert torch.equal(corrupt(images[:22], name, seed=3), once[:22])
    if name in MNIST_C:
        assert torch.equal(corrupt(images, name, seed=4), once) == (name in FIXED)


@pytest.mark.parametrize("name", ["impulse_noise", "translate"])
def test_each_block_of_images_has_its_own_random_numbers(name, few_digits):
    many = corrupt(few_digits.images.repeat(6, 1, 1), name, seed=0)  # 1,200
    assert torch.equal(many[:1000], corrupt(few_digits.images.repeat(5, 1, 1), name, seed=0))
    assert not torch.equal(many[1000:], many[:200])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_black_images_and_empty_sets_are_accepted(name):
    corrupt(torch.zeros(2, 28, 28, dtype=torch.uint8), name, seed=0)
    assert corrupt(torch.zeros(0, 28, 28, dtype=torch.uint8), name, seed=0).shape == (0, 28, 28)


@pytest.mark.cuda
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_gpu_and_cpu_give_equal_images(name, few_digits):
    here, there = corrupt(few_digits.images, name, seed=0), corrupt(few_digits.images.cuda(), name, seed=0)
    assert there.is_cuda
    assert ((here.int() - there.cpu().int()).abs() <= 1).double().mean() > 0.999


def test_an_unknown_corruption_is_refused(few_digits):
    for call in (lambda: corrupt(few_digits.images, "snow", seed=0), lambda: load_corrupted("snow")):
        with pytest.raises(UserError, match=r"unknown corruption 'snow': expected one of shot_noise, .*canny_edges"):
            call()


# Comparisons with hand-computed results and SciPy.


def test_impulse_noise_is_half_white_and_half_black():
    grey = torch.full((500, 28, 28), 100, dtype=torch.uint8)
    noisy = corrupt(grey, "impulse_noise", seed=0)
    for level in (0, 255):  # 392,000 pixels: a standard error of 0.00045
        assert (noisy == level).double().mean().item() == pytest.approx(0.085, abs=0.002)


def test_shot_noise_is_poisson_distributed():
    grey = torch.full((500, 28, 28), 85, dtype=torch.uint8)  # one photon per pixel on average
    noisy = corrupt(grey, "shot_noise", seed=0)
    shares = [(noisy == level).double().mean().item() for level in (0, 85, 170, 255)]
    assert shares == pytest.approx([np.exp(-1), np.exp(-1), np.exp(-1) / 2, 1 - 2.5 * np.exp(-1)], abs=0.004)


def test_gaussian_blur_equals_scipy():
    from scipy.ndimage import gaussian_filter

    image = np.random.default_rng(0).random((28, 28))
    for sigma in (0.7, 1.5):
        matrix = gaussian_matrix(sigma).double().numpy()
        expected = gaussian_filter(image, sigma, mode="nearest", truncate=4)
        np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=1e-6)


# Agreement with images of the published generator.


@pytest.fixture
def reference(real_mirror):
    """Corruption -> the first 500 test digits as corrupted by the published generator."""
    from benchmarks.mnist_c_agreement import reference_sets

    try:
        return {name: digits.images for name, digits in reference_sets().items()}
    except UserError:
        pytest.skip("the mirror has no reference digits of MNIST-C")


def max_difference(ours, reference):
    """The largest difference in grey levels for each image."""
    return (ours.int() - reference.int()).abs().amax(dim=(1, 2))


@pytest.mark.real_mnist
@pytest.mark.parametrize("name, tolerance", [("scale", 1), ("brightness", 0), ("stripe", 0), ("canny_edges", 0)])
def test_fixed_corruptions_equal_the_reference(name, tolerance, reference):
    assert max_difference(corrupt(reference["identity"], name, seed=0), reference[name]).max() <= tolerance


@pytest.mark.real_mnist
@pytest.mark.parametrize("name, outcomes", [("shear", 2), ("rotate", 2), ("translate", 4)])
def test_affine_corruptions_equal_the_reference_up_to_the_random_sign(name, outcomes, reference):
    draws = torch.stack([corrupt(reference["identity"], name, seed) for seed in range(24)])
    differences = torch.stack([max_difference(draw, reference[name]) for draw in draws])
    # With four possible signs, one digit in a thousand misses its own in all 24 draws.
    assert (differences.amin(dim=0) <= 1).double().mean() > 0.99
    assert ((differences <= 1).double().mean() - 1 / outcomes).abs() < 0.03


@pytest.mark.real_mnist
def test_lines_of_the_reference_are_possible_results(reference):
    rows, rises = torch.arange(27), torch.arange(-5, 5)
    all_lines = {
        "dotted_line": dotted_lines(*torch.cartesian_prod(rows, rows).T),
        "zigzag": zigzags(*torch.cartesian_prod(rows, rises).T),
    }
    for name, lines in all_lines.items():
        for digit, expected in zip(reference["identity"][:100], reference[name][:100], strict=True):
            drawn = (digit + lines).round().clamp(0, 255).byte()
            assert max_difference(drawn, expected).min() == 0, name


@pytest.mark.real_mnist
def test_motion_blur_of_the_reference_is_a_possible_result(reference):
    angles = torch.deg2rad(torch.linspace(-45, 45, 1801))
    for digit, expected in zip(reference["identity"][:10].float(), reference["motion_blur"][:10], strict=True):
        blurred = blur_along(digit.expand(len(angles), 28, 28), angles)
        assert max_difference(blurred, expected).min() <= 1


@pytest.mark.real_mnist
@pytest.mark.parametrize("name", ["shot_noise", "impulse_noise", "glass_blur", "motion_blur", "fog", "spatter"])
def test_pixelwise_random_corruptions_have_the_statistics_of_the_reference(name, reference):
    def statistics(images):
        levels = images.double()
        slopes = [levels.diff(dim=axis).abs().mean() for axis in (1, 2)]  # a blur along one axis lowers one of the two
        spread = levels.flatten(1).mean(dim=1).std()  # over the images
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
def our_labels(monkeypatch):
    """Makes LABELS count as the labels of MNIST's test digits."""
    monkeypatch.setattr(mnist_c_files, "LABELS_SHA256", hashlib.sha256(LABELS.astype(np.uint8).tobytes()).hexdigest())


@pytest.fixture
def folder(home, images, our_labels):
    """data/mnist_c/fog with random images."""
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


def test_published_digits_are_read_from_the_zip(home, images, monkeypatch, our_labels):
    path = home / "data" / "mnist_c.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mnist_c/zigzag/test_images.npy", as_npy(images))
        archive.writestr("mnist_c/zigzag/test_labels.npy", as_npy(LABELS))
    with pytest.raises(UserError, match=r"mnist_c.zip is damaged: its checksum is wrong\.\nDownload it again"):
        load_corrupted("zigzag")
    monkeypatch.setattr(mnist_c_files, "ZIP_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert_read("zigzag", "data/mnist_c.zip", images)


@pytest.mark.real_mnist
def test_a_new_corruption_is_generated_beside_the_published_files(home, real_mirror, monkeypatch):
    monkeypatch.setitem(CORRUPTIONS, "inverted", lambda images, _: 255 - images)
    (home / "data" / "mnist_c" / "fog").mkdir(parents=True)
    (home / "data" / "mnist_c.zip").write_bytes(b"MNIST-C does not have this corruption")
    digits, origin = load_corrupted("inverted")
    assert origin == "generated from MNIST's test digits with seed 0" and digits.name == "corrupted/inverted"
    assert torch.equal(digits.images, 255 - load_dataset("mnist", "test").images)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


BAD_IMAGES = {
    "it is not an npy file": lambda _: b"damaged",
    "its length does not fit its header": lambda images: as_npy(images)[:-1],
    r"it holds uint8 values of shape \(9999, 28, 28, 1\), expected 10,000 digits": lambda images: as_npy(images[1:]),
    "it holds float32 values": lambda images: as_npy(images.astype(np.float32)),
    "it holds object values": lambda _: as_npy(np.array([Trap()], dtype=object), allow_pickle=True),
}


@pytest.mark.parametrize("reason", BAD_IMAGES)
def test_bad_images_are_refused(reason, folder, images):
    (folder / "test_images.npy").write_bytes(BAD_IMAGES[reason](images))
    with pytest.raises(UserError, match=rf"mnist_c/fog: cannot use test_images.npy: {reason}") as error:
        load_corrupted("fog")
    assert len(str(error.value).splitlines()) == 2


def test_bad_and_missing_labels_are_refused(folder):
    (folder / "test_labels.npy").write_bytes(as_npy(LABELS + 1))
    with pytest.raises(UserError, match=r"test_labels.npy: it does not hold labels from 0 to 9"):
        load_corrupted("fog")
    (folder / "test_labels.npy").write_bytes(as_npy(LABELS[::-1]))
    with pytest.raises(UserError, match=r"test_labels.npy: it does not hold the labels of MNIST's test digits"):
        load_corrupted("fog")
    (folder / "test_labels.npy").unlink()
    with pytest.raises(UserError, match=r"test_labels.npy: No such file"):
        load_corrupted("fog")


@pytest.mark.real_mnist
def test_digits_are_generated_without_published_files(real_mirror):
    digits, origin = load_corrupted("stripe", seed=7)
    assert len(digits) == 10_000 and origin == "generated from MNIST's test digits with seed 7"
    clean = load_dataset("mnist", "test")
    assert torch.equal(digits.labels, clean.labels)
    assert torch.equal(digits.images[:, :, :7], 255 - clean.images[:, :, :7])
    assert torch.equal(digits.images[:, :, 7:21], clean.images[:, :, 7:21])
