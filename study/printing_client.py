"""A notebook that is run in the terminal."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config


class PrintingClient(NotebookClient):
    """Runs a notebook's cells in order and prints its text, and what the cells give, at once; pictures are left out."""

    def __init__(self, notebook: NotebookNode, folder: Path) -> None:
        """Talks to its kernel through files in the folder, where the system can: nobody else there can listen."""
        manager = {} if sys.platform == "win32" else {"transport": "ipc", "ip": str(folder / "kernel")}
        super().__init__(notebook, timeout=None, config=Config({"KernelManager": manager}))
        self.on_cell_start = self.begin_cell

    def begin_cell(self, cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG002 - as nbclient calls it
        """Prints a cell of text. Ctrl-C stops as everywhere: nbclient would tear its kernel down and go on without."""
        with contextlib.suppress(NotImplementedError):  # on Windows the loop has no handlers
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        if cell.cell_type == "markdown":
            print(f"\n{cell.source}\n", flush=True)

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        text = msg["content"].get("text") or msg["content"].get("data", {}).get("text/plain", "")
        if text and not text.startswith("<Figure"):
            print(text.rstrip(), flush=True)
        return super().process_message(msg, cell, cell_index)
