"""What the user can mend, and how the command line says it."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What the operating system says of a disk that is full or read-only.
DISK_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
}  # fmt: skip


class UserError(Exception):
    """A mistake that the user can mend. One or two lines: what was wrong, what was expected, what to do next."""


def brief(value: object) -> str:
    """The value as a message shows it: at most 80 characters of it."""
    try:
        text = str(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:80]}..."


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """The frame of every command: a UserError or a full or read-only disk becomes one or two lines and exit code 2,
    Ctrl-C exit code 130. A bug keeps its traceback."""
    try:
        yield
    except UserError as error:
        _exit(str(error), 2)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        sys.exit(1)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = f" {error.filename}" if error.filename else ""
        _exit(
            f"cannot use{where}: {error.strerror}.\nNothing that was saved is lost: "
            "free some space or open the folder for writing, then run the command again.",
            2,
        )
    except KeyboardInterrupt as stop:
        _exit(str(stop) or "stopped by Ctrl-C", 130)


def _exit(message: str, code: int) -> None:
    print(f"error: {message}" if code == 2 else message, file=sys.stderr)
    sys.exit(code)
