"""All data sets: `load_dataset(name, split)` returns an `ImageSet`. To add a data set, add an entry to `DATASETS`.

Every image is 28 x 28, bright on dark. A download is verified by its published checksums. At every reading the checksum
of the file's format, its header, its length and its labels are verified, and of a zip file also its sha256.
"""

import bz2
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.data.array_files import as_images, as_labels, read_idx, read_npz
from utils.data.csv_digits import CSV_FORM, TEST_FRACTION, CsvName, csv_digits
from utils.data.digit_preprocessing import to_mnist_form
from utils.data.downloads import DataFile, available_files, read_file, sha256_of, torchvision_dataset
from utils.data.splits import DIGIT_NAMES, ImageSet, stratified_sample, stratified_split, writer_split
from utils.data.writers import mnist_writers
from utils.errors import UserError, printable
from utils.outside import DamagedFile, open_regular, read_bounded

Split = Literal["train", "test"]
MAX_USPS_BYTES = 2**26
WRITER_COLUMN = 2  # of QMNIST's table of labels
Files = tuple[DataFile, ...]


@dataclass(frozen=True)
class Dataset:
    """An entry of the registry: what the data set is, and how to read it."""

    description: str
    load: Callable[[str, str], ImageSet]
    """Reads the images of a split: load(name, split)."""
    files: dict[str, Sequence[Files]] = field(default_factory=dict)
    """The files of each split: one tuple for each form in which the data set is published, see `available_files`."""
    read_class_names: Callable[[], Sequence[str]] = lambda: DIGIT_NAMES


def load_dataset(name: str, split: str) -> ImageSet:
    """The `train` or `test` split of a data set: a name in `DATASETS`, or `csv:FILE[,FILE...][,test=FILE or fraction]`.

    Raises UserError for an unknown name or split, and for a file that is missing, damaged or in another format.
    """
    check_dataset_name(name)
    if split not in get_args(Split):
        raise UserError(f"unknown split '{split}': expected {' or '.join(get_args(Split))}")
    return DATASETS[name.split(":")[0]].load(name, split)


def load_training_sets(
    name: str, validation_size: float, train_size: float = 1.0, validation: str = "writers"
) -> tuple[ImageSet, ImageSet]:
    """The training and the validation set: always the same images for the same arguments.

    `validation_size` is a fraction of the training images if below 1, else a count; `train_size` is a fraction of the
    remaining images if at most 1, else a count. With `validation="writers"` the validation images are by other writers
    if the data set knows its writers, else at random as with "random". Raises UserError as `load_dataset` does, and for
    impossible sizes.
    """
    whole = load_dataset(name, "train")
    names = (f"{name}/train", f"{name}/validation")
    advice = "Choose another --validation-size (a count, or a fraction below 1)."
    split = writer_split if validation == "writers" and whole.writers is not None else stratified_split
    train_set, validation_set = split(whole, validation_size, names, advice=advice)
    return stratified_sample(train_set, train_size), validation_set


def dataset_names() -> list[str]:
    """The names that `load_dataset` accepts, apart from CSV files."""
    return [name for name in DATASETS if name != "csv"]


def check_dataset_name(name: str) -> None:
    """Raises UserError for an unknown data set, without looking for its files."""
    if name not in dataset_names() and not name.startswith("csv:"):
        raise UserError(f"unknown data set '{name}': expected {', '.join(dataset_names())} or {CSV_FORM}")


def class_names(name: str) -> tuple[str, ...]:
    """The names of the classes of a data set, without its files. Raises UserError for an unknown data set."""
    check_dataset_name(name)
    return tuple(DATASETS[name.split(":")[0]].read_class_names())


def num_classes(name: str) -> int:
    """The number of classes of a data set. Raises UserError for an unknown data set."""
    return len(class_names(name))


# Readers of the formats.


def _load_pair(name: str, split: str, first_label: int = 0) -> ImageSet:
    """A file of images and a file of labels. The labels in the file begin with `first_label`."""
    names = class_names(name)
    images_file, labels_file = available_files(*DATASETS[name].files[split])
    images = read_file(images_file, lambda path: as_images(_read_array(path, images_file)))

    def read_labels(path: Path) -> Int64[Tensor, " n"]:
        labels = as_labels(_read_array(path, labels_file), range(first_label, first_label + len(names)))
        if len(labels) != len(images):
            raise DamagedFile(f"it holds {len(labels):,} labels for {len(images):,} images")
        return labels - first_label

    return ImageSet(f"{name}/{split}", images, read_file(labels_file, read_labels), names)


def _load_mnist(name: str, split: str) -> ImageSet:
    digits = _load_pair(name, split)
    writers = torch.tensor(mnist_writers(split))
    return replace(digits, writers=writers) if len(writers) == len(digits) else digits


