"""Files of public data sets: mirrors asked in order, checksums verified, nothing half-written."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.paths import shown

MAX_BYTES = 200 * 2**20  # a file of a data set; a mirror that sends more is wrong
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class Source:
    """Where a file is published, and how it is known to be the right one."""

    md5: str
    urls: tuple[str, ...]


def mnist_source(file_name: str) -> Source:
    """One of MNIST's four files, with torchvision's mirrors and checksum."""
    from torchvision.datasets import MNIST  # takes a second to import

    return Source(dict(MNIST.resources)[file_name], tuple(mirror + file_name for mirror in MNIST.mirrors))


def fetch(dataset: str, path: Path, source: Source, problem: str | None = None) -> None:
    """Puts the file of this name, with the source's checksum, at `path`.

    Asks `MNIST_STUDY_MIRROR` (a folder or a URL with one sub-folder a data set) first, then the public mirrors.
    `problem` says what is wrong with a file that lies there already.

    Raises UserError, naming all that was tried, where no mirror has it.
    """
    failures = []
    for url in [*_own_mirror(dataset, path.name), *source.urls]:
        try:
            content = _read(url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url} ({getattr(error, 'reason', None) or error})")
            continue
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == source.md5:
            write_whole(path, content)
            print(f"fetched {path.name} from {url}")
            return
        failures.append(f"{url} (wrong checksum)")
    state = f"is damaged ({problem})" if problem else "is missing"
    raise UserError(
        f"{shown(path)} {state}, and no mirror gave it: {'; '.join(failures)}.\n"
        f"Connect to the internet and run again, or set MNIST_STUDY_MIRROR to a folder or URL that holds "
        f"{dataset}/{path.name}, or use the bundled digits: --dataset digits."
    )


def _own_mirror(dataset: str, file_name: str) -> list[str]:
    mirror = os.environ.get("MNIST_STUDY_MIRROR")
    if not mirror:
        return []
    root = mirror.rstrip("/") if "://" in mirror else Path(mirror).absolute().as_uri()
    return [f"{root}/{dataset}/{file_name}"]


def _read(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "mnist-study-platform"})
    content = bytearray()
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        name = url.rpartition("/")[2]
        with tqdm(total=size or None, desc=name, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            while part := answer.read(CHUNK_BYTES):
                content += part
                bar.update(len(part))
                if len(content) > MAX_BYTES:
                    raise ValueError("larger than any file of the data set")
    return bytes(content)
