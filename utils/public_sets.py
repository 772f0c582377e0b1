"""The data sets that are published in MNIST's form: their files, checksums, mirrors and classes in one table."""

from dataclasses import dataclass

from torch import Tensor

from utils.downloads import held_file
from utils.idx_files import as_images, as_labels, read_idx
from utils.image_set import DIGIT_NAMES, ImageSet
from utils.npz_files import read_npz


@dataclass(frozen=True)
class PublicFile:
    folder: str
    """Its folder in data/ and in MNIST_STUDY_MIRROR."""
    name: str
    md5: str


@dataclass(frozen=True)
class PublicSet:
    mirrors: list[str]
    """URLs that end in a slash."""
    files: dict[str, tuple[PublicFile, PublicFile]]
    """Images and labels, a split a key."""
    class_names: tuple[str, ...] = DIGIT_NAMES


def _idx_pair(folder: str, prefix: str, images_md5: str, labels_md5: str) -> tuple[PublicFile, PublicFile]:
    return (
        PublicFile(folder, f"{prefix}-images-idx3-ubyte.gz", images_md5),
        PublicFile(folder, f"{prefix}-labels-idx1-ubyte.gz", labels_md5),
    )


# Mirrors and checksums are torchvision's, held here because torchvision takes a second to import.
PUBLIC_SETS = {
    "mnist": PublicSet(
        ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"],
        {
            "train": _idx_pair(
                "mnist", "train", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"
            ),
            "test": _idx_pair("mnist", "t10k", "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
        },
    ),
    "fashion_mnist": PublicSet(
        ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
        {
            "train": _idx_pair(
                "fashion_mnist", "train", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"
            ),
            "test": _idx_pair(
                "fashion_mnist", "t10k", "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"
            ),
        },
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": PublicSet(
        ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
        {
            "train": _idx_pair(
                "kmnist", "train", "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"
            ),
            # Published in both formats; torchvision has no checksums of these, they were taken from verified files.
            "test": (
                PublicFile("kmnist", "kmnist-test-imgs.npz", "dace6de62ca8b90843cc45366337d02e"),
                PublicFile("kmnist", "kmnist-test-labels.npz", "3ae489a79983d0fe386152684e3b5412"),
            ),
        },
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "qmnist": PublicSet(
        ["https://raw.githubusercontent.com/facebookresearch/qmnist/master/"],
        {
            "train": (
                PublicFile("qmnist", "qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
                PublicFile("qmnist_labels", "qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4"),
            ),
            "test": (
                PublicFile("qmnist", "qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
                PublicFile("qmnist_labels", "qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa"),
            ),
        },
    ),
}


def read_public_set(name: str, split: str) -> ImageSet:
    """A split as published, fetched where it is missing. Raises UserError where a file cannot be had whole."""
    public_set = PUBLIC_SETS[name]
    images, labels = (read_public_file(file, public_set.mirrors) for file in public_set.files[split])
    return ImageSet(f"{name}/{split}", as_images(images), as_labels(labels), public_set.class_names)


def read_public_file(file: PublicFile, mirrors: list[str]) -> Tensor:
    """The array that the file holds. Raises UserError where neither data/ nor a mirror has it whole."""
    path = held_file(file.folder, file.name, file.md5, mirrors)
    return read_npz(path) if path.suffix == ".npz" else read_idx(path)
