"""`mnist tour`: runs notebooks/tour.ipynb from top to bottom and writes it as a page."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.atomic_files import make_folder, write_whole
from utils.command_line import parse_command_line
from utils.errors import UserError
from utils.paths import PROJECT_FOLDER, shown

if TYPE_CHECKING:
    from nbformat import NotebookNode

STOPPED = "the tour was stopped; what it was training lies in runs/, and mnist train --resume goes on with it"
NOTEBOOK = PROJECT_FOLDER / "notebooks" / "tour.ipynb"


@dataclass(frozen=True)
class TourCommand:
    dataset: str = "mnist"
    """Data set: mnist, fashion_mnist, kmnist, qmnist, emnist_digits, usps, digits (bundled with scikit-learn) or
    csv:FILE[,FILE...][,test=FILE]."""
    max_epochs: int = 200
    """Epochs after which training stops even if the training accuracy still rises."""
    output: Path = PROJECT_FOLDER / "notebooks" / "output"
    """Folder in which tour.html is written."""


def main(argv: list[str]) -> None:
    """A tour from the first digit to the first doubt: look at the data, build a network, teach it, judge it, see its
    mistakes. The text and what is printed appear here as it goes; the page has the pictures too.

    The same to click through and change: notebooks/tour.ipynb, in Jupyter or an editor that opens notebooks."""
    options = parse_command_line(TourCommand, argv, "mnist tour", main.__doc__)
    if options.max_epochs < 1:
        raise UserError(f"--max-epochs {options.max_epochs}: expected at least 1")

    from utils.datasets import load_dataset

    load_dataset(options.dataset, "train")  # what is wrong with it is found here, not in the middle of the tour
    make_folder(options.output)
    page = options.output / "tour.html"
    write_whole(page, as_page(run_notebook(options.dataset, options.max_epochs)))
    print(f"\nthe tour with its pictures: {shown(page)}")


def run_notebook(dataset: str, max_epochs: int) -> "NotebookNode":
    """The notebook with all its outputs. Its text and what it prints are printed as it goes."""
    import nbformat
    from nbclient.exceptions import CellExecutionError

    from study.printing_client import PrintingClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"DATASET = {dataset!r}\nMAX_EPOCHS = {max_epochs}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            PrintingClient(notebook, Path(folder)).execute(stderr=subprocess.DEVNULL)  # cells print by messages
        except CellExecutionError as error:
            if error.ename == "UserError":
                raise UserError(error.evalue) from None
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt(STOPPED) from None
            raise
        except KeyboardInterrupt:
            raise KeyboardInterrupt(STOPPED) from None
    return notebook


def as_page(notebook: "NotebookNode") -> bytes:
    """The notebook as one HTML file."""
    from nbconvert import HTMLExporter

    page: str
    page, _ = HTMLExporter(mathjax_url="", require_js_url="").from_notebook_node(notebook)
    return page.encode()
