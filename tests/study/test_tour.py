"""The tour notebook runs from top to bottom and shows the results of its own run."""

import ast
import json
import re

import pytest

from study.tour import NOTEBOOK
from utils.figures import MAX_PICTURE_BYTES
from utils.run import Run


def code_cells():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_defines_no_functions_and_stores_no_outputs():
    for source in code_cells():
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
    assert not any(cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text())["cells"])


def test_the_tour_runs_from_top_to_bottom(command, home):
    code, printed, error = command("tour", "--dataset", "digits", "--max-epochs", "2", "--output", str(home / "page"))
    assert code == 0, error
    page = (home / "page" / "tour.html").read_text()
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == page.count("<img ") == 9  # each with a caption
    assert all(len(content) * 3 / 4 <= MAX_PICTURE_BYTES for _, content in pictures)
    assert 'src="http' not in page and 'href="http' not in page and "<h2>What the network cannot do</h2>" in page
    (run,) = Run.finished()
    assert run.summary.num_epochs_run == 2
    result = f"accuracy {run.summary.test_accuracy:.2%} ({run.summary.test_num_correct:,} of 359"
    assert result in printed and result in page
    assert "epoch   2/2" in printed and "## What the network cannot do" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-epochs", "0"], "--max-epochs 0"),
        (["--max-epochs", "many"], "many"),
        (["--dataset", "letters"], "unknown data set 'letters'"),
        (["--dataset", "csv:nothing.csv"], "nothing.csv"),
        (["--device", "tpu"], "device 'tpu' is not on this machine"),
        (["--network", "conv"], "--network"),
    ],
)
def test_bad_input_is_refused(command, home, arguments, message):
    code, printed, error = command("tour", "--output", str(home / "page"), *arguments)
    assert code == 2 and printed == "" and error.startswith("error: ") and message in error
    assert not (home / "page").exists() and not Run.all()
