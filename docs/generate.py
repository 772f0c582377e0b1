"""Writes docs/commands.md from the table of commands and their options: python docs/generate.py"""

import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # the script may be started from any folder

from mnist import GROUPS, load_command  # noqa: E402
from utils.cli import Option, options_of  # noqa: E402
from utils.recipe import Execution, Recipe  # noqa: E402

COMMANDS_PAGE = PROJECT / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

This page is written by `python docs/generate.py` from the options in `commands/`; do not edit it by hand.

`mnist COMMAND --help` prints the same text in the terminal. A RUN is a run's folder or its name in `runs/`.
A mistake in the arguments ends a command with exit code 2 and a message of one or two lines. Ctrl-C stops a command
with exit code 130; a stopped training resumes with `mnist train --resume RUN`.
"""
MAX_VALUE = 30  # longer values of an option make its column too wide
SHARED = {"recipe": Recipe, "execution": Execution}


def commands_page() -> str:
    """The page: every command by group with its description, examples and options, then the shared options."""
    parts = [INTRODUCTION]
    for group, commands in GROUPS.items():
        rows = [
            f"| [`mnist {name}`](#mnist-{name.replace(' ', '-')}) | {cell(command.summary)} |"
            for name, command in commands.items()
        ]
        parts.append("\n".join([f"## {group}\n", "| command | |", "|---|---|", *rows]) + "\n")
        parts += [command_section(name) for name in commands]
    for label, kind in SHARED.items():
        parts.append(f"## {label.title()} options\n\n{' '.join((kind.__doc__ or '').split())}\n")
        parts.append(options_table(options_of(kind)))
    return "\n".join(parts)


def command_section(name: str) -> str:
    """The heading, description, examples and options of a command."""
    _, kind = load_command(name)
    own = kind.__base__ if name == "sweep" else kind  # SweepOptions adds a flag for each recipe field to its base
    fields = {field.name: field.type for field in dataclasses.fields(own)}  # type: ignore[arg-type]
    description, _, examples = inspect.cleandoc(kind.__doc__ or "").partition("\nExamples:\n")
    examples = re.sub(r"(?<=\S)( {2,})(?=\S)", r"\1# ", textwrap.dedent(examples))  # the words after a command
    parts = [f"### mnist {name}", description.strip(), f"```bash\n{examples}\n```"]
    if options := [option for option in options_of(kind) if option.field in fields]:
        parts.append(options_table(options).rstrip())
    shared = [f"the [{label} options](#{label}-options)" for label, cls in SHARED.items() if fields.get(label) is cls]
    if name == "sweep":
        shared.insert(0, "the [recipe options](#recipe-options) with one or several values each")
    if shared:
        parts.append(f"And {' and '.join(shared)}.")
    return "\n\n".join(parts) + "\n"


def options_table(options: list[Option]) -> str:
    """A row for each option: flags, default, meaning."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for option in options:
        value, meaning = option.value, option.help
        if len(value) > MAX_VALUE:  # many choices, as {one,other}
            value, meaning = "NAME", f"{meaning} One of {value.strip('{}').replace(',', ', ')}."
        flags = f"{', '.join(option.flags)} {value}".strip()
        default = option.default if option.default in ("", "required") else f"`{option.default}`"
        rows.append(f"| `{cell(flags)}` | {default} | {prose(meaning)} |")
    return "\n".join(rows) + "\n"


def prose(text: str) -> str:
    """Help as Markdown; two pairs of brackets outside code would be a link."""
    return cell(text if "`" in text else text.replace("[", "\\["))


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(commands_page(), encoding="utf-8")
    print(f"written: {COMMANDS_PAGE}")
