"""Downloads of data-set files: mirrors are tried in order, checksums are verified, files are written atomically."""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from utils.errors import UserError
from utils.files import data_folder, shown, write_whole

MAX_BYTES = 200 * 2**20  # no file of a data set is larger
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class DataFile:
    """A file of a data set: data/<folder>/<name>, and <folder>/<name> in MNIST_STUDY_MIRROR."""

    folder: str
    name: str
    md5: str | None = None
    """None if no checksum is published: then only the reader of the file checks its content."""


def local_file(file: DataFile, mirrors: Sequence[str] = (), advice: str = "") -> Path:
    """The path of the file in data/. Downloads the file if it is missing or its checksum is wrong.

    Tries MNIST_STUDY_MIRROR first (a folder or a URL with one subfolder per data set), then `mirrors`, which are URLs
    that end in a slash. Raises UserError if no mirror has the file: the message lists all attempts, then the advice.
    """
    path = data_folder() / file.folder / file.name
    if not path.exists():
        problem = "is missing"
    elif file.md5 is not None and _md5(path.read_bytes()) != file.md5:
        problem = "is damaged (its checksum is wrong)"
    else:
        return path
    failures = []
    for url in [*_user_mirror(file), *(mirror + file.name for mirror in mirrors)]:
        try:
            content = _download(url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url} ({getattr(error, 'reason', None) or error})")
            continue
        if file.md5 is None or _md5(content) == file.md5:
            write_whole(path, content)
            print(f"downloaded {file.name} from {url}")
            return path
        failures.append(f"{url} (wrong checksum)")
    advice = advice or (
        f"Connect to the internet and run again, or set MNIST_STUDY_MIRROR to a folder or URL that holds "
        f"{file.folder}/{file.name}, or use the bundled digits: --dataset digits."
    )
    raise UserError(
        f"{shown(path)} {problem} and could not be downloaded: {'; '.join(failures) or 'no mirror is known'}.\n{advice}"
    )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _user_mirror(file: DataFile) -> list[str]:
    mirror = os.environ.get("MNIST_STUDY_MIRROR")
    if not mirror:
        return []
    root = mirror.rstrip("/") if "://" in mirror else Path(mirror).absolute().as_uri()
    return [f"{root}/{file.folder}/{file.name}"]


def _download(url: str) -> bytes:
    """The content at the URL, with a progress bar. Raises ValueError if it is larger than any data-set file."""
    request = urllib.request.Request(url, headers={"User-Agent": "mnist-study-platform"})
    content = bytearray()
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        size = int(response.headers.get("Content-Length") or 0)
        name = url.rpartition("/")[2]
        with tqdm(total=size or None, desc=name, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            while chunk := response.read(CHUNK_BYTES):
                content += chunk
                bar.update(len(chunk))
                if len(content) > MAX_BYTES:
                    raise ValueError("larger than any file of the data set")
    return bytes(content)
