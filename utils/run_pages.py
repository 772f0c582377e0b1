"""The pages of a run: each in a folder of its own with its pictures, and an overview of all pictures."""

import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path

from utils.document import Block, Document, Gallery, Section, Text
from utils.files import shown
from utils.navigation import OVERVIEW, REPORT

TITLE = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)


def write_run_page(file: Path, title: str, blocks: Sequence[Block], summary: Sequence[Block] = ()) -> None:
    """Writes a page and beside it each of its named pictures as a file, and prints the page's path.

    The folder of the page is inside the folder of a run's pages, whose overview is updated.
    """
    folder = file.parent.parent
    document = Document(title, blocks, summary, subject=f"Run {folder.name}")
    document.write_pictures(file.parent)
    document.write_html(file, folder)
    write_overview(folder)
    print(f"{len(document.pictures)} pictures and a page: {shown(file)}")


def write_overview(folder: Path) -> None:
    """Writes the page with all pictures of a run, small, with links to the pages that hold them: `folder`/report.html
    and `folder`/*/*.html."""
    blocks = []
    for page in [*folder.glob(REPORT), *sorted(folder.glob("*/*.html"))]:
        pictures = sorted(path for suffix in ("png", "svg") for path in page.parent.glob(f"*.{suffix}"))
        files = [path.relative_to(folder).as_posix() for path in pictures]
        title = TITLE.search(page.read_text(encoding="utf-8"))
        name = unescape(title[1]) if title else page.parent.name
        blocks.append(Section(name, [Gallery(page.relative_to(folder).as_posix(), files)]))
    summary = [Text("Every picture links to the page that shows it large and explains it.")]
    document = Document("All pictures of the network", blocks, summary, f"Run {folder.name}")
    document.write_html(folder / OVERVIEW, folder)
