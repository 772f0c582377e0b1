"""Your own networks by import path: `my_package.my_module:Net`."""

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from utils.errors import UserError, brief

IMPORT_PATH = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?<!\.py):([^\W\d]\w*)")  # a module, not a file


def own_model(path: str) -> nn.Module:
    """An instance of the class with the import path `package.module:Class`.

    The module is in an installed package or in the working folder. Raises UserError if it cannot be imported, and for a
    class that is not an nn.Module or needs constructor arguments.
    """
    match = IMPORT_PATH.fullmatch(path)
    if not match:
        raise UserError(f"model '{brief(path)}': expected package.module:Class, such as my_package.my_module:Net")
    module_name, class_name = match.groups()
    with _import_from_working_folder():
        module = _import(module_name)
        kind = getattr(module, class_name, None)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            found = "does not exist" if kind is None else f"is of type {type(kind).__name__}"
            networks = [name for name, value in vars(module).items() if _is_network_of(value, module_name)]
            expected = " or ".join(f"{module_name}:{name}" for name in networks) or "a class derived from nn.Module"
            raise UserError(f"model '{path}': {class_name} {found} in {module_name}. Expected {expected}.")
        try:
            inspect.signature(kind).bind()
        except TypeError as error:
            raise UserError(
                f"model '{path}': the constructor cannot be called without arguments: {error}.\n"
                "Give every argument a default value."
            ) from None
        with errors_of_own_code(f"{path}()"):
            model: nn.Module = kind()
    return model


def module_without_class(name: str) -> str | None:
    """The module meant by a name without a class: a file, a dotted name, or an existing module; else None."""
    module = name.removesuffix(".py").strip("./").replace("/", ".")
    with _import_from_working_folder():
        exists = "." in name or "/" in name or importlib.util.find_spec(module) is not None
    return module if exists else None


@contextmanager
def errors_of_own_code(action: str) -> Iterator[None]:
    """Turns an exception of the user's code into a UserError with its location; the exception stays its cause."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        not_own = ("<frozen", str(Path(__file__).parent), importlib.__file__, str(Path(torch.__file__).parent))
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(not_own)
        ]
        place = f"\n{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
        reason = brief(str(error).partition("\n")[0])
        raise UserError(f"{action} failed: {type(error).__name__}: {reason}{place}") from error


def _is_network_of(value: object, module_name: str) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module_name


@contextmanager
def _import_from_working_folder() -> Iterator[None]:
    """Adds the working folder to the end of Python's search path for modules, for the time of the context."""
    folder = str(Path.cwd())
    is_new = folder not in sys.path
    if is_new:
        sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if is_new:
            sys.path.remove(folder)


def _import(name: str) -> ModuleType:
    try:
        with errors_of_own_code(f"the import of {name}"):
            return importlib.import_module(name)
    except UserError as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if not missing or not f"{name}.".startswith(f"{missing}."):
            raise  # the module exists, an import inside it failed
        package = sys.modules.get(name.partition(".")[0])
        wanted = f"{name.replace('.', '/')}.py"
        advice = f"Already imported: {package}." if package else f"Run the command in the folder that holds {wanted}."
        raise UserError(f"no module '{missing}' in {Path.cwd()} or the installed packages.\n{advice}") from None
