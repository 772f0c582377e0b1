"""The tour: it runs from top to bottom, tells the truth about its run, and defines nothing of its own."""

import ast
import json

import pytest

from study.tour import NOTEBOOK
from utils.run_folder import RunFolder


def code_cells():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_defines_nothing_anew_and_is_kept_without_outputs():
    for source in code_cells():
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
    assert not any(cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text())["cells"])


def test_the_tour_runs_from_top_to_bottom(command, home):
    code, printed, error = command("tour", "--dataset", "digits", "--max-epochs", "2", "--output", str(home / "page"))
    assert code == 0, error
    page = (home / "page" / "tour.html").read_text()
    assert page.count("<img ") == 8 and 'src="http' not in page and 'href="http' not in page
    (run,) = RunFolder.finished()
    summary = run.summary()
    assert summary["num_epochs_run"] == 2
    verdict = f"accuracy {summary['test_accuracy']:.2%} ({summary['test_num_correct']:,} of 359 right)"
    assert verdict in printed and verdict in page
    assert "epoch   2/2" in printed and "## What it cannot do" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-epochs", "0"], "--max-epochs 0"),
        (["--max-epochs", "many"], "many"),
        (["--dataset", "letters"], "unknown data set 'letters'"),
        (["--dataset", "csv:nothing.csv"], "nothing.csv"),
        (["--network", "conv"], "--network"),
    ],
)
def test_bad_input(command, home, arguments, message):
    code, printed, error = command("tour", "--output", str(home / "page"), *arguments)
    assert code == 2 and printed == "" and error.startswith("error: ") and message in error
    assert not (home / "page").exists() and not RunFolder.all()
