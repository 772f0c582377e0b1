"""Errors that the user can fix, and how the command line reports them."""

import difflib
import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

# Errors of a full, read-only or failing disk.
DISK_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
}  # fmt: skip
# Errors of a name that no file can have.
NAME_ERRORS = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
MAX_WORD, MAX_LINE = 200, 1000  # characters of a message
# What could move the cursor, hide or reorder text in a terminal: ASCII's and Latin-1's control characters, marks and
# overrides of the writing direction (Unicode, UAX 9), and halves of surrogate pairs, which cannot be printed at all.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """An error that the user can fix. One or two lines: what was wrong, what was expected, what to do next."""

    def __str__(self) -> str:
        """The message without control characters: it may quote a file."""
        return "\n".join(map(printable, super().__str__().split("\n")))


def printable(text: str) -> str:
    """The text with a question mark for each control character, and for each byte of a file name that is not text."""
    return CONTROL_CHARACTERS.sub("?", text)


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


class Stopped(KeyboardInterrupt):
    """The user, the system or a cluster's scheduler asked the process to end."""

    last: ClassVar["Stopped | None"] = None
    """The last one of this process. Ray and Jupyter raise a KeyboardInterrupt without a number in its place."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped by " + ("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name))
        self.number = number
        Stopped.last = self


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Wraps every command: a UserError or a full or read-only disk becomes one or two lines and exit code 2. Ctrl-C,
    SIGTERM and SIGHUP end the command with a message and the exit codes 130, 143 and 129, a second one of them at once.
    A bug keeps its traceback."""
    handlers = raise_at_signals()
    Stopped.last = None
    try:
        yield
    except UserError as error:
        _exit(str(error), 2)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        sys.exit(1)
    except OSError as error:
        where = f" {printable(str(error.filename))}" if error.filename else ""
        if error.errno in NAME_ERRORS:
            _exit(f"cannot use{where}: {error.strerror}.\nChoose another name or folder.", 2)
        if error.errno not in DISK_ERRORS:
            raise
        _exit(
            f"cannot use{where}: {error.strerror}.\nSaved files are intact: "
            "free some space, make the folder writable or check the disk, then run the command again.",
            2,
        )
    except KeyboardInterrupt as stop:
        reason = Stopped.last or Stopped(signal.SIGINT)
        _exit(str(stop) or str(reason), 128 + reason.number)
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is _stop:  # else stopping, and a second signal must find no traceback
                signal.signal(number, handler)


def raise_at_signals() -> dict[int, Any]:
    """Makes SIGINT, SIGTERM and SIGHUP raise Stopped, and a second one of them end the process at once. Returns the
    handlers before. Does nothing outside the main thread, or for a signal that the caller ignores, as nohup does."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return {number: signal.signal(number, _stop) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}


def _stop(number: int, _frame: Any) -> None:
    for other in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(other) is _stop:
            signal.signal(other, lambda second, _frame: os._exit(128 + second))
    if hasattr(signal, "SIGCHLD"):  # PyTorch's handler raises an error when the processes that load data end first
        signal.signal(signal.SIGCHLD, lambda *_: None)
    raise Stopped(number)


def _exit(message: str, code: int) -> None:
    message = re.sub(rf"\S{{{MAX_WORD},}}", lambda word: f"{word[0][: MAX_WORD // 2]}...", message)
    lines = [line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..." for line in message.split("\n")]
    print("\n".join([f"error: {lines[0]}" if code == 2 else lines[0], *lines[1:]]), file=sys.stderr)
    sys.exit(code)
