"""The command line `mnist`: one table of commands, grouped by task.

To add a command NAME: in a module of commands/, write a dataclass NameOptions, whose fields are the flags, and a
function name(options) that calls the library and returns the command that a user would try next; then add a row to
GROUPS. Modules are imported when a command runs, so `mnist --help` needs neither torch nor NumPy.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

IN_THE_WAY = "It hides a package of this program: start mnist in another folder, or install it into its own environment"
try:
    from utils import __version__
    from utils.errors import UserError, did_you_mean, exit_on_user_error
except ImportError as error:  # utils is a common name
    sys.exit(f"error: {error}.\n{IN_THE_WAY}")


class Command(NamedTuple):
    """A row of the table; the function and the options class are in commands/MODULE.py, named like the command."""

    module: str
    summary: str


# Group -> command -> where it is and what it does. A name of two words is a command with an action.
GROUPS = {
    "Data": {
        "inspect": Command("data", "statistics and pictures of a data set"),
        "display": Command("data", "show one digit: mnist display 7"),
    },
    "Train": {
        "quickstart": Command("train", "train and evaluate a network in about a minute"),
        "train": Command("train", "train a network: mnist train conv, mnist train --model NAME"),
        "retrain": Command("train", "train a run's recipe again with the next seed"),
        "sweep": Command("train", "train many recipes: a grid or a search, locally or on Ray"),
        "scratch train": Command("train", "train a network in plain NumPy"),
        "scratch evaluate": Command("train", "evaluate a run in plain NumPy"),
        "weights import": Command("train", "import the weights of a NumPy project as a run"),
        "weights export": Command("train", "export the weights of a run to that format"),
    },
    "Evaluate": {
        "evaluate": Command("evaluate", "accuracy of a run, or of several as an ensemble, on any split"),
        "interpret": Command("evaluate", "confusion matrices, metrics and mistakes of runs"),
        "scorecard": Command("evaluate", "robustness, calibration, other data sets, OOD detection"),
        "compare": Command("evaluate", "compare runs over seeds: table, page, CSV, LaTeX, significance"),
        "tensorboard": Command("evaluate", "compare runs in TensorBoard: what differs, curves, means over seeds"),
        "runs": Command("evaluate", "list all runs"),
    },
    "Understand": {
        "activations": Command("understand", "each layer's activations for one digit"),
        "features": Command("understand", "images that maximise a layer's channels"),
        "attribution": Command("understand", "attribution maps, with checks and baselines"),
        "embeddings": Command("understand", "map of the test set, neighbours, filters, curvature"),
        "explain": Command("understand", "all of these on one page"),
    },
    "Study": {
        "tour": Command("studies", "an executable lesson: data, model, training, evaluation, mistakes"),
        "ablation": Command("studies", "which design choices matter, on and beyond the test set"),
        "label-errors": Command("studies", "the hardest test digits and contested labels"),
        "report": Command("studies", "is MNIST solved? all runs and studies on one page"),
        "site": Command("studies", "a site on which networks run in the visitor's browser"),
    },
    "Use": {
        "predict": Command("use", "predict one digit, or pictures: mnist predict --image photo.jpg"),
        "draw": Command("use", "draw a digit in the browser and watch the network respond"),
        "export": Command("use", "write a network as ONNX, PT2 or safetensors for other programs"),
        "submit": Command("use", "Kaggle's Digit Recognizer: write submission.csv"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main() -> None:
    """The entry point of the program `mnist`."""
    with exit_on_user_error():
        check_packages()
        arguments = sys.argv[1:]
        if arguments[:1] == ["help"]:
            arguments = [*arguments[1:], "--help"]
        if not arguments or arguments[0] in ("-h", "--help"):
            print(help_text())
        elif arguments[0] == "--version":
            print(f"mnist-study-platform {__version__}")
        else:
            name, rest = split_command(arguments)
            run(name, ["--help"] if rest == ["help"] else rest)


def check_packages() -> None:
    """Raises UserError if a module of the same name, installed or in the working folder, hides one of the packages."""
    folder = Path(__file__).resolve().parent
    for name in ("commands", "data_inspection", "model_interpretation", "models", "study", "trainers"):
        found = getattr(importlib.util.find_spec(name), "origin", None)  # None for a folder without __init__.py
        if found is None or Path(found).resolve() != folder / name / "__init__.py":
            raise UserError(f"{name} is another package here: {found or f'a folder {name}'}.\n{IN_THE_WAY}")


def split_command(arguments: list[str]) -> tuple[str, list[str]]:
    """The command, of one or two words, and its arguments. Raises UserError if there is no such command."""
    for length in (2, 1):
        name = " ".join(arguments[:length])
        if name in COMMANDS:
            return name, arguments[length:]
    actions = [name for name in COMMANDS if name.split()[0] == arguments[0]]
    if actions:
        given = " ".join(arguments[:2])[:80]
        raise UserError(f"'mnist {given}': expected {' or '.join(f'mnist {name}' for name in actions)}")
    kind = "option" if arguments[0].startswith("-") else "command"
    hint = did_you_mean(arguments[0], ["--help", "--version", *(name.split()[0] for name in COMMANDS)])
    raise UserError(f"unknown {kind} '{arguments[0][:80]}'{hint}\nAll commands: mnist --help")


def load_command(name: str) -> tuple[Callable[[Any], str], type]:
    """The function of a command and its options class."""
    module: Any = importlib.import_module(f"commands.{COMMANDS[name].module}")
    identifier = name.replace(" ", "_").replace("-", "_")
    return getattr(module, identifier), getattr(module, f"{identifier.title().replace('_', '')}Options")


def run(name: str, arguments: list[str]) -> None:
    """Parses the options of a command, runs it and prints the next step. Raises UserError for whatever the user can
    fix."""
    from utils.cli import flags_as_typed, parse_command_line

    function, kind = load_command(name)
    default, description = None, kind.__doc__
    adapt = getattr(sys.modules[function.__module__], f"{function.__name__}_defaults", None)
    with flags_as_typed(arguments):
        if adapt:  # the arguments name a recipe or a run, whose values are the defaults and are in the description
            default, description = adapt(arguments)
        next_step = function(parse_command_line(kind, arguments, f"mnist {name}", description, default))
    print(f"next: mnist {next_step}")


def help_text() -> str:
    """The commands by group."""
    lines = ["usage: mnist COMMAND [options]      mnist COMMAND --help explains each option, with examples"]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {name:17} {command.summary}" for name, command in commands.items())]
    lines += [
        "",
        "mnist --version prints the version",
        "Runs are folders in runs/; compare them with: mnist tensorboard",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
