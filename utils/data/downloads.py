"""Files of data sets in data/: downloaded if missing, verified by their checksums, written atomically.

URLs and md5 of public data sets come from torchvision. It takes a second to import, so it is imported only when a file
is missing. URLs with https are tried first. A download must also have the sha256 of the registry, if that has one.
"""

import functools
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from utils.errors import UserError
from utils.files import data_folder, shown, write_whole
from utils.outside import DamagedFile, open_regular, read_bounded
from utils.track import track

T = TypeVar("T")

MAX_BYTES = 2**30  # no file of a data set is larger
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 2**18
# Torchvision has only http, or https for one mirror only, of the files of these classes.
HTTPS = {
    "MNIST": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "FashionMNIST": "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "KMNIST": "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
}


@dataclass(frozen=True)
class DataFile:
    """A file of a data set: data/<folder>/<name>, and <folder>/<name> in MNIST_STUDY_MIRROR."""

    folder: str
    name: str
    torchvision: str = ""
    """The class in torchvision.datasets that knows URLs and checksum of the file."""
    urls: tuple[str, ...] = ()
    """URLs of a file that torchvision does not know; without URLs it must be in data/ or in MNIST_STUDY_MIRROR."""
    md5: str | None = None
    """None if no checksum is published: then only the reader of the file checks its content."""
    sha256: str | None = None
    """None for the few files whose sha256 is not known; these have an md5."""
    member: str = ""
    """The file inside this zip file that is read."""

    @property
    def path(self) -> Path:
        return data_folder() / self.folder / self.name

    def published(self) -> tuple[tuple[str, ...], str | None]:
        """URLs, those with https first, and md5 of the file."""
        if not self.torchvision:
            return self.urls, self.md5
        urls, md5 = _published_files(torchvision_dataset(self.torchvision))[self.name]
        secure = [f"{HTTPS[self.torchvision]}{self.name}"] if self.torchvision in HTTPS else []
        return tuple(sorted([*urls, *secure], key=lambda url: not url.startswith("https:"))), md5


def torchvision_dataset(name: str) -> Any:
    """The class of this name in torchvision.datasets."""
    from torchvision import datasets  # takes a second to import

    return getattr(datasets, name)


def _published_files(dataset: Any) -> dict[str, tuple[list[str], str]]:
    """URLs and md5 of the files of a torchvision class, by file name."""
    if hasattr(dataset, "url"):  # EMNIST: one zip file
        return {dataset.url.rpartition("/")[2]: ([dataset.url], dataset.md5)}
    if hasattr(dataset, "split_list"):  # USPS
        return {name: ([url], md5) for url, name, md5 in dataset.split_list.values()}
    if isinstance(dataset.resources, dict):  # QMNIST
        return {url.rpartition("/")[2]: ([url], md5) for files in dataset.resources.values() for url, md5 in files}
    return {name: ([mirror + name for mirror in dataset.mirrors], md5) for name, md5 in dataset.resources}


def available_files(*groups: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
    """The first of these groups whose files are all in data/, else the first that MNIST_STUDY_MIRROR has, else the one
    that has public URLs. A data set that is published in several forms has a group for each form."""
    for group in groups:
        if all(file.path.exists() for file in group):
            return group
    for group in groups if len(groups) > 1 else ():
        try:
            for file in group:
                read_file(file, lambda path: path, is_public=False)
            return group
        except UserError:
            continue
    return next((group for group in groups if all(file.torchvision or file.urls for file in group)), groups[0])


def read_file(file: DataFile, read: Callable[[Path], T], is_public: bool = True, advice: str = "") -> T:
    """`read(path)` for the file in data/. A missing file is downloaded, and so is a file for which `read` raises
    DamagedFile.

    Downloads from MNIST_STUDY_MIRROR (a folder or a URL with one subfolder per data set), else, if `is_public`, from a
    public URL. Raises UserError if none has the file: the message lists all attempts, then the advice.
    """
    problem = "is missing"
    if file.path.exists():
        try:
            return read(file.path)
        except DamagedFile as error:
            problem = f"is damaged: {error}"
    _download(file, problem, is_public, advice)
    try:
        return read(file.path)
    except DamagedFile as error:
        raise UserError(f"{shown(file.path)} is damaged: {error}.\nDelete it. {advice}".rstrip()) from None


def _download(file: DataFile, problem: str, is_public: bool, advice: str) -> None:
    public_urls, md5 = file.published()
    failures = []
    for url in [*_user_mirror(file), *(public_urls if is_public else ())]:
        try:
            content = _content(url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            failures.append(f"{url} ({reason})")
            continue
        has_md5 = md5 is None or hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
        if has_md5 and (file.sha256 is None or hashlib.sha256(content).hexdigest() == file.sha256):
            write_whole(file.path, content)
            print(f"downloaded {file.name} from {url}")
            return
        failures.append(f"{url} (wrong checksum)")
    advice = advice or (
        f"Connect to the internet and run again, or set MNIST_STUDY_MIRROR to a folder or URL that holds "
        f"{file.folder}/{file.name}, or use the bundled digits: --dataset digits."
    )
    attempts = "; ".join(failures) or "no mirror is known"
    raise UserError(f"{shown(file.path)} {problem} and could not be downloaded: {attempts}.\n{advice}")


def _user_mirror(file: DataFile) -> list[str]:
    mirror = os.environ.get("MNIST_STUDY_MIRROR")
    if not mirror:
        return []
    root = mirror.rstrip("/") if "://" in mirror else Path(mirror).absolute().as_uri()
    return [f"{root}/{file.folder}/{file.name}"]


def _content(url: str) -> bytes:
    """The content at the URL, with a progress bar. Raises ValueError if it is larger than any data-set file."""
    if url.startswith("file:"):
        return read_bounded(Path(urllib.request.url2pathname(urlsplit(url).path)), MAX_BYTES)
    request = urllib.request.Request(url, headers={"User-Agent": "mnist-study-platform"})
    content = bytearray()
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        size = max(0, int(response.headers.get("Content-Length") or 0))
        name = url.rpartition("/")[2]
        with track(total=size or None, desc=name, unit="B", unit_scale=True) as bar:
            while chunk := response.read(CHUNK_BYTES):
                content += chunk
                bar.update(len(chunk))
                if len(content) > MAX_BYTES:
                    raise ValueError("larger than any file of a data set")
    return bytes(content)


def sha256_of(path: Path) -> str:
    """The checksum of the file in its present state, computed once per process. Raises OSError."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@functools.cache
def _sha256(path: Path, _size: int, _changed: int) -> str:
    checksum = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.hexdigest()
