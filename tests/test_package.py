"""What an installed package needs: its dependencies, its files, its version, and folders outside site-packages."""

import ast
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import utils
from utils.errors import UserError, needs_extra
from utils.files import PROJECT_FOLDER, data_folder, home_folder, output_folder, runs_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((PROJECT_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ["commands", "utils", "models", "trainers", "data_inspection", "model_interpretation", "study"]
# Module -> the package that brings it, where the names differ.
PACKAGE_OF = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "starlette": "fastapi",
    "traitlets": "nbclient",
    "cycler": "matplotlib",
    "google": "tensorboard",  # protobuf
    "vl_convert": "vl-convert-python",
}


def declared(requirements: list[str]) -> set[str]:
    """The names of the distributions, in lower case."""
    return {re.split(r"[<>=;\[ ]", requirement)[0].lower() for requirement in requirements}


def imports(node: ast.AST, extra: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Each imported top-level module, with the extra of the `with needs_extra(...)` around it."""
    if isinstance(node, ast.With) and "needs_extra" in (call := ast.unparse(node.items[0].context_expr)):
        extra = ast.literal_eval(call.removeprefix("needs_extra"))
    if isinstance(node, ast.Import):
        yield from ((alias.name.split(".")[0], extra) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield str(node.module).split(".")[0], extra
    for child in ast.iter_child_nodes(node):
        yield from imports(child, extra)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_imported_package_is_declared(package):
    core, extras = declared(PROJECT["project"]["dependencies"]), PROJECT["project"]["optional-dependencies"]
    for file in sorted((PROJECT_FOLDER / package).rglob("*.py")):
        for module, extra in set(imports(ast.parse(file.read_text(encoding="utf-8")))):
            if module in sys.stdlib_module_names or module in [*PACKAGES, "tomli", "tomllib"]:
                continue
            known = core | declared(extras[extra] if extra else [])
            assert PACKAGE_OF.get(module, module) in known, f"{file} imports {module}"


def test_requirements_files_take_the_dependencies_from_pyproject():
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-cluster.txt"):
        lines = (PROJECT_FOLDER / name).read_text(encoding="utf-8").splitlines()
        [requirement] = [line for line in lines if line and not line.startswith("#")]
        extras = re.fullmatch(r"-e \.\[(.*)\]", requirement)
        assert extras and set(extras[1].split(",")) <= set(PROJECT["project"]["optional-dependencies"]), name


def test_every_file_of_the_packages_is_shipped():
    patterns = [
        f"{'*' if package == '*' else package.replace('.', '/')}/{pattern}"
        for package, names in PROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in names
    ]
    for package in [*PACKAGES, "notebooks"]:
        for path in (PROJECT_FOLDER / package).rglob("*"):
            name = path.relative_to(PROJECT_FOLDER).as_posix()
            if path.is_file() and path.suffix not in (".py", ".pyc") and "/output/" not in name:
                assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_marked_as_typed(package):
    assert (PROJECT_FOLDER / package / "py.typed").is_file()


def test_all_documents_name_the_same_version():
    changelog = (PROJECT_FOLDER / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (PROJECT_FOLDER / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d.*?)\]", changelog, flags=re.MULTILINE)[0] == utils.__version__
    assert re.findall(r"^version: (.*)$", citation, flags=re.MULTILINE) == [utils.__version__]


def test_version(command):
    code, out, _ = command("--version")
    assert code == 0 and utils.__version__ in out


def test_missing_optional_package_names_the_pip_command():
    with pytest.raises(UserError) as error, needs_extra("draw"):
        import a_package_that_nobody_has  # noqa: F401
    assert str(error.value) == (
        'the package a_package_that_nobody_has is not installed: pip install "mnist-study-platform[draw]"'
    )


def test_home_moves_every_folder(home):
    assert (home_folder(), data_folder(), runs_folder()) == (home, home / "data", home / "runs")
    assert output_folder("study") == home / "study" / "output"


def test_home_of_a_checkout_is_the_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("MNIST_STUDY_HOME")
    monkeypatch.chdir(tmp_path)
    assert home_folder() == PROJECT_FOLDER


def test_home_of_an_installed_package_is_the_working_folder(tmp_path):
    installed, working = tmp_path / "site-packages", tmp_path / "working"
    shutil.copytree(PROJECT_FOLDER / "utils", installed / "utils")
    (installed / "pyproject.toml").write_text('[project]\nname = "another-project"\n', encoding="utf-8")
    working.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "MNIST_STUDY_HOME"}
    code = "from utils.files import *; print(data_folder(), runs_folder(), output_folder('study'), sep='\\n')"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=working, env={**environment, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = [working / "data", working / "runs", working / "study" / "output"]
    assert [Path(line) for line in printed.stdout.splitlines()] == expected


@pytest.mark.parametrize("name", ["utils/__init__.py", "utils.py", "models/__init__.py", "trainers/notes.txt"])
def test_another_package_of_the_same_name_is_named(tmp_path, name):
    """An installed package, a file of the user beside a script, or a folder."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    command = [sys.executable, "-m", "mnist", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode and not done.stdout and "Traceback" not in done.stderr
    package = Path(name).parts[0].removesuffix(".py")
    assert package in done.stderr and "into its own environment" in done.stderr and len(done.stderr.splitlines()) == 2
