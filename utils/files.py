"""The folders of data, runs and outputs; paths in messages; atomic writes."""

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path

from utils.errors import UserError

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
