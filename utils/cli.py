"""Command lines from dataclasses, by tyro, with errors of one or two lines."""

import contextlib
import importlib
import inspect
import io
import sys
from typing import Any, TypeVar

import tyro

from utils.errors import UserError, exit_on_user_error

Options = TypeVar("Options")
DATASET_HELP = (
    "Data set: mnist, digits (bundled with scikit-learn), another name (an unknown one lists all), or "
    "csv:FILE[,FILE...][,test=FILE or fraction]."
)


def parse_command_line(
    kind: type[Options], argv: list[str], prog: str, description: str | None, default: Options | None = None
) -> Options:
    """Parses `argv` into the dataclass: every field is a flag, the string under a field is the flag's help.

    Fields start from `default` if given, else from their own defaults. `--help` prints and exits with code 0.

    Raises UserError for an unknown flag, a missing one, or a value of the wrong type.
    """
    error_box = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(error_box):
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
        raise UserError(f"{_first_paragraph(error_box.getvalue())}\nAll options: {prog} --help") from None


def run_script(trainer_name: str) -> None:
    """The main line of a specific trainer's file: `mnist train NAME` with the arguments of the script."""
    with exit_on_user_error():
        importlib.import_module("mnist").run("train", [trainer_name, *sys.argv[1:]])


def _first_paragraph(error_box: str) -> str:
    """The text of tyro's error box up to its first rule, as one line."""
    lines = []
    for line in error_box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ ")
        if not text.strip("─"):
            break
        lines.append(text)
    return " ".join(lines)
