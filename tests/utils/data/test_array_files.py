"""idx, npy and npz files: exact round trips, and invalid files are refused."""

import gzip
import zipfile

import numpy as np
import pytest
import torch
from helpers import write_idx

from utils.data.array_files import DamagedFile, as_images, as_labels, read_idx, read_npz

IMAGES = torch.arange(3 * 784).reshape(3, 28, 28).to(torch.uint8)


@pytest.mark.parametrize("values", [torch.arange(140).reshape(5, 4, 7).byte(), torch.tensor([[1, -(2**31)]]).int()])
def test_idx_round_trip(tmp_path, values):
    write_idx(tmp_path / "x.gz", values)
    assert torch.equal(read_idx(tmp_path / "x.gz"), values)


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
def test_an_invalid_idx_file_is_refused(tmp_path, content, reason):
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DamagedFile, match=reason):
        read_idx(tmp_path / "x.gz")


def npy(descr="'|u1'", shape="(2,)", content=b"ab"):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy(shape="(2147483648, 784)"), "its length does not fit its header"),
        (npy(shape="(3,)"), "its length does not fit its header"),
        (npy(content=b"abc"), "its length does not fit its header"),
        (npy(descr="'<f2'", shape="(1,)"), "float16 values"),
        (npy(descr="'<i2'", shape="(1,)"), "int16 values, expected uint8"),
        (npy(descr="'|O'"), "object values"),
        (b"no array", "not an npy file"),
        (None, "not a complete npz file"),
    ],
)
def test_an_invalid_npz_file_is_refused(tmp_path, content, reason):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.npy" if content is None else "arr_0.npy", content or b"")
    with pytest.raises(DamagedFile, match=reason):
        read_npz(path)


def test_npz_round_trip(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", IMAGES.numpy())
    assert torch.equal(read_npz(tmp_path / "x.npz"), IMAGES)


def test_a_file_that_is_not_a_zip_archive_is_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"<html>404</html>")
    with pytest.raises(DamagedFile, match="not a complete npz file"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("values", [torch.tensor([3, 10]).byte(), torch.tensor([[-1, 0]]).int(), IMAGES])
def test_values_that_are_not_labels_are_refused(values):
    with pytest.raises(DamagedFile, match="labels from 0 to 9"):
        as_labels(values)


@pytest.mark.parametrize("values", [torch.zeros(3).byte(), IMAGES[:, 1:], IMAGES.int()])
def test_values_that_are_not_images_are_refused(values):
    with pytest.raises(DamagedFile, match="expected"):
        as_images(values)
