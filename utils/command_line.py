"""Command lines from dataclasses, by tyro, with errors of one or two lines."""

import contextlib
import inspect
import io
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

from utils.errors import UserError

Options = TypeVar("Options")


def parse_command_line(
    kind: type[Options], argv: list[str], prog: str, description: str | None, default: Options | None = None
) -> Options:
    """The options that `argv` gives: every field of the dataclass a flag, the text under the field the flag's help.

    Fields start from `default` where it is given, else from their own defaults. Raises UserError for an unknown
    flag, a missing one, or a value of the wrong type. `--help` prints and exits with 0.
    """
    boxed_message = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(boxed_message):
            return tyro.cli(
                kind,
                args=argv,
                prog=prog,
                description=inspect.cleandoc(description or ""),
                config=(tyro.conf.OmitArgPrefixes,),
                **given,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_first_part(boxed_message.getvalue())}\nAll options: {prog} --help") from None


def run_action(
    actions: dict[str, Callable[[list[str]], None]], argv: list[str], prog: str, description: str | None, usage: str
) -> None:
    """Runs the action that the command line names first, such as the `import` of `mnist weights import FILE`.

    Raises UserError where it is none of these. `--help` prints the description and the usage.
    """
    name = argv[0] if argv else "nothing"
    if name in actions:
        actions[name](argv[1:])
    elif name in ("-h", "--help"):
        print(f"{description}\n\n{usage}; each has --help")
    else:
        raise UserError(f"{name} after '{prog}': {usage}")


def _first_part(boxed_message: str) -> str:
    """The text of tyro's box up to its first rule, as one line."""
    lines = []
    for line in boxed_message.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ ")
        if not text.strip("─"):
            break
        lines.append(text)
    return " ".join(lines)
