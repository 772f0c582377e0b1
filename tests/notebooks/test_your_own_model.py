"""The notebook about your own model runs from top to bottom on the bundled digits and stores no outputs."""

import json
import re

import nbformat
import pytest
from nbclient import NotebookClient

from utils.files import PROJECT_FOLDER
from utils.run import Run

NOTEBOOK = PROJECT_FOLDER / "notebooks" / "your_own_model.ipynb"


def test_the_notebook_stores_no_outputs():
    assert not any(cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text())["cells"])


@pytest.mark.real_mnist  # the scorecard evaluates on MNIST's test set; without other data sets it says what is missing
def test_the_notebook_runs_from_top_to_bottom(real_mirror):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = 'DATASET, TRAIN_SIZE, NUM_EPOCHS = "digits", 1.0, 3'
    NotebookClient(notebook, timeout=300).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "\n".join(output.get("text") or output["data"].get("text/plain", "") for output in outputs)
    accuracies = re.findall(r"(cross-entropy|focal loss): test accuracy ([\d.]+)%", printed)
    assert [name for name, _ in accuracies] == ["cross-entropy", "focal loss"]
    assert all(float(accuracy) > 50 for _, accuracy in accuracies)
    table = next(output.data["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "expected calibration error" in table and len(re.findall(r"[\d.]+% \([\d.]+% to [\d.]+%\)", table)) >= 8
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not Run.all()  # trainers without a run write nothing
