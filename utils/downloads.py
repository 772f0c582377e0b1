"""Files of public data sets: mirrors asked in order, checksums verified, nothing half-written."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.paths import data_folder, shown

MAX_BYTES = 200 * 2**20  # a file of a data set; a mirror that sends more is wrong
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 2**18


def has_md5(content: bytes, md5: str | None) -> bool:
    """Whether this is the content's checksum, or none is known."""
    return md5 is None or hashlib.md5(content, usedforsecurity=False).hexdigest() == md5


def held_file(dataset: str, file_name: str, md5: str | None, mirrors: list[str], advice: str | None = None) -> Path:
    """data/<dataset>/<file_name>, fetched where it is missing or its checksum is another.

    Asked are MNIST_STUDY_MIRROR and the public mirrors, URLs that end in a slash. `md5` is None where nobody has
    published one: then any file of this name will do. Raises UserError, with the advice, where nobody has it.
    """
    path = data_folder() / dataset / file_name
    if not path.exists():
        fetch(dataset, path, md5, mirrors, "is missing", advice)
    elif md5 is not None and not has_md5(path.read_bytes(), md5):
        fetch(dataset, path, md5, mirrors, "is damaged (its checksum is wrong)", advice)
    return path


def fetch(dataset: str, path: Path, md5: str | None, mirrors: list[str], state: str, advice: str | None = None) -> None:
    """Puts the file of this name, with this checksum, at `path`.

    Asks `MNIST_STUDY_MIRROR` (a folder or a URL with one sub-folder a data set) first, then the public mirrors.
    `state` says what is wrong with the file that should lie there already, `advice` what else the user can do.

    Raises UserError, naming all that was tried, where no mirror has it.
    """
    failures = []
    for url in [*_own_mirror(dataset, path.name), *(mirror + path.name for mirror in mirrors)]:
        try:
            content = _read(url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url} ({getattr(error, 'reason', None) or error})")
            continue
        if has_md5(content, md5):
            write_whole(path, content)
            print(f"fetched {path.name} from {url}")
            return
        failures.append(f"{url} (wrong checksum)")
    usual_advice = (
        f"Connect to the internet and run again, or set MNIST_STUDY_MIRROR to a folder or URL that holds "
        f"{dataset}/{path.name}, or use the bundled digits: --dataset digits."
    )
    raise UserError(
        f"{shown(path)} {state}, and no mirror gave it: {'; '.join(failures) or 'none is known'}.\n"
        f"{advice or usual_advice}"
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