def _load_qmnist(name: str, split: str) -> ImageSet:
    _, labels_file = available_files(*DATASETS[name].files[split])
    table = read_file(labels_file, read_idx)
    return replace(_load_pair(name, split), writers=table[:, WRITER_COLUMN].long())


def _load_emnist(name: str, split: str, first_label: int = 0) -> ImageSet:
    whole = _load_pair(name, split, first_label)
    return replace(whole, images=whole.images.transpose(1, 2).contiguous())  # the file has columns as rows


def _read_array(path: Path, file: DataFile) -> Tensor:
    """The array in an npz or idx file, or in an idx file inside a zip file with the published checksum."""
    if not file.member:
        return read_npz(path) if path.suffix == ".npz" else read_idx(path)
    if sha256_of(path) != file.sha256:
        raise DamagedFile("its checksum is wrong")
    with open_regular(path) as opened, zipfile.ZipFile(opened) as archive, archive.open(file.member) as member:
        return read_idx(member)  # type: ignore[arg-type]  # it is a BufferedIOBase


def _load_usps(name: str, split: str) -> ImageSet:
    """Text with a label and 16 x 16 values from -1 to 1 in each row: columns of digits from 0, or pairs of index and
    value (libsvm) with the label 1 for the digit 0."""
    (file,) = available_files(*DATASETS[name].files[split])
    labels, values = read_file(file, _read_usps)
    originals = ((values.reshape(-1, 16, 16) + 1) * 127.5).round().astype(np.uint8)
    return ImageSet(f"{name}/{split}", _in_mnist_form(originals), torch.from_numpy(labels.astype(np.int64)))


def _read_usps(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_svmlight_file  # takes half a second to import

    zipped = io.BytesIO(read_bounded(path, MAX_USPS_BYTES))
    try:
        if path.suffix == ".bz2":
            text = bz2.BZ2File(zipped).read(MAX_USPS_BYTES)
            values, labels = load_svmlight_file(io.BytesIO(text), n_features=256, dtype=np.float32)
            return _checked_usps(labels - 1, values.toarray())
        text = gzip.GzipFile(fileobj=zipped).read(MAX_USPS_BYTES)
        table = pd.read_csv(io.BytesIO(text), sep=r"\s+", header=None, dtype=np.float32).to_numpy()
        return _checked_usps(table[:, 0], table[:, 1:])
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"it does not hold rows of 256 numbers: {error}") from None


