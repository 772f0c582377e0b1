"""Errors that the user can fix, and how the command line reports them."""

import difflib
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Errors of a full or read-only disk.
DISK_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
}  # fmt: skip


class UserError(Exception):
    """An error that the user can fix. One or two lines: what was wrong, what was expected, what to do next."""


def brief(value: object) -> str:
    """At most 80 characters of the value, for a message."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:80]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean NAME?` for the nearest known word, or nothing. It follows the name of an unknown thing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {near[0]}?" if near else ""


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Wraps the import of optional packages: with needs_extra("draw"): import uvicorn.

    Raises UserError with the pip command if a package is missing. `extra` is its group in pyproject.toml.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f'the package {error.name} is not installed: pip install "mnist-study-platform[{extra}]"'
        ) from None


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Wraps every command: a UserError or a full or read-only disk becomes one or two lines and exit code 2, Ctrl-C
    exit code 130. A bug keeps its traceback."""
    try:
        yield
    except UserError as error:
        _exit(str(error), 2)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        sys.exit(1)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = f" {error.filename}" if error.filename else ""
        _exit(
            f"cannot use{where}: {error.strerror}.\nSaved files are intact: "
            "free some space or make the folder writable, then run the command again.",
            2,
        )
    except KeyboardInterrupt as stop:
        _exit(str(stop) or "stopped by Ctrl-C", 130)


def _exit(message: str, code: int) -> None:
    print(f"error: {message}" if code == 2 else message, file=sys.stderr)
    sys.exit(code)
