"""Runs notebooks/tour.ipynb in the terminal and writes it as an HTML page."""

import asyncio
import base64
import contextlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.data.datasets import load_dataset
from utils.document import Block, Code, Document, Markdown, Picture, Section
from utils.errors import UserError, needs_extra
from utils.figures import small_png
from utils.files import PROJECT_FOLDER, make_folder, shown
from utils.runtime import choose_device

with needs_extra("study"):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbformat import NotebookNode
    from traitlets.config import Config

NOTEBOOK = PROJECT_FOLDER / "notebooks" / "tour.ipynb"
HEADING = re.compile(r"(?:(?P<heading>#{1,2} [^\n]+)\n+)?(?P<text>.*)", re.DOTALL)
SHARP_FIGURES = ("--InlineBackend.figure_formats=retina",)  # two pixels for each CSS pixel
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
    tour_document(notebook).write_html(output / "tour.html")
    print(f"\nthe tour with its pictures: {shown(output / 'tour.html')}")


def tour_document(notebook: NotebookNode) -> Document:
    """The executed notebook as a page. A heading begins a section; the captions of a cell's figures are in its
    metadata."""
    title, sections = "", [Section("", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            sections[-1] = replace(sections[-1], blocks=[*sections[-1].blocks, *_code_blocks(cell)])
            continue
        heading, text = HEADING.fullmatch(cell.source).group("heading", "text")  # type: ignore[union-attr]
        if heading and heading.startswith("## "):
            sections.append(Section(heading[3:], []))
        elif heading:
            title = heading[2:]
        sections[-1] = replace(sections[-1], blocks=[*sections[-1].blocks, Markdown(text)])
    introduction, *others = sections
    return Document(title, [*introduction.blocks, *others])


def _code_blocks(cell: NotebookNode) -> Iterator[Block]:
    """The source of a cell with all text that it prints, then its figures."""
    outputs = [(output, output.get("data", {})) for output in cell.outputs]
    texts = [output.get("text") or data.get("text/plain", "") for output, data in outputs if "image/png" not in data]
    yield Code(cell.source, "\n".join(text.rstrip() for text in texts))
    figures = [(output.metadata["image/png"], data["image/png"]) for output, data in outputs if "image/png" in data]
    captions = [*cell.metadata.get("captions", ()), *("" for _ in figures)]
    for (size, content), caption in zip(figures, captions, strict=False):
        yield Picture(small_png(base64.b64decode(content)), caption, width=size["width"])


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
        super().__init__(
            notebook, timeout=None, extra_arguments=[*SHARP_FIGURES], config=Config({"KernelManager": manager})
        )
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