def _checked_usps(labels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raises ValueError for other values than digits and 256 grey values from -1 to 1 in each row."""
    if values.shape[1:] != (256,) or not (np.abs(values) <= 1).all() or not np.isin(labels, range(10)).all():
        raise ValueError("expected a digit and 256 values from -1 to 1 in each row")
    return labels, values


def _load_bundled(name: str, split: str) -> ImageSet:
    """The digits in scikit-learn: 8 x 8 values from 0 to 16, without a test split."""
    from sklearn.datasets import load_digits  # takes half a second to import

    digits = load_digits()
    originals = (digits.images * (255 / 16)).round().astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    return _part_of(ImageSet(name, _in_mnist_form(originals), labels), split, TEST_FRACTION)


def _load_csv(name: str, split: str) -> ImageSet:
    files = CsvName.parse(name)
    if not files.test_files:
        return _part_of(ImageSet(printable(name), *csv_digits(files.train_files)), split, files.test_fraction)
    chosen = files.train_files if split == "train" else files.test_files
    return ImageSet(f"{printable(name)}/{split}", *csv_digits(chosen))


def _in_mnist_form(originals: Iterable[np.ndarray]) -> UInt8[Tensor, "n 28 28"]:
    return torch.from_numpy(np.stack([to_mnist_form(original) for original in originals]))


def _part_of(whole: ImageSet, split: str, test_fraction: float) -> ImageSet:
    """A split of a set without its own test split."""
    names = (f"{whole.name}/train", f"{whole.name}/test")
    advice = f"The test set is {test_fraction:.0%} of all digits: add digits, or name another fraction by test=."
    train, test = stratified_split(whole, test_fraction, names, advice=advice)
    return train if split == "train" else test


# The registry. URLs, md5 and class names come from torchvision, sha256 from TensorFlow Datasets and our own copies.
# Without: the images of QMNIST and libsvm's USPS.

SHA256 = {
    "mnist/train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "mnist/train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "mnist/t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "mnist/t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "fashion_mnist/train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "fashion_mnist/train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "fashion_mnist/t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "fashion_mnist/t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    "kmnist/train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    "kmnist/train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    "kmnist/t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    "kmnist/t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    "kmnist/kmnist-test-imgs.npz": "692d824896bec8f3c357ebf7a0fe904ed67ac632ce953d0b58f7fbef7bb27d87",
    "kmnist/kmnist-test-labels.npz": "660f13a4705431ea2a6391c41ecbe384cd0d932c595a101ec4f3b8989e785046",
    "qmnist_labels/qmnist-train-labels-idx2-int.gz": "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
    "qmnist_labels/qmnist-test-labels-idx2-int.gz": "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
    "emnist/gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    "usps/zip.train.gz": "66ebf231ab51f2cf6ac1a892d0f98ccffee1079d7a5db638c1f11f366046ca16",
    "usps/zip.test.gz": "157928669fe902de2c31ac9e0000e13fc6dc67c6fc84c62c5af2500b4e0ebe25",
}


def _file(folder: str, name: str, torchvision: str = "", md5: str | None = None, member: str = "") -> DataFile:
    return DataFile(folder, name, torchvision, md5=md5, sha256=SHA256.get(f"{folder}/{name}"), member=member)


def _pair(folder: str, prefix: str, torchvision: str = "") -> Files:
    """Images and labels under the usual file names of gzipped idx files."""
    return tuple(_file(folder, f"{prefix}-{part}-ubyte.gz", torchvision) for part in ("images-idx3", "labels-idx1"))


def _emnist(part: str) -> dict[str, Sequence[Files]]:
    """A part of EMNIST: files in a folder of its own, or members of the zip file of all parts."""
    pairs = {split: _pair(f"emnist_{part}", f"emnist-{part}-{split}") for split in get_args(Split)}
    return {
        split: [pair, tuple(_file("emnist", "gzip.zip", "EMNIST", member=f"gzip/{file.name}") for file in pair)]
        for split, pair in pairs.items()
    }


def _qmnist(split: str) -> Files:
    return (
        _file("qmnist", f"qmnist-{split}-images-idx3-ubyte.gz", "QMNIST"),
        _file("qmnist_labels", f"qmnist-{split}-labels-idx2-int.gz", "QMNIST"),
    )


DATASETS = {
    "mnist": Dataset(
        "60,000 + 10,000 digits (LeCun, Cortes and Burges 1998)",
        _load_mnist,
        {"train": [_pair("mnist", "train", "MNIST")], "test": [_pair("mnist", "t10k", "MNIST")]},
    ),
    "fashion_mnist": Dataset(
        "60,000 + 10,000 images of clothing (Xiao, Rasul and Vollgraf 2017)",
        _load_pair,
        {
            "train": [_pair("fashion_mnist", "train", "FashionMNIST")],
            "test": [_pair("fashion_mnist", "t10k", "FashionMNIST")],
        },
        lambda: torchvision_dataset("FashionMNIST").classes,
    ),
    "kmnist": Dataset(
        "60,000 + 10,000 hiragana in cursive script (Clanuwat et al. 2018)",
        _load_pair,
        {
            "train": [_pair("kmnist", "train", "KMNIST")],
            # The authors also publish npz files, which torchvision does not know.
            "test": [
                _pair("kmnist", "t10k", "KMNIST"),
                (
                    _file("kmnist", "kmnist-test-imgs.npz", md5="dace6de62ca8b90843cc45366337d02e"),
                    _file("kmnist", "kmnist-test-labels.npz", md5="3ae489a79983d0fe386152684e3b5412"),
                ),
            ],
        },
        lambda: torchvision_dataset("KMNIST").classes,
    ),
    "qmnist": Dataset(
        "MNIST reconstructed from its source, with all of its 60,000 test digits (Yadav and Bottou 2019)",
        _load_qmnist,
        {split: [_qmnist(split)] for split in get_args(Split)},
    ),
    "emnist_digits": Dataset(
        "240,000 + 40,000 digits from the archive that MNIST comes from (Cohen et al. 2017)",
        _load_emnist,
        _emnist("digits"),
    ),
    "emnist_letters": Dataset(
        "124,800 + 20,800 letters in 26 classes, each of upper and lower case (Cohen et al. 2017)",
        partial(_load_emnist, first_label=1),
        _emnist("letters"),
        lambda: torchvision_dataset("EMNIST").classes_split_dict["letters"][1:],  # the first is N/A
    ),
    "usps": Dataset(
        "7,291 + 2,007 digits from envelopes of the US Postal Service, brought to MNIST's form (LeCun et al. 1990)",
        _load_usps,
        {
            "train": [
                (_file("usps", "zip.train.gz", md5="206835541ea704bcfb4b6eea872678bf"),),
                (_file("usps", "usps.bz2", "USPS"),),
            ],
            "test": [
                (_file("usps", "zip.test.gz", md5="6562929fa4aa7a165f7229d5f7598658"),),
                (_file("usps", "usps.t.bz2", "USPS"),),
            ],
        },
    ),
    "digits": Dataset(
        "1,797 digits, a fifth of them for testing, brought to MNIST's form (Alpaydin and Kaynak, UCI, 1998)",
        _load_bundled,
    ),
    "csv": Dataset("rows of a label and 784 pixel values; without test=, a fixed fifth is for testing", _load_csv),
}
