"""Files that are there whole or not at all."""

import contextlib
import errno
import os
from pathlib import Path

from utils.errors import UserError
from utils.paths import shown

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
