"""The house: which way imports run, and what a recipe may hold."""

import ast
from pathlib import Path

import pytest

from utils.paths import PROJECT_FOLDER

# Floor -> the floors below it, which it may import.
BELOW = {
    "utils": set(),
    "models": {"utils"},
    "trainers": {"models", "utils"},
    "data_inspection": {"utils"},
    "model_interpretation": {"models", "utils"},
    "study": {"trainers", "model_interpretation", "models", "utils"},
}
FLOORS = set(BELOW) | {"mnist", "benchmarks", "tests"}


def imported_floors(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            modules.add(node.module or "")
    return {module.split(".")[0] for module in modules} & FLOORS


def source_files(floor: str) -> list[Path]:
    return sorted((PROJECT_FOLDER / floor).rglob("*.py"))


@pytest.mark.parametrize("floor", BELOW)
def test_imports_run_one_way(floor):
    for file in source_files(floor):
        assert imported_floors(file) <= BELOW[floor] | {floor}, file


def test_the_trainer_does_not_know_the_specific_trainers():
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
    assert isinstance(docstring, ast.Expr) and all(isinstance(node, ast.ImportFrom) for node in imports)
    assert ast.unparse(recipe).startswith("RECIPE = Recipe(")
    assert ast.unparse(main_line) == "if __name__ == '__main__':\n    main(RECIPE, __doc__)"
