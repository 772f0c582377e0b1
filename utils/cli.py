"""Command lines from dataclasses, by tyro: plain help, and errors of one or two lines.

A field is a flag, the string under the field is the flag's help. `options_of` gives the same for the page of all
commands.
"""

import ast
import contextlib
import dataclasses
import importlib
import inspect
import io
import itertools
import math
import re
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import MISSING, ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from utils.errors import UserError, did_you_mean, exit_on_user_error
from utils.files import home_folder

Options = TypeVar("Options")
ALIASES = {"learning_rate": ["--lr"], "num_epochs": ["--epochs"]}
# tyro's and Python's words in an error message -> ours.
PLAIN_WORDS = {
    r"invalid literal for int\(\) with base 10: (.*)": r"expected a whole number, not \1",
    r"could not convert string to float: (.*)": r"expected a number, not \1",
    r"invalid choice (\S+) for argument '(\S+)'\. Expected one of \((.*?),?\)\.": r"\2: expected one of \3, not \1",
    r"Missing value for argument '(.*?)'\. Expected 1 values\.": r"\1: the value is missing",
    r"no type matching \{None\}\|INT could be instantiated from \[(.*)\]\.": r"expected a whole number, not \1",
    r"no type matching \{None\}\|FLOAT could be instantiated from \[(.*)\]\.": r"expected a number, not \1",
    r"Missing from .*?: (--\S+ \S+|\S+) .*": r"\1 is missing",
}
REGISTRY = ConstructorRegistry()


class Option(NamedTuple):
    """A flag or a positional argument of a command, as its help shows it."""

    field: str
    flags: list[str]
    """The long flag first; empty for a positional argument."""
    value: str
    """What stands for the value, such as N, PATH or {test,train}; empty for a switch."""
    default: str
    """The default as a user would type it; empty if there is none, `required` for a required option."""
    help: str


