"""The quickstart notebook runs on the bundled digits and stores no outputs."""

import json
import re

import nbformat
import pytest
from nbclient import NotebookClient

from utils.files import PROJECT_FOLDER
from utils.run import Run

NOTEBOOK = PROJECT_FOLDER / "notebooks" / "quickstart.ipynb"


def texts(notebook):
    """All text that the cells print or return."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_the_notebook_stores_no_outputs():
    assert not any(cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text())["cells"])


@pytest.mark.real_mnist
def test_the_notebook_runs_from_top_to_bottom(real_mirror):
    notebook = NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=300).execute()
    (run,) = Run.finished()  # the custom trainer writes no run folder
    assert run.recipe.dataset == "digits" and len(run.metrics) == 5
    printed = texts(notebook)
    assert f"{run.summary.test_num_correct} of 359 correct" in printed
    assert f"accuracy {run.summary.test_accuracy:.2%}" in printed
    losses = [float(loss) for loss in re.findall(r"epoch \d: loss ([\d.]+)", printed)]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert re.search(r"rotation_20: [\d.]+% \([\d.]+% to [\d.]+%\)", printed)
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "image/png" in str(output)]
    assert len(pictures) == 3
