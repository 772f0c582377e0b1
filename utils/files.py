"""Where data and runs lie."""

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path

from utils.errors import UserError

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


def home_folder() -> Path:
    """The folder that holds data/ and runs/: the project's own, or the one that MNIST_STUDY_HOME names."""
    return Path(os.environ.get("MNIST_STUDY_HOME") or PROJECT_FOLDER)


def data_folder() -> Path:
    return home_folder() / "data"


def runs_folder() -> Path:
    return home_folder() / "runs"


def study_folder() -> Path:
    """Where studies keep what they measured, beside the runs that they measured."""
    return home_folder() / "study" / "output"


def drawings_folder() -> Path:
    """Where drawings are kept whose label somebody has said; in runs/, but no run."""
    return runs_folder() / "drawings"


def shown(path: Path) -> str:
    """The path as a user would type it: relative to the working folder where it lies below it."""
    path = path.absolute()
    return printable(str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path))


def printable(name: str) -> str:
    """The name with a question mark for each byte that is no text: a file may be called anything."""
    return name.encode(errors="replace").decode()


def program(name: str) -> str:
    """A program of this environment as a user would type it: its name, or its path where the shell does not know it."""
    return name if shutil.which(name) else shown(Path(sys.executable).with_name(name))


# Files that are there whole or not at all.


NO_SUCH_PLACE = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


def make_folder(path: Path) -> None:
    """Makes the folder and those above it where they are missing. Raises UserError where that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file to a temporary one beside it, then renames that: a reader never sees half of it."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        if error.errno in NO_SUCH_PLACE:
            raise UserError(f"cannot write {shown(path)}: {error.strerror}") from None
        error.filename = str(path)  # a full disk does not name the file
        raise
    finally:
        with contextlib.suppress(OSError):  # it is gone, or could never be there
            temporary.unlink()
