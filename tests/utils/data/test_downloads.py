"""Files of MNIST are downloaded once, verified at each reading, downloaded again if damaged, or refused."""

import pytest
import torch
from helpers import write_idx

from utils.data import load_dataset
from utils.errors import UserError

IMAGES = "t10k-images-idx3-ubyte.gz"
LABELS = "t10k-labels-idx1-ubyte.gz"


@pytest.fixture
def small_mirror(home, monkeypatch, no_network, trust_files):
    """A mirror with a test set of three digits, whose checksums count as the published ones."""
    mirror = home / "mirror"
    write_idx(mirror / "mnist" / IMAGES, torch.arange(3 * 784).reshape(3, 28, 28).to(torch.uint8))
    write_idx(mirror / "mnist" / LABELS, torch.tensor([7, 2, 1], dtype=torch.uint8))
    trust_files(mirror, "mnist", "test")
    monkeypatch.setenv("MNIST_STUDY_MIRROR", str(mirror))
    return mirror


def test_files_are_downloaded_once(small_mirror, home):
    test = load_dataset("mnist", "test")
    assert test.labels.tolist() == [7, 2, 1]
    assert test.images[0, 0, :3].tolist() == [0, 1, 2]
    (small_mirror / "mnist" / IMAGES).unlink()
    (small_mirror / "mnist" / LABELS).unlink()
    assert len(load_dataset("mnist", "test")) == 3  # from data/ now
    assert sorted(path.name for path in (home / "data" / "mnist").iterdir()) == [IMAGES, LABELS]


def test_a_file_of_another_data_set_is_replaced(small_mirror, home):
    write_idx(home / "data" / "mnist" / LABELS, torch.zeros(5, dtype=torch.uint8))
    assert load_dataset("mnist", "test").labels.tolist() == [7, 2, 1]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip", "empty"])
def test_a_damaged_file_is_downloaded_again(small_mirror, home, damage):
    load_dataset("mnist", "test")
    path = home / "data" / "mnist" / IMAGES
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    path.write_bytes(
        {"truncated": content[:-20], "flipped": bytes(flipped), "not gzip": b"<html>404</html>", "empty": b""}[damage]
    )
    assert load_dataset("mnist", "test").labels.tolist() == [7, 2, 1]
    assert path.read_bytes() == content


def test_a_damaged_file_without_a_mirror_is_refused_with_advice(small_mirror, home, monkeypatch):
    load_dataset("mnist", "test")
    path = home / "data" / "mnist" / IMAGES
    path.write_bytes(path.read_bytes()[:-20])
    monkeypatch.delenv("MNIST_STUDY_MIRROR")
    with pytest.raises(UserError) as error:
        load_dataset("mnist", "test")
    message = str(error.value)
    assert IMAGES in message and "damaged" in message and "nowhere" in message
    assert "internet" in message and "MNIST_STUDY_MIRROR" in message and "--dataset digits" in message
    assert len(message.splitlines()) == 2


def test_a_mirror_with_a_wrong_checksum_is_refused(small_mirror, home):
    write_idx(small_mirror / "mnist" / IMAGES, torch.zeros(3, 28, 28, dtype=torch.uint8))
    with pytest.raises(UserError, match="wrong checksum"):
        load_dataset("mnist", "test")
    assert not (home / "data" / "mnist" / IMAGES).exists()


def test_a_missing_file_ends_training_before_a_run_is_created(command, home, no_network):
    code, _, error = command("train", "linear", "--dataset", "fashion_mnist")
    assert code == 2 and len(error.splitlines()) == 2
    assert "data/fashion_mnist/train-images-idx3-ubyte.gz is missing" in error and "MNIST_STUDY_MIRROR" in error
    assert not list((home / "runs").glob("*"))
