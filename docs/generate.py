"""Writes docs/commands.md from the table of commands and their options: python docs/generate.py"""

import ast
import dataclasses
import importlib
import inspect
import math
import re
import sys
import textwrap
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from mnist import GROUPS  # noqa: E402 - the script may be started from any folder
from utils.files import home_folder  # noqa: E402
from utils.recipe import Execution, Recipe  # noqa: E402

COMMANDS_PAGE = PROJECT / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

This page is written by `python docs/generate.py` from the options in `commands/`; do not edit it by hand.

`mnist COMMAND --help` prints the same text in the terminal. A RUN is a run's folder or its name in `runs/`.
A mistake in the arguments ends a command with exit code 2 and a message of one or two lines. Ctrl-C stops a command
with exit code 130; a stopped training resumes with `mnist train --resume RUN`.
"""
SHARED = {Recipe: "recipe", Execution: "execution"}


def commands_page() -> str:
    """The page: every command by group with its description, examples and options, then the shared options."""
    parts = [INTRODUCTION]
    for group, commands in GROUPS.items():
        parts.append(f"## {group}\n")
        parts.append("| command | |\n|---|---|")
        for name, command in commands.items():
            parts.append(f"| [`mnist {name}`](#mnist-{name.replace(' ', '-')}) | {cell(command.summary)} |")
        for name, command in commands.items():
            module: Any = importlib.import_module(f"commands.{command.module}")
            kind = getattr(module, f"{re.sub('[ -]', '_', name).title().replace('_', '')}Options")
            parts.append("\n" + command_section(name, kind).rstrip())
        parts.append("")
    parts.append(f"## Recipe options\n\n{sentence(Recipe)}\n\n{options_table(Recipe)}\n")
    parts.append(f"## Execution options\n\n{sentence(Execution)}\n\n{options_table(Execution)}\n")
    return "\n".join(parts)


def command_section(name: str, kind: type) -> str:
    """The heading, description, examples and options of a command."""
    description, _, examples = inspect.cleandoc(kind.__doc__ or "").partition("\nExamples:\n")
    examples = re.sub(r"(?<=\S)( {2,})(?=\S)", r"\1# ", textwrap.dedent(examples))  # the words after a command
    parts = [f"### mnist {name}", description.strip(), f"```bash\n{examples}\n```"]
    if own_fields(kind):
        parts.append(options_table(kind))
    types = get_type_hints(kind)
    shared = [f"[{label} options](#{label}-options)" for cls, label in SHARED.items() if cls in types.values()]
    if name == "sweep":
        shared.insert(0, "[recipe options](#recipe-options), each with one value or several")
    if shared:
        parts.append(f"Also: {'; '.join(shared)}.")
    return "\n\n".join(parts) + "\n"


def sentence(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def options_table(kind: type) -> str:
    """A row for each field: flag, default, meaning."""
    types, helps = get_type_hints(kind, include_extras=True), field_helps(kind)
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for field in own_fields(kind):
        hint = types[field.name]
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        settings: dict[str, Any] = {}
        is_positional = False
        if get_origin(hint) is Annotated:
            hint, *annotations = get_args(hint)
            is_positional = any("Positional" in str(annotation) for annotation in annotations)
            for annotation in annotations:
                if hasattr(annotation, "help"):  # tyro.conf.arg(...)
                    settings |= vars(annotation)
        meaning = settings.get("help") or helps.get(field.name, "")
        value = settings.get("metavar") or value_name(hint)
        flags = [f"--{settings.get('name') or field.name.replace('_', '-')}", *(settings.get("aliases") or ())]
        if hint is bool and default is True:
            flags.append(f"--no-{flags[0][2:]}")
        option = value if is_positional else f"{', '.join(flags)} {value}".strip()
        shown = f"`{flags[0]}`" if default is True else shown_default(default)
        rows.append(f"| `{cell(option)}` | {shown} | {cell(meaning)} |")
    return "\n".join(rows)


def own_fields(kind: type) -> list[dataclasses.Field[Any]]:
    """The fields apart from the groups of shared options, and apart from a sweep's recipe fields."""
    types = get_type_hints(kind)
    swept = {field.name for field in dataclasses.fields(Recipe)} if kind.__name__ == "SweepOptions" else set()
    fields = [field for field in dataclasses.fields(kind) if types[field.name] not in SHARED]
    return [field for field in fields if field.name not in swept or field.name == "model"]


def field_helps(kind: type) -> dict[str, str]:
    """Field name -> the string under the field, also of base classes."""
    helps: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        if cls is object or cls.__qualname__ == "SweepOptions":  # made by make_dataclass: there is no source
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, body.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                assert isinstance(node.target, ast.Name)
                helps[node.target.id] = ast.literal_eval(following.value)
    return helps


def value_name(hint: Any) -> str:
    """What stands for the value of an option: N for a number, the choices of a Literal."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return value_name(next(argument for argument in arguments if argument is not NoneType))
    if origin is Literal:
        return "{" + ",".join(map(str, arguments)) + "}"
    if origin is tuple:
        return f"{value_name(arguments[0])} ..."
    return {bool: "", int: "N", float: "X", Path: "PATH"}.get(hint, "NAME")


def shown_default(default: Any) -> str:
    """The default as a user would type it; empty if there is none."""
    if default is dataclasses.MISSING:
        return "required"
    if default is None or default is False or default in ((), "", math.inf):
        return ""
    if isinstance(default, Path):
        return f"`{default.relative_to(home_folder()) if default.is_relative_to(home_folder()) else default}`"
    if isinstance(default, tuple):
        return f"`{' '.join(map(str, default))}`"
    return f"`{default:.4g}`" if isinstance(default, float) else f"`{default}`"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(commands_page(), encoding="utf-8")
    print(f"written: {COMMANDS_PAGE}")
