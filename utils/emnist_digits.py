"""The digits of EMNIST: 280,000 by other hands, from the same forms of the NIST as MNIST's.

Source: Cohen, Afshar, Tapson and van Schaik 2017 (arXiv 1702.05373), the balanced "digits" set. It is published only
within an archive of half a gigabyte and without checksums of its files, so nothing is fetched but from the user's own
mirror, and the files are known by their shape and count.
"""

from collections.abc import Callable

from jaxtyping import Int64, UInt8
from torch import Tensor

from utils.downloads import held_file
from utils.errors import UserError
from utils.idx_files import DamagedFile, as_images, as_labels, read_idx
from utils.paths import shown

NUM_DIGITS = {"train": 240_000, "test": 40_000}
FOLDER = "emnist_digits"


def emnist_digits(split: str) -> tuple[UInt8[Tensor, "n 28 28"], Int64[Tensor, " n"]]:
    """Images upright and labels. Raises UserError where a file is missing or damaged."""
    names = f"emnist-digits-{split}-images-idx3-ubyte.gz", f"emnist-digits-{split}-labels-idx1-ubyte.gz"
    advice = (
        f"Put {names[0]} and {names[1]}, both from https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip (half a "
        f"gigabyte), into data/{FOLDER}/, or set MNIST_STUDY_MIRROR to a folder or URL that holds them in {FOLDER}/."
    )
    images = _read(names[0], as_images, NUM_DIGITS[split], advice)
    labels = _read(names[1], as_labels, NUM_DIGITS[split], advice)
    return images.transpose(1, 2).contiguous(), labels  # each image is stored column by column


def _read(file_name: str, check: Callable[[Tensor], Tensor], count: int, advice: str) -> Tensor:
    path = held_file(FOLDER, file_name, md5=None, mirrors=[], advice=advice)
    try:
        values = check(read_idx(path))
        if len(values) != count:
            raise DamagedFile(f"it holds {len(values):,} digits, expected {count:,}")
    except DamagedFile as error:
        raise UserError(f"{shown(path)} is damaged: {error}.\nDelete it. {advice}") from None
    return values
