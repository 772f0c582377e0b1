"""Runs notebooks/tour.ipynb in the terminal and writes it as an HTML page."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from utils.data.datasets import load_dataset
from utils.errors import UserError, needs_extra
from utils.files import PROJECT_FOLDER, make_folder, shown, write_whole
from utils.runtime import choose_device

with needs_extra("study"):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode
    from traitlets.config import Config

NOTEBOOK = PROJECT_FOLDER / "notebooks" / "tour.ipynb"
STOPPED = "the tour was stopped; 'mnist train --resume RUN' continues the run that it was training"


def take_tour(dataset: str, max_epochs: int, output: Path, device: str = "auto") -> None:
    """Runs the tour on a data set, prints its text and results, and writes `output`/tour.html with the pictures.

    Raises UserError for an unknown data set, missing data or an unknown device before the tour starts.
    """
    if max_epochs < 1:
        raise UserError(f"--max-epochs {max_epochs}: expected at least 1")
    choose_device(device)
    load_dataset(dataset, "train")
    make_folder(output)
    notebook = _run_notebook({"DATASET": dataset, "MAX_EPOCHS": max_epochs, "DEVICE": device})
    page: str
    page, _ = HTMLExporter(mathjax_url="", require_js_url="").from_notebook_node(notebook)
    write_whole(output / "tour.html", page.encode())
    print(f"\nthe tour with its pictures: {shown(output / 'tour.html')}")


def _run_notebook(parameters: dict[str, Any]) -> NotebookNode:
    """Executes the notebook with these values in its parameters cell. Returns it with all outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    with tempfile.TemporaryDirectory() as folder:
        try:
            _PrintingClient(notebook, Path(folder)).execute(stderr=subprocess.DEVNULL)  # outputs arrive as messages
        except CellExecutionError as error:
            if error.ename == "UserError":
                raise UserError(error.evalue) from None
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt(STOPPED) from None
            raise
        except KeyboardInterrupt:
            raise KeyboardInterrupt(STOPPED) from None
    return notebook


class _PrintingClient(NotebookClient):
    """Executes a notebook's cells in order and prints their text and results at once; pictures are left out."""

    def __init__(self, notebook: NotebookNode, folder: Path) -> None:
        """Connects to the kernel by files in the folder, if the system can: no other user can connect to those."""
        manager = {} if sys.platform == "win32" else {"transport": "ipc", "ip": str(folder / "kernel")}
        super().__init__(notebook, timeout=None, config=Config({"KernelManager": manager}))
        self.on_cell_start = self.begin_cell

    def begin_cell(self, cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG002 - the signature of nbclient
        """Prints a text cell. Ctrl-C raises KeyboardInterrupt; nbclient's own handler would not end the tour."""
        with contextlib.suppress(NotImplementedError):  # on Windows the loop has no handlers
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        if cell.cell_type == "markdown":
            print(f"\n{cell.source}\n", flush=True)

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        text = msg["content"].get("text") or msg["content"].get("data", {}).get("text/plain", "")
        if text and not text.startswith("<Figure"):
            print(text.rstrip(), flush=True)
        return super().process_message(msg, cell, cell_index)
