"""The registry of data sets: every entry can be loaded, and bad names and files are refused."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import write_idx
from torchvision import datasets as torchvision_datasets

from utils.data import datasets, load_dataset, load_training_sets
from utils.data.array_files import as_labels, read_idx
from utils.data.datasets import DATASETS, dataset_names, mnist_writers
from utils.data.downloads import local_file
from utils.errors import UserError
from utils.evaluation import predict_logits, score

CPU = torch.device("cpu")
IMAGES = torch.arange(3 * 784).reshape(3, 28, 28).to(torch.uint8)
LABELS = torch.tensor([7, 2, 1], dtype=torch.uint8)
QMNIST_TABLE = torch.tensor([[7, 4, 900, 1, 0, 0, 0, 0], [2, 4, 901, 1, 0, 0, 0, 0], [1, 4, 900, 2, 0, 0, 0, 0]]).int()


# Names, splits and help texts.


@pytest.mark.parametrize("name", ["mnst", "csv", "csv:", "csv:test=x.csv", "csv:/nowhere/x.csv", "mnist:x"])
def test_unknown_names_are_refused_with_the_known_ones(name):
    with pytest.raises(UserError, match=r"[Ee]xpected"):
        load_dataset(name, "train")


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="expected train or test"):
        load_dataset("digits", "validation")


def test_bundled_digits_have_mnist_form_and_a_fixed_stratified_split():
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    assert (len(train), len(test)) == (1438, 359)
    assert train.images.shape[1:] == (28, 28) and train.images.dtype == torch.uint8
    difference = train.labels.bincount() / len(train) - test.labels.bincount() / len(test)
    assert difference.abs().max() < 0.005
    assert torch.equal(load_dataset("digits", "test").images, test.images)
    assert {image.numpy().tobytes() for image in train.images}.isdisjoint(
        {image.numpy().tobytes() for image in test.images}
    )


def test_training_and_validation_set_are_disjoint():
    train, validation = load_training_sets("digits", 100)
    assert (len(train), len(validation)) == (1338, 100)
    assert (train.name, validation.name) == ("digits/train", "digits/validation")
    assert {image.numpy().tobytes() for image in train.images}.isdisjoint(
        {image.numpy().tobytes() for image in validation.images}
    )


# Data sets with a file of images and a file of labels.

PAIRS = [name for name in dataset_names() if len(DATASETS[name].files.get("train", ())) == 2]


@pytest.fixture
def mirror(home, monkeypatch, no_network, trust_files):
    """A mirror with three images of each data set, whose checksums count as the published ones."""
    mirror = home / "mirror"
    for name in PAIRS:
        for split in ("train", "test"):
            for file, values in zip(DATASETS[name].files[split], (IMAGES, LABELS), strict=True):
                path = mirror / file.folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                if file.name.endswith(".npz"):
                    np.savez_compressed(path, values.numpy())
                else:
                    write_idx(path, QMNIST_TABLE if "idx2" in file.name else values)
            trust_files(mirror, name, split)
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], num_images={}))
    monkeypatch.setenv("MNIST_STUDY_MIRROR", str(mirror))
    return mirror


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", PAIRS)
def test_every_data_set_is_downloaded_and_read(mirror, name, split):
    found = load_dataset(name, split)
    assert found.name == f"{name}/{split}" and found.class_names == DATASETS[name].class_names
    assert torch.equal(found.images, IMAGES.transpose(1, 2) if name == "emnist_digits" else IMAGES)
    assert found.images.is_contiguous() and found.labels.tolist() == [7, 2, 1]


@pytest.mark.parametrize(
    ("name", "their_set"),
    [
        ("mnist", torchvision_datasets.MNIST),
        ("fashion_mnist", torchvision_datasets.FashionMNIST),
        ("kmnist", torchvision_datasets.KMNIST),
    ],
)
def test_checksums_mirrors_and_classes_equal_those_of_torchvision(name, their_set):
    ours = DATASETS[name]
    files = {(file.name, file.md5) for files in ours.files.values() for file in files}
    assert {file for file in files if file[0].endswith(".gz")} <= set(their_set.resources)
    assert set(ours.mirrors) == set(their_set.mirrors)
    assert ours.class_names == tuple(their_set.classes) or name == "mnist"


def test_files_of_qmnist_equal_those_of_torchvision():
    (url,) = DATASETS["qmnist"].mirrors
    for split, files in DATASETS["qmnist"].files.items():
        assert [(url + file.name, file.md5) for file in files] == torchvision_datasets.QMNIST.resources[split]


def test_a_damaged_npz_file_is_downloaded_again(mirror, home):
    load_dataset("kmnist", "test")
    path = home / "data" / "kmnist" / "kmnist-test-imgs.npz"
    path.write_bytes(path.read_bytes()[:-20])
    assert torch.equal(load_dataset("kmnist", "test").images, IMAGES)


def test_writers_come_from_the_label_table_of_qmnist(mirror, monkeypatch):
    monkeypatch.setattr(datasets, "NUM_MNIST_DIGITS", {"train": 3, "test": 2})
    found = mnist_writers()
    assert found["train"].tolist() == [900, 901, 900] and found["test"].tolist() == [900, 901]


def test_the_labels_with_writers_are_not_downloaded_from_public_mirrors(monkeypatch, mirror):
    monkeypatch.delenv("MNIST_STUDY_MIRROR")
    public_mirror = f"{(mirror / 'qmnist_labels').as_uri()}/"  # has the labels
    monkeypatch.setitem(DATASETS, "qmnist", replace(DATASETS["qmnist"], mirrors=(public_mirror,)))
    assert mnist_writers() is None


# EMNIST: without checksums, and not downloaded from public mirrors.

EMNIST_IMAGES, EMNIST_LABELS = (file.name for file in DATASETS["emnist_digits"].files["test"])


def test_missing_emnist_files_are_refused_with_source_and_destination():
    with pytest.raises(UserError) as error:
        load_dataset("emnist_digits", "test")
    problem, advice = str(error.value).splitlines()
    assert EMNIST_IMAGES in problem and "is missing" in problem
    assert all(part in advice for part in ("gzip.zip", "data/emnist_digits/", "MNIST_STUDY_MIRROR"))


@pytest.mark.parametrize("damage", ["count", "label", "truncated", "no gzip"])
def test_damaged_emnist_files_are_refused(home, monkeypatch, damage):
    monkeypatch.setitem(DATASETS, "emnist_digits", replace(DATASETS["emnist_digits"], num_images={"test": 2}))
    folder = home / "data" / "emnist_digits"
    write_idx(folder / EMNIST_IMAGES, IMAGES[:2])
    labels = {"count": (7, 2, 1), "label": (7, 10)}.get(damage, (7, 2))
    write_idx(folder / EMNIST_LABELS, torch.tensor(labels, dtype=torch.uint8))
    path = folder / EMNIST_LABELS
    if damage in ("truncated", "no gzip"):
        path.write_bytes(path.read_bytes()[:-4] if damage == "truncated" else b"<html>")
    with pytest.raises(UserError, match=f"{EMNIST_LABELS} is damaged: .*\nDelete it. Put"):
        load_dataset("emnist_digits", "test")


# USPS: a text file of 16 x 16 images.


@pytest.fixture
def usps_file(home, no_network, trust_files):
    """Two digits in the format of the file: a vertical bar and a horizontal one."""
    images = np.full((2, 16, 16), -1.0)
    images[0, 2:14, 7:9] = 1
    images[1, 7:9, 2:14] = 1
    values = [" ".join(f"{value:.3f}" for value in image.ravel()) for image in images]
    path = home / "data" / "usps" / "zip.test.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(f"1.0000 {values[0]}\n7.0000 {values[1]}".encode()))
    trust_files(home / "data", "usps", "test")
    return path


def test_usps_digits_have_mnist_form(usps_file):
    found = load_dataset("usps", "test")
    assert found.name == "usps/test" and found.labels.tolist() == [1, 7]
    for image, shape in zip(found.images.numpy(), ((20, 3), (3, 20)), strict=True):
        rows, columns = np.nonzero(image)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == shape and image.max() == 255
        assert abs(rows.mean() - 14) < 1 and abs(columns.mean() - 14) < 1


def test_a_damaged_usps_file_without_a_mirror_is_refused(usps_file):
    usps_file.write_bytes(b"damaged")
    with pytest.raises(UserError, match="its checksum is wrong"):
        load_dataset("usps", "test")


# The real files.


@pytest.mark.real_mnist
def test_real_mnist_has_its_known_counts_and_pixel_statistics(real_mirror):
    train, test = load_dataset("mnist", "train"), load_dataset("mnist", "test")
    assert train.images.shape == (60_000, 28, 28) and test.images.shape == (10_000, 28, 28)
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = train.images.float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)


@pytest.mark.real_mnist
@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_real_test_sets_have_a_thousand_images_of_each_class(real_mirror, no_network, name):
    try:
        found = load_dataset(name, "test")
    except UserError:
        pytest.skip(f"the mirror has no {name}")
    assert found.images.shape == (10_000, 28, 28) and found.labels.bincount().tolist() == [1000] * 10


@pytest.mark.real_mnist
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_real_labels_of_qmnist_begin_with_those_of_mnist(real_mirror, split, count):
    _, labels_file = DATASETS["qmnist"].files[split]
    try:
        table = read_idx(local_file(labels_file))
    except UserError:
        pytest.skip("the mirror has no QMNIST labels")
    assert len(table) == 60_000
    assert torch.equal(as_labels(table)[:count], load_dataset("mnist", split).labels)


@pytest.mark.real_mnist
def test_a_network_trained_on_mnist_recognises_real_usps_digits(real_mirror, no_network, quick_network):
    try:
        digits = load_dataset("usps", "test")
    except UserError:
        pytest.skip("the mirror has no USPS digits")
    assert len(digits) == 2007
    assert score(predict_logits(quick_network, digits.images, CPU), digits.labels).accuracy > 0.9