def parse_command_line(
    kind: type[Options], argv: list[str], prog: str, description: str | None, default: Options | None = None
) -> Options:
    """Parses `argv` into the dataclass. Fields start from `default` if given, else from their own defaults. `--help`
    prints and exits with code 0.

    Raises UserError for an unknown flag, a missing one, or a value of the wrong type.
    """
    error_box = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(error_box), REGISTRY:
            options = tyro.cli(
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
        reason = _reason(error_box.getvalue(), [flag for option in options_of(kind) for flag in option.flags])
        raise UserError(f"{reason}\nAll options: {prog} --help") from None
    empty = {
        field.name
        for field in dataclasses.fields(options)
        if field.default is not None and getattr(options, field.name) == ()
    }
    for option in options_of(kind):
        if option.field in empty and set(option.flags) & set(argv):  # else it would count as not given
            raise UserError(f"{option.flags[0]} without a value: expected {option.value}\nAll options: {prog} --help")
    return options


@contextlib.contextmanager
def flags_as_typed(argv: list[str]) -> Iterator[None]:
    """Wraps a command: the message of a UserError has the short flag, such as --epochs, if the user typed that one."""
    try:
        yield
    except UserError as error:
        typed, message = {word.split("=")[0] for word in argv}, str(error)
        for field, aliases in ALIASES.items():
            for alias in typed & set(aliases):
                message = re.sub(rf"--{field.replace('_', '-')}(?![\w-])", alias, message)
        error.args = (message,)
        raise


def run_script(trainer_name: str) -> None:
    """The main line of a specific trainer's file: `mnist train NAME` with the arguments of the script."""
    with exit_on_user_error():
        importlib.import_module("mnist").run("train", [trainer_name, *sys.argv[1:]])


def options_of(kind: type) -> list[Option]:
    """The options of a dataclass in their order, with those of its fields that are dataclasses."""
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    helps = field_helps(kind)
    options = []
    for field in dataclasses.fields(kind):
        hint, *settings = get_args(hints[field.name]) if _is_annotated(hints[field.name]) else (hints[field.name],)
        if dataclasses.is_dataclass(hint):
            options += options_of(hint)  # type: ignore[arg-type]
            continue
        given = {k: v for setting in settings for k, v in getattr(setting, "__dict__", {}).items() if v is not None}
        default = _default_of(field)
        flags = [f"--{given.get('name', field.name).replace('_', '-')}", *given.get("aliases", ())]
        flags += [f"--no-{flags[0][2:]}"] if default is True else ALIASES.get(field.name, [])
        options.append(
            Option(
                field.name,
                [] if tyro.conf.Positional in settings else flags,
                given.get("metavar", value_name(hint)),
                "required" if default is MISSING else default_text(default, flags[0]),
                " ".join(given.get("help", helps.get(field.name, "")).split()),
            )
        )
    return options


def field_helps(kind: type) -> dict[str, str]:
    """Field name -> the string under the field, also of base classes."""
    helps: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        try:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        except (OSError, TypeError):  # `object`, or a class made by make_dataclass: there is no source
            continue
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, body.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                assert isinstance(node.target, ast.Name)
                helps[node.target.id] = " ".join(ast.literal_eval(following.value).split())
    return helps


def value_name(hint: Any) -> str:
    """What stands for the value of an option: N for a whole number, the choices of a Literal."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return value_name(next(argument for argument in arguments if argument is not NoneType))
    if origin is Literal:
        return f"{{{','.join(map(str, arguments))}}}"
    if origin is tuple:
        return f"{value_name(arguments[0])} ..."
    return {bool: "", int: "N", float: "X", Path: "PATH"}.get(hint, "NAME")


def default_text(default: Any, flag: str) -> str:
    """The default as a user would type it; empty if it is nothing, such as None or False."""
    if default is True:
        return flag
    if default is None or default is False or default in ((), "", math.inf):
        return ""
    if isinstance(default, Path):
        home = home_folder()
        return str(default.relative_to(home) if default.is_relative_to(home) else default)
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    if isinstance(default, float) and len(repr(default)) > 8:  # 1/12
        return str(Fraction(default).limit_denominator(1000))
    return f"{default:g}" if isinstance(default, float) else str(default)


@REGISTRY.struct_rule
def _read_dataclass(info: StructTypeInfo) -> StructConstructorSpec | None:
    """How tyro reads a dataclass: as its own rule does, with the help of `options_of`."""
    kind = info.type
    if not dataclasses.is_dataclass(kind):
        return None
    options = {option.field: option for option in options_of(kind)}
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    fields = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        default = getattr(info.default, field.name) if isinstance(info.default, kind) else _default_of(field)
        option = options.get(field.name)
        if option is not None and not dataclasses.is_dataclass(hint):
            shown = default_text(default, option.flags[0] if option.flags else "")
            setting = tyro.conf.arg(
                help=option.help,
                metavar=option.value or None,
                help_behavior_hint=f"(default: {shown})" if shown else "",
                aliases=ALIASES.get(field.name),
            )
            plain, *settings = get_args(hint) if _is_annotated(hint) else (hint,)
            markers = [tyro.conf.FlagCreatePairsOff] if default is False else []
            hint = Annotated[(plain, setting, *settings, *markers)]
        fields.append(StructFieldSpec(field.name, hint, default))
    return StructConstructorSpec(kind, tuple(fields))


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING if field.default is dataclasses.MISSING else field.default


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def _reason(error_box: str, flags: list[str]) -> str:
    """What tyro's error box says up to its first rule, in one line of plain words; the nearest flag for an unknown
    one."""
    lines = [line.strip("│╭╮╰╯ ") for line in error_box.splitlines()[1:]]  # the first line is the title
    texts = itertools.dropwhile(_is_rule, lines)
    first_paragraph = " ".join(itertools.takewhile(lambda line: not _is_rule(line), texts))
    reason = re.sub(r"^Error parsing (?:\S+/)?(\S+):", r"\1:", first_paragraph)
    for technical, plain in PLAIN_WORDS.items():
        reason = re.sub(technical, plain, reason)
    unknown = re.match(r"Unrecognized options: (\S+)", reason)
    if not unknown:
        return reason
    word = unknown[1].split("=")[0].rstrip(",")
    if not word.startswith("-"):
        return f"'{word[:80]}' is one argument too many"
    return f"unknown option {word[:80]}{did_you_mean(word, flags)}"


def _is_rule(line: str) -> bool:
    """Whether the line is empty or a rule, of box characters or, without Unicode, of hyphens."""
    return not line.strip("─-")
