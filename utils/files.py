"""The folders of data, runs and studies; paths in messages; atomic writes."""

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path

from utils.errors import UserError

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


def home_folder() -> Path:
    """The folder with data/ and runs/: MNIST_STUDY_HOME if set, else the project's folder."""
    return Path(os.environ.get("MNIST_STUDY_HOME") or PROJECT_FOLDER)


def data_folder() -> Path:
    return home_folder() / "data"


def runs_folder() -> Path:
    return home_folder() / "runs"


def study_folder() -> Path:
    """The results of studies."""
    return home_folder() / "study" / "output"


def drawings_folder() -> Path:
    """Drawings saved with their label on the page of `mnist draw`. The folder is in runs/ but is not a run."""
    return runs_folder() / "drawings"


def shown(path: Path) -> str:
    """The path as a user would type it: relative to the working folder if inside it, else absolute."""
    path = path.absolute()
    return printable(str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path))


def printable(name: str) -> str:
    """The name with a question mark for each byte that is not valid text: file names may hold any byte."""
    return name.encode(errors="replace").decode()


def program(name: str) -> str:
    """A program of this environment as a user would type it: its name if it is on the PATH, else its path."""
    return name if shutil.which(name) else shown(Path(sys.executable).with_name(name))


NO_SUCH_PLACE = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


def make_folder(path: Path) -> None:
    """Creates the folder and its parents if missing. Raises UserError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {path}: {error.strerror}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file atomically: to a temporary file beside it, which is then renamed."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        if error.errno in NO_SUCH_PLACE:
            raise UserError(f"cannot write {shown(path)}: {error.strerror}") from None
        error.filename = str(path)  # the error of a full disk does not name the file
        raise
    finally:
        with contextlib.suppress(OSError):  # renamed, or never created
            temporary.unlink()
