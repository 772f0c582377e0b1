"""The registry of data sets: every entry can be loaded, and bad names and files are refused."""

import bz2
import gzip
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from helpers import write_idx

from utils.data import load_dataset, load_training_sets
from utils.data.array_files import as_labels, read_idx
from utils.data.datasets import DATASETS, class_names, dataset_names, num_classes
from utils.data.downloads import read_file
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

PAIRS = [(name, split) for name in dataset_names() for split, groups in DATASETS[name].files.items() if name != "usps"]


@pytest.fixture
def mirror(home, monkeypatch, no_network, trust_files):
    """A mirror with three images of each data set in each form, whose checksums count as the published ones."""
    mirror = home / "mirror"
    for name, split in PAIRS:
        labels = LABELS + 1 if name == "emnist_letters" else LABELS
        for group in DATASETS[name].files[split]:
            for file, values in zip(group, (IMAGES, labels), strict=True):
                path = mirror / file.folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                if file.member:
                    write_idx(home / "member", values)
                    with zipfile.ZipFile(path, "a") as archive:
                        archive.write(home / "member", file.member)
                elif file.name.endswith(".npz"):
                    np.savez_compressed(path, values.numpy())
                else:
                    write_idx(path, QMNIST_TABLE if "idx2" in file.name else values)
    for name, split in PAIRS:
        trust_files(mirror, name, split)
    monkeypatch.setenv("MNIST_STUDY_MIRROR", str(mirror))
    return mirror


@pytest.mark.parametrize(("name", "split"), PAIRS)
def test_every_data_set_is_downloaded_and_read(mirror, name, split):
    found = load_dataset(name, split)
    assert found.name == f"{name}/{split}" and found.class_names == class_names(name)
    assert torch.equal(found.images, IMAGES.transpose(1, 2) if "emnist_" in name else IMAGES)
    assert found.images.is_contiguous() and found.labels.tolist() == [7, 2, 1]


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize(
    ("name", "split"), [("kmnist", "test"), ("emnist_letters", "train"), ("emnist_digits", "test")]
)
def test_each_published_form_of_a_data_set_is_read(mirror, name, split, form):
    for file in DATASETS[name].files[split][1 - form]:
        (mirror / file.folder / file.name).unlink(missing_ok=True)
    assert load_dataset(name, split).labels.tolist() == [7, 2, 1]


def test_class_names_are_those_of_torchvision_without_a_file(no_network):
    assert class_names("fashion_mnist")[9] == "Ankle boot" and class_names("kmnist")[3] == "tsu"
    assert class_names("emnist_letters") == tuple("abcdefghijklmnopqrstuvwxyz")
    assert {num_classes(name) for name in dataset_names() if name != "emnist_letters"} == {10}
    with pytest.raises(UserError, match="unknown data set"):
        num_classes("mnst")


def test_every_public_file_has_a_url_and_a_checksum():
    for name in dataset_names():
        for groups in DATASETS[name].files.values():
            urls, md5s = zip(*(file.published() for group in groups for file in group if file.torchvision), strict=True)
            assert all(file_urls[0].startswith("https://") for file_urls in urls)
            assert all(len(md5) == 32 for md5 in md5s)
    ((images, _),) = DATASETS["mnist"].files["train"]
    assert images.published()[1] == "f68b3c2dcbeaaa9fbdd348bbdeb94873"


def test_the_sha256_of_nearly_every_public_file_is_known():
    files = {
        file for name in dataset_names() for groups in DATASETS[name].files.values() for it in groups for file in it
    }
    of_unpacked_emnist = {file for file in files if file.folder.startswith("emnist_")}
    assert {file.name for file in files - of_unpacked_emnist if not file.sha256} == {
        "qmnist-train-images-idx3-ubyte.gz", "qmnist-test-images-idx3-ubyte.gz", "usps.bz2", "usps.t.bz2",
    }  # fmt: skip


def test_files_in_data_are_read_without_torchvision(mirror, home):
    load_dataset("mnist", "test")
    code = "import sys; from utils.data import load_dataset; load_dataset('mnist', 'test'); print(list(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'utils.data.datasets'" in answer.stdout and "'torchvision'" not in answer.stdout


