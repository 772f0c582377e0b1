"""All data sets: `load_dataset(name, split)` returns an `ImageSet`. To add a data set, add an entry to `DATASETS`.

Every image is 28 x 28, bright on dark. Downloaded files are verified by their checksums every time they are read.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from sklearn.datasets import load_digits
from torch import Tensor

from utils.data.array_files import DamagedFile, as_images, as_labels, read_idx, read_npz
from utils.data.csv_digits import CSV_FORM, TEST_FRACTION, CsvName, csv_digits
from utils.data.digit_preprocessing import to_mnist_form
from utils.data.downloads import DataFile, local_file
from utils.data.splits import DIGIT_NAMES, ImageSet, stratified_sample, stratified_split
from utils.errors import UserError
from utils.files import shown

Split = Literal["train", "test"]
Images = UInt8[Tensor, "n 28 28"]
Labels = Int64[Tensor, " n"]


@dataclass(frozen=True)
class Dataset:
    """An entry of the registry: what the data set is, and how to read it."""

    description: str
    load: Callable[[str, str], ImageSet]
    """Reads the images of a split: load(name, split)."""
    class_names: tuple[str, ...] = DIGIT_NAMES
    files: dict[str, tuple[DataFile, ...]] = field(default_factory=dict)
    """The files of each split."""
    mirrors: tuple[str, ...] = ()
    """URLs that end in a slash, tried in order after MNIST_STUDY_MIRROR."""
    num_images: dict[str, int] = field(default_factory=dict)
    """Images in each split, to verify files that have no published checksum."""
    advice: str = ""
    """What to do if a file is missing, where it cannot be downloaded."""


def load_dataset(name: str, split: str) -> ImageSet:
    """The `train` or `test` split of a data set: a name in `DATASETS`, or `csv:FILE[,FILE...][,test=FILE or fraction]`.

    Raises UserError for an unknown name or split, and for a file that is missing, damaged or in another format.
    """
    check_dataset_name(name)
    if split not in get_args(Split):
        raise UserError(f"unknown split '{split}': expected {' or '.join(get_args(Split))}")
    return DATASETS[name.split(":")[0]].load(name, split)


def load_training_sets(name: str, validation_size: float, train_size: float = 1.0) -> tuple[ImageSet, ImageSet]:
    """The training and the validation set: always the same images for the same arguments.

    `validation_size` is a fraction of the training images if below 1, else a count; `train_size` is a fraction of the
    remaining images if at most 1, else a count. Raises UserError as `load_dataset` does, and for impossible sizes.
    """
    whole = load_dataset(name, "train")
    names = (f"{name}/train", f"{name}/validation")
    advice = "Choose another --validation-size (a count, or a fraction below 1)."
    train_set, validation_set = stratified_split(whole, validation_size, names, advice=advice)
    return stratified_sample(train_set, train_size), validation_set


def dataset_names() -> list[str]:
    """The names that `load_dataset` accepts, apart from CSV files."""
    return [name for name in DATASETS if name != "csv"]


def check_dataset_name(name: str) -> None:
    """Raises UserError for an unknown data set, without looking for its files."""
    if name not in dataset_names() and not name.startswith("csv:"):
        raise UserError(f"unknown data set '{name}': expected {', '.join(dataset_names())} or {CSV_FORM}")


# Readers of the formats.


def _load_pair(name: str, split: str) -> ImageSet:
    """A file of images and a file of labels, each in idx or npz format."""
    images, labels = _read_pair(name, split)
    return ImageSet(f"{name}/{split}", images, labels, DATASETS[name].class_names)


def _load_emnist(name: str, split: str) -> ImageSet:
    images, labels = _read_pair(name, split)
    return ImageSet(f"{name}/{split}", images.transpose(1, 2).contiguous(), labels)  # the file has columns as rows


def _read_pair(name: str, split: str) -> tuple[Images, Labels]:
    dataset = DATASETS[name]
    images_file, labels_file = dataset.files[split]
    num_images = dataset.num_images.get(split)
    images = _read_array(images_file, as_images, num_images, dataset)
    return images, _read_array(labels_file, as_labels, num_images, dataset)


def _read_array(file: DataFile, check: Callable[[Tensor], Tensor], length: int | None, dataset: Dataset) -> Tensor:
    path = local_file(file, dataset.mirrors, dataset.advice)
    try:
        values = check(read_npz(path) if path.suffix == ".npz" else read_idx(path))
        if length is not None and len(values) != length:
            raise DamagedFile(f"it holds {len(values):,} digits, expected {length:,}")
    except DamagedFile as error:
        raise UserError(f"{shown(path)} is damaged: {error}.\nDelete it. {dataset.advice}".rstrip()) from None
    return values


def _load_usps(name: str, split: str) -> ImageSet:
    """A text file: in each row a label and 16 x 16 values from -1 to 1."""
    (file,) = DATASETS[name].files[split]
    path = local_file(file, DATASETS[name].mirrors)
    values = pd.read_csv(path, sep=r"\s+", header=None, dtype=np.float32).to_numpy()
    originals = ((values[:, 1:].reshape(-1, 16, 16) + 1) * 127.5).round().astype(np.uint8)
    return ImageSet(f"{name}/{split}", _in_mnist_form(originals), torch.from_numpy(values[:, 0].astype(np.int64)))


def _load_bundled(name: str, split: str) -> ImageSet:
    """The digits in scikit-learn: 8 x 8 values from 0 to 16, without a test split."""
    digits = load_digits()
    originals = (digits.images * (255 / 16)).round().astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    return _part_of(ImageSet(name, _in_mnist_form(originals), labels), split, TEST_FRACTION)


def _load_csv(name: str, split: str) -> ImageSet:
    files = CsvName.parse(name)
    if not files.test_files:
        return _part_of(ImageSet(name, *csv_digits(files.train_files)), split, files.test_fraction)
    return ImageSet(f"{name}/{split}", *csv_digits(files.train_files if split == "train" else files.test_files))


def _in_mnist_form(originals: Iterable[np.ndarray]) -> Images:
    return torch.from_numpy(np.stack([to_mnist_form(original) for original in originals]))


def _part_of(whole: ImageSet, split: str, test_fraction: float) -> ImageSet:
    """A split of a set without its own test split."""
    names = (f"{whole.name}/train", f"{whole.name}/test")
    advice = f"The test set is {test_fraction:.0%} of all digits: add digits, or name another fraction by test=."
    train, test = stratified_split(whole, test_fraction, names, advice=advice)
    return train if split == "train" else test


# The registry. Checksums and mirrors equal those of torchvision, which takes a second to import.


def _pair(folder: str, prefix: str, images_md5: str | None, labels_md5: str | None) -> tuple[DataFile, DataFile]:
    """Images and labels under the usual file names of gzipped idx files."""
    return (
        DataFile(folder, f"{prefix}-images-idx3-ubyte.gz", images_md5),
        DataFile(folder, f"{prefix}-labels-idx1-ubyte.gz", labels_md5),
    )


DATASETS = {
    "mnist": Dataset(
        "60,000 + 10,000 digits (LeCun, Cortes and Burges 1998)",
        _load_pair,
        files={
            "train": _pair("mnist", "train", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"),
            "test": _pair("mnist", "t10k", "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
        },
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    ),
    "fashion_mnist": Dataset(
        "60,000 + 10,000 images of clothing (Xiao, Rasul and Vollgraf 2017)",
        _load_pair,
        class_names=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        files={
            "train": _pair(
                "fashion_mnist", "train", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"
            ),
            "test": _pair(
                "fashion_mnist", "t10k", "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"
            ),
        },
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
    "kmnist": Dataset(
        "60,000 + 10,000 hiragana in cursive script (Clanuwat et al. 2018)",
        _load_pair,
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        files={
            "train": _pair("kmnist", "train", "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"),
            # Published as idx and as npz. torchvision has no checksums of the npz files: these are of verified files.
            "test": (
                DataFile("kmnist", "kmnist-test-imgs.npz", "dace6de62ca8b90843cc45366337d02e"),
                DataFile("kmnist", "kmnist-test-labels.npz", "3ae489a79983d0fe386152684e3b5412"),
            ),
        },
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ),
    "qmnist": Dataset(
        "MNIST reconstructed from its source, with all of its 60,000 test digits (Yadav and Bottou 2019)",
        _load_pair,
        files={
            "train": (
                DataFile("qmnist", "qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
                DataFile("qmnist_labels", "qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4"),
            ),
            "test": (
                DataFile("qmnist", "qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
                DataFile("qmnist_labels", "qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa"),
            ),
        },
        mirrors=("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
    ),
    "emnist_digits": Dataset(
        "240,000 + 40,000 digits from the archive that MNIST comes from (Cohen et al. 2017)",
        _load_emnist,
        files={split: _pair("emnist_digits", f"emnist-digits-{split}", None, None) for split in ("train", "test")},
        num_images={"train": 240_000, "test": 40_000},
        advice=(
            "Put emnist-digits-{train,test}-{images-idx3,labels-idx1}-ubyte.gz, from "
            "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip (half a gigabyte), into data/emnist_digits/, or set "
            "MNIST_STUDY_MIRROR to a folder or URL that holds them in emnist_digits/."
        ),
    ),
    "usps": Dataset(
        "7,291 + 2,007 digits from envelopes of the US Postal Service, brought to MNIST's form (LeCun et al. 1990)",
        _load_usps,
        files={
            "train": (DataFile("usps", "zip.train.gz", "206835541ea704bcfb4b6eea872678bf"),),
            "test": (DataFile("usps", "zip.test.gz", "6562929fa4aa7a165f7229d5f7598658"),),
        },
        mirrors=("https://hastie.su.domains/ElemStatLearn/datasets/",),
    ),
    "digits": Dataset(
        "1,797 digits, a fifth of them for testing, brought to MNIST's form (Alpaydin and Kaynak, UCI, 1998)",
        _load_bundled,
    ),
    "csv": Dataset("rows of a label and 784 pixel values; without test=, a fixed fifth is for testing", _load_csv),
}  # fmt: skip


# The writers of MNIST's digits, from the labels of QMNIST.

NUM_MNIST_DIGITS = {"train": 60_000, "test": 10_000}  # QMNIST begins with MNIST's digits, in the same order
WRITER_COLUMN = 2


def mnist_writers() -> dict[str, Int64[np.ndarray, " n"]] | None:
    """The writer of each MNIST digit for each split. None if neither data/ nor MNIST_STUDY_MIRROR has the labels.

    The public mirrors are not tried: the writers are optional, and a download would delay the command.
    """
    try:
        return {split: _read_writers(split, count) for split, count in NUM_MNIST_DIGITS.items()}
    except UserError:
        return None


def _read_writers(split: str, count: int) -> Int64[np.ndarray, " n"]:
    _, labels_file = DATASETS["qmnist"].files[split]
    table = read_idx(local_file(labels_file))
    return table[:count, WRITER_COLUMN].long().numpy()
