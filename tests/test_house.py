"""The structure of the project: the direction of imports, the form of a recipe file, the size of modules."""

import ast
from pathlib import Path

import pytest

from utils.files import PROJECT_FOLDER

# Package -> the packages that it may import.
BELOW = {
    "utils": set(),
    "models": {"utils"},
    "trainers": {"models", "utils"},
    "data_inspection": {"utils"},
    "model_interpretation": {"models", "utils"},
    "study": {"trainers", "model_interpretation", "models", "utils"},
    "commands": {"data_inspection", "study", "trainers", "model_interpretation", "models", "utils"},
}
PACKAGES = set(BELOW) | {"mnist", "benchmarks", "tests"}
MAX_LINES = 600
MAX_MODULES = 180


def imported_packages(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            modules.add(node.module or "")
    return {module.split(".")[0] for module in modules} & PACKAGES


def source_files(package: str) -> list[Path]:
    return sorted((PROJECT_FOLDER / package).rglob("*.py"))


@pytest.mark.parametrize("package", BELOW)
def test_imports_run_one_way(package):
    for file in source_files(package):
        assert imported_packages(file) <= BELOW[package] | {package}, file


def test_modules_are_neither_many_nor_long():
    files = [
        PROJECT_FOLDER / "mnist.py",
        *(file for package in [*BELOW, "benchmarks"] for file in source_files(package)),
    ]
    assert len([file for file in files if file.name != "__init__.py"]) <= MAX_MODULES
    assert [str(file) for file in files if len(file.read_text().splitlines()) > MAX_LINES] == []


def test_generic_trainers_do_not_import_specific_ones():
    for file in source_files("trainers"):
        if file.parent.name != "specific_trainers":
            assert "trainers.specific_trainers" not in [
                node.module for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)
            ]


RECIPES = sorted((PROJECT_FOLDER / "trainers" / "specific_trainers").glob("*_trainer.py"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.name)
def test_a_specific_trainer_is_a_docstring_a_recipe_and_a_main_line(file):
    tree = ast.parse(file.read_text())
    docstring, *imports, recipe, main_line = tree.body
    name = file.stem.removesuffix("_trainer")
    assert isinstance(docstring, ast.Expr) and all(isinstance(node, ast.ImportFrom) for node in imports)
    assert ast.unparse(recipe).startswith("RECIPE = Recipe(")
    assert ast.unparse(main_line) == f"if __name__ == '__main__':\n    run_script({name!r})"
