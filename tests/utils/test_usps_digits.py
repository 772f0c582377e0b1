"""USPS digits: their text file, brought to MNIST's form."""

import gzip
import hashlib

import numpy as np
import pytest

from utils import usps_digits
from utils.datasets import load_dataset
from utils.errors import UserError


@pytest.fixture
def file(home, monkeypatch):
    """Two digits as the file holds them: a bright bar down, and one across."""
    digits = np.full((2, 16, 16), -1.0)
    digits[0, 2:14, 7:9] = 1
    digits[1, 7:9, 2:14] = 1
    values = [" ".join(f"{value:.3f}" for value in digit.ravel()) for digit in digits]
    lines = [f"1.0000 {values[0]}", f"7.0000 {values[1]}"]
    content = gzip.compress("\n".join(lines).encode())
    path = home / "data" / "usps" / "zip.test.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setitem(usps_digits.FILES, "test", ("zip.test.gz", hashlib.md5(content).hexdigest()))
    return path


def test_the_form_is_mnists(file):
    found = load_dataset("usps", "test")
    assert found.name == "usps/test" and found.labels.tolist() == [1, 7]
    for image, shape in zip(found.images.numpy(), ((20, 3), (3, 20)), strict=True):
        rows, columns = np.nonzero(image)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == shape and image.max() == 255
        assert abs(rows.mean() - 14) < 1 and abs(columns.mean() - 14) < 1


def test_a_damaged_file_is_fetched_again_or_refused(file, monkeypatch, tmp_path):
    monkeypatch.setattr(usps_digits, "MIRRORS", [(tmp_path / "nowhere").as_uri() + "/"])
    file.write_bytes(b"damaged")
    with pytest.raises(UserError, match="its checksum is wrong"):
        load_dataset("usps", "test")


@pytest.mark.real_mnist
def test_a_network_that_never_saw_usps_reads_it(real_mirror, quick_network):
    import torch

    from utils.evaluation import predict_logits, score

    try:
        digits = load_dataset("usps", "test")
    except UserError:
        pytest.skip("the mirror has no USPS digits")
    assert len(digits) == 2007
    assert score(predict_logits(quick_network, digits.images, torch.device("cpu")), digits.labels).accuracy > 0.9
