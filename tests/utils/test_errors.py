"""Errors on the command line: exit codes and messages."""

import signal
import subprocess
import sys

import pytest

from utils.errors import UserError, exit_on_user_error
from utils.files import PROJECT_FOLDER


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("what\nnext"), 2, "error: what\nnext\n"),
        (OSError(28, "No space left on device", "runs/x"), 2, "runs/x: No space left on device"),
        (OSError(30, "Read-only file system", "runs/x"), 2, "runs/x: Read-only file system"),
        (KeyboardInterrupt("go on with: x"), 130, "go on with: x"),
    ],
)
def test_errors_become_two_lines_and_an_exit_code(capsys, error, code, message):
    with pytest.raises(SystemExit) as stop, exit_on_user_error():
        raise error
    printed = capsys.readouterr().err
    assert stop.value.code == code and message in printed and len(printed.splitlines()) <= 2


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_the_exit_code_names_the_signal_even_if_a_library_raises_its_own_keyboard_interrupt(name):
    """As Ray does."""
    program = (
        "import signal, utils.errors\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"  # a shell ignores Ctrl-C for its background jobs
        "with utils.errors.exit_on_user_error():\n"
        "    try:\n"
        f"        signal.raise_signal(signal.{name})\n"
        "    except KeyboardInterrupt:\n"
        "        raise KeyboardInterrupt('repeat the command') from None\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_FOLDER, capture_output=True, text=True)
    assert ended.returncode == 128 + signal.Signals[name] and ended.stderr == "repeat the command\n"