def test_a_damaged_npz_file_is_downloaded_again(mirror, home):
    (mirror / "kmnist" / "t10k-images-idx3-ubyte.gz").unlink()
    load_dataset("kmnist", "test")
    path = home / "data" / "kmnist" / "kmnist-test-imgs.npz"
    path.write_bytes(path.read_bytes()[:-20])
    assert torch.equal(load_dataset("kmnist", "test").images, IMAGES)


def test_writers_of_qmnist_come_from_its_label_table(mirror):
    assert load_dataset("qmnist", "train").writers.tolist() == [900, 901, 900]


def test_files_with_another_number_of_digits_than_mnist_have_no_writers(mirror):
    assert load_dataset("mnist", "train").writers is None and load_dataset("kmnist", "test").writers is None


# EMNIST: a pair of files without checksums, or the zip file of all parts.


def test_missing_emnist_files_are_refused_with_the_zip_file_that_holds_them(no_network):
    with pytest.raises(UserError, match=r"data/emnist/gzip.zip is missing(.|\n)*MNIST_STUDY_MIRROR"):
        load_dataset("emnist_letters", "test")


@pytest.mark.parametrize("damage", ["count", "label", "truncated", "no gzip"])
def test_damaged_emnist_files_are_refused(home, no_network, damage):
    images, labels = DATASETS["emnist_letters"].files["test"][0]
    write_idx(images.path, IMAGES[:2])
    values = {"count": (7, 2, 1), "label": (7, 27)}.get(damage, (7, 2))
    write_idx(labels.path, torch.tensor(values, dtype=torch.uint8))
    if damage in ("truncated", "no gzip"):
        labels.path.write_bytes(labels.path.read_bytes()[:-4] if damage == "truncated" else b"<html>")
    with pytest.raises(UserError, match=f"{labels.name} is damaged: "):
        load_dataset("emnist_letters", "test")


def test_a_damaged_zip_file_is_downloaded_again(mirror):
    for file in DATASETS["emnist_letters"].files["test"][0]:
        (mirror / file.folder / file.name).unlink()
    load_dataset("emnist_letters", "test")
    path = DATASETS["emnist_letters"].files["test"][1][0].path
    path.write_bytes(path.read_bytes()[:-20])
    assert load_dataset("emnist_letters", "test").labels.tolist() == [7, 2, 1]


# USPS: text files of 16 x 16 images.


@pytest.fixture(params=["columns", "libsvm"])
def usps_file(request, home, no_network, trust_files):
    """Two digits in each format of the file: a vertical bar and a horizontal one."""
    images = np.full((2, 16, 16), -1.0)
    images[0, 2:14, 7:9] = 1
    images[1, 7:9, 2:14] = 1
    rows = images.reshape(2, 256)
    (columns,), (libsvm,) = DATASETS["usps"].files["test"]
    columns.path.parent.mkdir(parents=True)
    if request.param == "columns":
        texts = [" ".join(f"{value:.3f}" for value in row) for row in rows]
        columns.path.write_bytes(gzip.compress(f"1.0000 {texts[0]}\n7.0000 {texts[1]}".encode()))
        return columns.path
    texts = [" ".join(f"{index}:{value:.3f}" for index, value in enumerate(row, start=1)) for row in rows]
    libsvm.path.write_bytes(bz2.compress(f"2 {texts[0]}\n8 {texts[1]}\n".encode()))
    return libsvm.path


def test_usps_digits_have_mnist_form(usps_file):
    found = load_dataset("usps", "test")
    assert found.name == "usps/test" and found.labels.tolist() == [1, 7]
    for image, shape in zip(found.images.numpy(), ((20, 3), (3, 20)), strict=True):
        rows, columns = np.nonzero(image)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == shape and image.max() == 255
        assert abs(rows.mean() - 14) < 1 and abs(columns.mean() - 14) < 1


@pytest.mark.parametrize("content", [b"damaged", b""])
def test_a_damaged_usps_file_without_a_mirror_is_refused(usps_file, content):
    usps_file.write_bytes(content)
    with pytest.raises(UserError, match=f"{usps_file.name} is damaged"):
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
    ((_, labels_file),) = DATASETS["qmnist"].files[split]
    try:
        table = read_file(labels_file, read_idx, is_public=False)
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
