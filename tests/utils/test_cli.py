"""Command lines from dataclasses: help and defaults as a user would write them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from utils.cli import options_of, parse_command_line
from utils.errors import UserError
from utils.files import output_folder


@dataclass(frozen=True)
class InnerOptions:
    """Inner."""

    size: float = 1 / 12
    """The size,
    in two lines."""


@dataclass(frozen=True)
class OuterOptions:
    """Outer."""

    file: Annotated[str | None, tyro.conf.Positional] = None
    """A file."""
    colour: Literal["red", "blue"] = "red"
    many: tuple[int, ...] = ()
    limit: int | None = None
    bright: bool = True
    quiet: bool = False
    output: Path = field(default_factory=lambda: output_folder("study"))
    inner: InnerOptions = field(default_factory=InnerOptions)


def test_options_as_their_help_shows_them(home):
    rows = {option.field: (option.flags, option.value, option.default) for option in options_of(OuterOptions)}
    assert rows == {
        "file": ([], "NAME", ""),
        "colour": (["--colour"], "{red,blue}", "red"),
        "many": (["--many"], "N ...", ""),
        "limit": (["--limit"], "N", ""),
        "bright": (["--bright", "--no-bright"], "", "--bright"),
        "quiet": (["--quiet"], "", ""),
        "output": (["--output"], "PATH", "study/output"),
        "size": (["--size"], "X", "1/12"),
    }
    assert options_of(OuterOptions)[-1].help == "The size, in two lines."


def test_values_reach_the_dataclass():
    arguments = ["a.txt", "--many", "1", "2", "--limit", "3", "--no-bright", "--quiet", "--size", "0.5"]
    options = parse_command_line(OuterOptions, arguments, "prog", None)
    assert options.file == "a.txt" and options.many == (1, 2) and options.limit == 3
    assert (options.bright, options.quiet, options.inner) == (False, True, InnerOptions(0.5))


def test_a_default_instance_replaces_the_defaults():
    default = OuterOptions(limit=7, bright=False, inner=InnerOptions(2.0))
    options = parse_command_line(OuterOptions, ["--bright"], "prog", None, default)
    assert (options.limit, options.bright, options.inner.size) == (7, True, 2.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--colour", "green"], "--colour: expected one of 'red', 'blue', not 'green'"),
        (["--color", "red"], "unknown option --color: did you mean --colour?"),
        (["--limit", "x"], "--limit: expected a whole number, not 'x'"),
        (["--size", "x"], "--size: expected a number, not 'x'"),
        (["--many"], "--many without a value: expected N ..."),
        (["--limit"], "--limit: the value is missing"),
        (["a", "b"], "'b' is one argument too many"),
    ],
)
@pytest.mark.parametrize("has_unicode", [True, False])
def test_errors_are_plain(monkeypatch, arguments, message, has_unicode):
    monkeypatch.setitem(tyro._experimental_options, "utf8_boxes", has_unicode)
    with pytest.raises(UserError) as error:
        parse_command_line(OuterOptions, arguments, "prog", None)
    assert str(error.value) == f"{message}\nAll options: prog --help"
