"""Fashion-MNIST, KMNIST and QMNIST: their own files, formats and classes, read as MNIST is."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import write_idx
from torchvision import datasets

from utils import writers
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.idx_files import DamagedFile, as_images, as_labels
from utils.npz_files import read_npz
from utils.public_sets import PUBLIC_SETS, read_public_file
from utils.writers import mnist_writers

IMAGES = torch.arange(3 * 784).reshape(3, 28, 28).to(torch.uint8)
LABELS = torch.tensor([7, 2, 1], dtype=torch.uint8)
QMNIST_TABLE = torch.tensor([[7, 4, 900, 1, 0, 0, 0, 0], [2, 4, 901, 1, 0, 0, 0, 0], [1, 4, 900, 2, 0, 0, 0, 0]]).int()


def write_npz(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, values.numpy())


@pytest.fixture
def mirror(home, monkeypatch, no_network, trust_files):
    """A mirror with three images of each set, whose checksums count as the right ones."""
    mirror = home / "mirror"
    for split in ("train", "test"):
        for name, public_set in PUBLIC_SETS.items():
            for file, values in zip(public_set.files[split], (IMAGES, LABELS), strict=True):
                write = write_npz if file.name.endswith(".npz") else write_idx
                write(mirror / file.folder / file.name, QMNIST_TABLE if "idx2" in file.name else values)
            trust_files(mirror, name, split)
    monkeypatch.setenv("MNIST_STUDY_MIRROR", str(mirror))
    return mirror


@pytest.mark.parametrize(
    ("name", "their_set"),
    [("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST), ("kmnist", datasets.KMNIST)],
)
def test_checksums_mirrors_and_classes_are_those_of_torchvision(name, their_set):
    ours = PUBLIC_SETS[name]
    files = {(file.name, file.md5) for files in ours.files.values() for file in files}
    assert {file for file in files if file[0].endswith(".gz")} <= set(their_set.resources)
    assert set(ours.mirrors) == set(their_set.mirrors)
    assert ours.class_names == tuple(their_set.classes) or name == "mnist"


def test_files_of_qmnist_are_those_of_torchvision():
    (mirror,) = PUBLIC_SETS["qmnist"].mirrors
    for split, files in PUBLIC_SETS["qmnist"].files.items():
        assert [(mirror + file.name, file.md5) for file in files] == datasets.QMNIST.resources[split]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_every_set_is_fetched_and_read(mirror, name, split):
    found = load_dataset(name, split)
    assert found.name == f"{name}/{split}" and found.class_names == PUBLIC_SETS[name].class_names
    assert torch.equal(found.images, IMAGES) and found.labels.tolist() == [7, 2, 1]


def test_a_damaged_npz_file_is_fetched_again(mirror, home):
    load_dataset("kmnist", "test")
    path = home / "data" / "kmnist" / "kmnist-test-imgs.npz"
    path.write_bytes(path.read_bytes()[:-20])
    assert torch.equal(load_dataset("kmnist", "test").images, IMAGES)


def test_where_training_images_cannot_be_had(command, home, no_network):
    code, _, error = command("train", "linear", "--dataset", "fashion_mnist")
    assert code == 2 and len(error.splitlines()) == 2
    assert "data/fashion_mnist/train-images-idx3-ubyte.gz is missing" in error and "MNIST_STUDY_MIRROR" in error
    assert not list((home / "runs").glob("*"))


def npy(descr="'|u1'", shape="(2,)", content=b"ab", fortran="False"):
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy(shape="(2147483648, 784)"), "claims the size"),
        (npy(shape="(3,)"), "length"),
        (npy(content=b"abc"), "length"),
        (npy(descr="'<f8'"), "float64 values"),
        (npy(descr="'|O'"), "object values"),
        (npy(fortran="True"), "row by row"),
        (b"no array", "no whole npz file"),
        (None, "no whole npz file"),
    ],
)
def test_bad_npz_is_refused_before_memory_is_taken(tmp_path, content, reason):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.npy" if content is None else "arr_0.npy", content or b"")
    with pytest.raises(DamagedFile, match=reason):
        read_npz(path)


def test_npz_round_trip_and_what_is_no_archive(tmp_path):
    write_npz(tmp_path / "x.npz", IMAGES)
    assert torch.equal(read_npz(tmp_path / "x.npz"), IMAGES)
    (tmp_path / "x.npz").write_bytes(b"<html>404</html>")
    with pytest.raises(DamagedFile, match="no whole npz file"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("values", [torch.tensor([3, 10]).byte(), torch.tensor([[-1, 0]]).int(), IMAGES])
def test_what_are_no_labels(values):
    with pytest.raises(DamagedFile, match="labels from 0 to 9"):
        as_labels(values)


@pytest.mark.parametrize("values", [LABELS, IMAGES[:, 1:], IMAGES.int()])
def test_what_are_no_images(values):
    with pytest.raises(DamagedFile, match="expected"):
        as_images(values)


def test_writers_are_read_from_the_same_table(mirror, monkeypatch):
    monkeypatch.setattr(writers, "NUM_MNIST_DIGITS", {"train": 3, "test": 2})
    found = mnist_writers()
    assert found["train"].tolist() == [900, 901, 900] and found["test"].tolist() == [900, 901]


def test_no_writers_without_their_labels(monkeypatch, mirror):
    monkeypatch.delenv("MNIST_STUDY_MIRROR")
    public_mirror = f"{(mirror / 'qmnist_labels').as_uri()}/"  # has them, but must not be asked
    monkeypatch.setitem(PUBLIC_SETS, "qmnist", replace(PUBLIC_SETS["qmnist"], mirrors=[public_mirror]))
    assert mnist_writers() is None


@pytest.mark.real_mnist
@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_real_test_images_are_a_thousand_of_each_class(real_mirror, no_network, name):
    try:
        found = load_dataset(name, "test")
    except UserError:
        pytest.skip(f"the mirror has no {name}")
    assert found.images.shape == (10_000, 28, 28) and found.labels.bincount().tolist() == [1000] * 10


@pytest.mark.real_mnist
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_real_labels_of_qmnist_begin_with_those_of_mnist(real_mirror, split, count):
    _, labels_file = PUBLIC_SETS["qmnist"].files[split]
    try:
        table = read_public_file(labels_file, mirrors=[])
    except UserError:
        pytest.skip("the mirror has no QMNIST labels")
    assert len(table) == 60_000
    assert torch.equal(as_labels(table)[:count], load_dataset("mnist", split).labels)
