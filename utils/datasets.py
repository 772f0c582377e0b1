"""One way in for every data set: `load_dataset(name, split)` gives an ImageSet."""

from typing import Literal, get_args

from utils.bundled_digits import bundled_digits
from utils.csv_digits import csv_digits
from utils.csv_name import FORM, TEST_SHARE, CsvName
from utils.emnist_digits import emnist_digits
from utils.errors import UserError
from utils.image_set import ImageSet
from utils.public_sets import PUBLIC_SETS, read_public_set
from utils.splits import stratified_sample, stratified_split
from utils.usps_digits import usps_digits

Split = Literal["train", "test"]
NAMES = (*PUBLIC_SETS, "emnist_digits", "usps", "digits")


def load_dataset(name: str, split: str) -> ImageSet:
    """The split, `train` or `test`, of a data set.

    `mnist`: the 60,000 and 10,000 digits of LeCun, Cortes and Burges, fetched and verified where they are missing.
    `fashion_mnist`: 60,000 and 10,000 pieces of clothing (Xiao, Rasul and Vollgraf 2017).
    `kmnist`: 60,000 and 10,000 hiragana in cursive script (Clanuwat et al. 2018).
    `qmnist`: MNIST made anew from its source, with all of its 60,000 test digits (Yadav and Bottou 2019).
    `emnist_digits`: 240,000 and 40,000 digits of EMNIST; its files have to be put into data/ by hand.
    `usps`: the 7,291 and 2,007 postal digits of The Elements of Statistical Learning, brought to MNIST's form.
    `digits`: the 1,797 digits that scikit-learn carries, brought to MNIST's form; needs no network.
    `csv:FILE[,FILE...][,test=FILE]`: rows of a label and 784 pixels; without `test=`, a fixed fifth is the test set,
    with `test=0.05` that share.

    Raises UserError for an unknown name, and for a file that is missing, damaged or of another form.
    """
    check_name(name)
    if split not in get_args(Split):
        raise UserError(f"unknown split '{split}': expected {' or '.join(get_args(Split))}")
    if name in PUBLIC_SETS:
        return read_public_set(name, split)
    if name == "emnist_digits":
        return ImageSet(f"{name}/{split}", *emnist_digits(split))
    if name == "usps":
        return ImageSet(f"{name}/{split}", *usps_digits(split))
    if name == "digits":
        return _fixed_share(ImageSet(name, *bundled_digits()), split, TEST_SHARE)
    return _load_csv(name, split)


def check_name(name: str) -> None:
    """Raises UserError where no data set is called so, without looking for its files."""
    if name not in NAMES and not name.startswith("csv:"):
        raise UserError(f"unknown data set '{name}': expected {', '.join(NAMES)} or {FORM}")


def _load_csv(name: str, split: str) -> ImageSet:
    files = CsvName.parse(name)
    if not files.test_files:
        return _fixed_share(ImageSet(name, *csv_digits(files.train_files)), split, files.test_share)
    return ImageSet(f"{name}/{split}", *csv_digits(files.train_files if split == "train" else files.test_files))


def _fixed_share(whole: ImageSet, split: str, share: float) -> ImageSet:
    """A split of digits that have no test set of their own."""
    names = (f"{whole.name}/train", f"{whole.name}/test")
    advice = f"They would be the test set, {share:.0%} of all: more digits are needed, or another test=SHARE."
    train, test = stratified_split(whole, share, names, advice=advice)
    return train if split == "train" else test


def load_training_sets(name: str, validation_size: float, train_size: float = 1.0) -> tuple[ImageSet, ImageSet]:
    """The training digits of a data set without those held out for validation, and these.

    `validation_size` is a count, or below 1 a share; `train_size` a count of those not held out, or up to 1 a share,
    always the same digits. Raises UserError as `load_dataset`, and for a size too large.
    """
    whole = load_dataset(name, "train")
    names = (f"{name}/train", f"{name}/validation")
    advice = "Choose another --validation-size (a count, or a share below 1)."
    train_set, validation_set = stratified_split(whole, validation_size, names, advice=advice)
    return stratified_sample(train_set, train_size), validation_set
