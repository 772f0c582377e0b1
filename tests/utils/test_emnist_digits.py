"""EMNIST's digits: turned upright, known by their counts, and never fetched from afar."""

import pytest
import torch
from helpers import write_idx

from utils import emnist_digits
from utils.datasets import load_dataset
from utils.errors import UserError

IMAGES = torch.arange(2 * 784).reshape(2, 28, 28).to(torch.uint8)
IMAGES_FILE, LABELS_FILE = "emnist-digits-test-images-idx3-ubyte.gz", "emnist-digits-test-labels-idx1-ubyte.gz"


def write_files(folder, labels=(7, 2)):
    write_idx(folder / IMAGES_FILE, IMAGES.transpose(1, 2).contiguous())
    write_idx(folder / LABELS_FILE, torch.tensor(labels, dtype=torch.uint8))


@pytest.fixture(autouse=True)
def two_digits(monkeypatch):
    monkeypatch.setitem(emnist_digits.NUM_DIGITS, "test", 2)


def test_images_stand_upright(home):
    write_files(home / "data" / "emnist_digits")
    found = load_dataset("emnist_digits", "test")
    assert found.name == "emnist_digits/test" and found.labels.tolist() == [7, 2]
    assert torch.equal(found.images, IMAGES) and found.images.is_contiguous()


def test_the_users_mirror_is_asked(home, monkeypatch):
    write_files(home / "mirror" / "emnist_digits")
    monkeypatch.setenv("MNIST_STUDY_MIRROR", str(home / "mirror"))
    assert len(load_dataset("emnist_digits", "test")) == 2
    assert (home / "data" / "emnist_digits" / IMAGES_FILE).exists()


def test_missing_files_say_whence_and_where_to():
    with pytest.raises(UserError) as error:
        load_dataset("emnist_digits", "test")
    state, advice = str(error.value).splitlines()
    assert IMAGES_FILE in state and "is missing" in state
    assert all(part in advice for part in (IMAGES_FILE, LABELS_FILE, "gzip.zip", "data/emnist_digits/", "MNIST_STUDY"))


@pytest.mark.parametrize("damage", ["count", "label", "truncated", "no gzip"])
def test_damaged_files_are_named(home, damage):
    folder = home / "data" / "emnist_digits"
    write_files(folder, {"count": (7, 2, 1), "label": (7, 10)}.get(damage, (7, 2)))
    path = folder / LABELS_FILE
    if damage in ("truncated", "no gzip"):
        path.write_bytes(path.read_bytes()[:-4] if damage == "truncated" else b"<html>")
    with pytest.raises(UserError, match=f"{LABELS_FILE} is damaged: .*\nDelete it. Put"):
        load_dataset("emnist_digits", "test")
