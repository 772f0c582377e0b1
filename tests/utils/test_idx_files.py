"""MNIST's files: read whole, mended from a mirror, or refused by name."""

import gzip

import pytest
import torch
from helpers import write_idx

from utils.datasets import load_dataset
from utils.errors import UserError
from utils.idx_files import DamagedFile, read_idx

IMAGES = "t10k-images-idx3-ubyte.gz"
LABELS = "t10k-labels-idx1-ubyte.gz"


@pytest.fixture
def small_mirror(home, monkeypatch, no_network, trust_files):
    """A mirror with a test set of three digits, whose checksums count as the right ones."""
    mirror = home / "mirror"
    write_idx(mirror / "mnist" / IMAGES, torch.arange(3 * 784).reshape(3, 28, 28).to(torch.uint8))
    write_idx(mirror / "mnist" / LABELS, torch.tensor([7, 2, 1], dtype=torch.uint8))
    trust_files(mirror, "mnist", "test")
    monkeypatch.setenv("MNIST_STUDY_MIRROR", str(mirror))
    return mirror


def test_whole_file_of_another_set_is_replaced(small_mirror, home):
    write_idx(home / "data" / "mnist" / LABELS, torch.zeros(5, dtype=torch.uint8))
    assert load_dataset("mnist", "test").labels.tolist() == [7, 2, 1]


@pytest.mark.parametrize("values", [torch.arange(140).reshape(5, 4, 7).byte(), torch.tensor([[1, -(2**31)]]).int()])
def test_round_trip(tmp_path, values):
    write_idx(tmp_path / "x.gz", values)
    assert torch.equal(read_idx(tmp_path / "x.gz"), values)


def test_fetched_from_mirror_and_kept(small_mirror, home):
    test = load_dataset("mnist", "test")
    assert test.labels.tolist() == [7, 2, 1]
    assert test.images[0, 0, :3].tolist() == [0, 1, 2]
    (small_mirror / "mnist" / IMAGES).unlink()
    (small_mirror / "mnist" / LABELS).unlink()
    assert len(load_dataset("mnist", "test")) == 3  # from data/ now
    assert sorted(path.name for path in (home / "data" / "mnist").iterdir()) == [IMAGES, LABELS]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip", "empty"])
def test_damaged_file_is_fetched_again(small_mirror, home, damage):
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


def test_damaged_and_no_mirror_names_file_and_ways_out(small_mirror, home, monkeypatch):
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


def test_wrong_checksum_in_mirror_is_refused(small_mirror, home):
    write_idx(small_mirror / "mnist" / IMAGES, torch.zeros(3, 28, 28, dtype=torch.uint8))
    with pytest.raises(UserError, match="wrong checksum"):
        load_dataset("mnist", "test")
    assert not (home / "data" / "mnist" / IMAGES).exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3, "claims the size"),
        (b"\0\0\x0d\x01" + b"\0\0\0\x01" + b"\0" * 4, "header"),
        (b"\0\0\x08\x01" + b"\0\0\0\x05" + b"\0" * 4, "length"),
        (b"\0\0\x08\x01" + b"\0\0\0\x05" + b"\0" * 6, "length"),
        (b"\0\0", "header"),
    ],
)
def test_bad_header_is_refused_before_memory_is_taken(tmp_path, content, reason):
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DamagedFile, match=reason):
        read_idx(tmp_path / "x.gz")


@pytest.mark.real_mnist
def test_real_mnist_is_whole(real_mirror):
    train, test = load_dataset("mnist", "train"), load_dataset("mnist", "test")
    assert train.images.shape == (60_000, 28, 28) and test.images.shape == (10_000, 28, 28)
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = train.images.float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)
