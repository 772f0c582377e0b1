"""The folders of data, runs and outputs; paths in messages; writes that survive a crash and a power loss."""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from utils.errors import UserError, printable

PROJECT_FOLDER = Path(__file__).resolve().parent.parent
"""Where the packages are: the checkout, or site-packages if the project was installed without -e."""


def is_checkout() -> bool:
    """True if the code runs from a checkout, also after `pip install -e .`; False if it was copied to site-packages."""
    project = PROJECT_FOLDER / "pyproject.toml"
    return project.is_file() and 'name = "mnist-study-platform"' in project.read_text(encoding="utf-8")


def home_folder() -> Path:
    """The folder of everything that is written: MNIST_STUDY_HOME if set, else the checkout, else the working folder.
    Nothing is ever written into site-packages."""
    return Path(os.environ.get("MNIST_STUDY_HOME") or (PROJECT_FOLDER if is_checkout() else Path.cwd()))


def data_folder() -> Path:
    return home_folder() / "data"


def runs_folder() -> Path:
    return home_folder() / "runs"


def output_folder(package: str) -> Path:
    """The figures, pages and tables that a package writes, such as study/output/."""
    return home_folder() / package / "output"


def study_folder() -> Path:
    """The results of studies."""
    return output_folder("study")


def drawings_folder() -> Path:
    """Drawings saved with their label on the page of `mnist draw`. The folder is in runs/ but is not a run."""
    return runs_folder() / "drawings"


def shown(path: Path) -> str:
    """The path as a user would type it: relative to the working folder if inside it, else absolute."""
    path = path.absolute()
    return printable(str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path))


def program(name: str) -> str:
    """A program of this environment as a user would type it: its name if it is on the PATH, else its path."""
    return name if shutil.which(name) else shown(Path(sys.executable).with_name(name))


PART = ".part"
"""The end of the names of temporary files, which begin with a dot."""
STAGING = ".new"
"""The folder beside new folders in which they are made."""
NO_SUCH_PLACE = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


def make_folder(path: Path) -> None:
    """Creates the folder and its parents if missing, on the disk too. Raises UserError if that fails."""
    if path.is_dir():
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
    except OSError as error:
        raise UserError(f"cannot create the folder {path}: {error.strerror}") from None


def write_whole(path: Path, content: bytes, mode: int | None = None) -> None:
    """Writes the file as `replace_file` does, and creates its folder if missing."""
    make_folder(path.parent)
    replace_file(path, content, mode=mode)


def replace_file(path: Path, content: bytes, previous: Path | None = None, mode: int | None = None) -> None:
    """Writes the file so that after a crash or a power loss it has its old or its new content. The content goes to a
    temporary file beside it, reaches the disk, and only then gets the name.

    The old file is renamed to `previous`, if given. `mode` are the permissions of the new file. Raises UserError if the
    folder does not exist, OSError if the disk is full or read-only; the old file then remains.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with temporary.open("wb") as file:
            if mode is not None:
                temporary.chmod(mode)
            _write_and_sync(file, content)
        if previous is not None and path.exists():
            path.replace(previous)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # renamed, or never created
            temporary.unlink()
        raise _explained(error, path) if isinstance(error, OSError) else error from None


def append_durably(path: Path, content: bytes) -> None:
    """Appends to a file and returns when the content is on the disk. Raises as `replace_file`."""
    try:
        is_new = not path.exists()
        with path.open("ab") as file:
            _write_and_sync(file, content)
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from None


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder that gets this name when the block ends. After an error or a kill there is no folder of
    this name. Only one process at a time may make a folder of the same name: see utils/locks.py.

    Raises FileExistsError if the name is taken.
    """
    staging = path.parent / STAGING / path.name
    shutil.rmtree(staging, ignore_errors=True)  # of a killed process
    make_folder(staging)
    try:
        yield staging
        for folder, _, names in os.walk(staging):
            for name in names:
                with Path(folder, name).open("rb+") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(folder))
        if path.exists():  # on Windows and POSIX alike
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        staging.rename(path)
        sync_folder(path.parent)
        sync_folder(staging.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what processes left that were killed while they made this folder or wrote into it."""
    shutil.rmtree(folder.parent / STAGING / folder.name, ignore_errors=True)
    for path in folder.rglob(f".*{PART}"):
        path.unlink()


def sync_folder(path: Path) -> None:
    """Returns when the names in this folder are on the disk: new files, renamed and removed ones."""
    if os.name == "nt":  # Windows does not open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_and_sync(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _explained(error: OSError, path: Path) -> Exception:
    """The error with the file's name, which the error of a full disk lacks; a UserError if its folder is missing."""
    if error.errno in NO_SUCH_PLACE:
        gone = " Was its folder deleted or moved?" if error.errno == errno.ENOENT else ""
        return UserError(f"cannot write {shown(path)}: {error.strerror}.{gone}")
    error.filename = str(path)
    return error
