"""What the user can mend, and how the command line says it."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


class UserError(Exception):
    """A mistake that the user can mend: says what was wrong, what was expected and what to do next, in one or two lines."""


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """The frame of every command: a UserError or a full or read-only disk becomes one or two lines and exit code 2,
    Ctrl-C exit code 130. A bug keeps its traceback."""
    try:
        yield
    except UserError as error:
        _exit(str(error), 2)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = f" {error.filename}" if error.filename else ""
        _exit(
            f"cannot use{where}: {error.strerror}.\nNothing that was saved is lost: "
            "free some space or open the folder for writing, then run the command again.",
            2,
        )
    except KeyboardInterrupt:
        _exit("stopped by Ctrl-C", 130)


def _exit(message: str, code: int) -> None:
    print(f"error: {message}" if code == 2 else message, file=sys.stderr)
    sys.exit(code)
