"""The pages of a run: each in a folder of its own with its pictures, and an overview of all pictures."""

import re
from collections import Counter
from collections.abc import Sequence
from html import unescape
from pathlib import Path

from utils.document import Block, Document, Gallery, Section, Text
from utils.files import shown
from utils.navigation import OVERVIEW, REPORT

TITLE = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)
HEADING_OR_PICTURE = re.compile(r'<h[2-6]>(?P<heading>[^<]*)</h[2-6]>|<img data-name="(?P<picture>[^"]*)"')


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
        text = page.read_text(encoding="utf-8")
        names = _headings_of_pictures(text)
        files = sorted(path for suffix in ("png", "svg") for path in page.parent.glob(f"*.{suffix}"))
        pictures = {path.relative_to(folder).as_posix(): names.get(path.stem, _caption(path)) for path in files}
        title = TITLE.search(text)
        name = unescape(title[1]) if title else page.parent.name
        blocks.append(Section(name, [Gallery(page.relative_to(folder).as_posix(), pictures)]))
    summary = [Text("Every picture links to the page that shows it large and explains it.")]
    document = Document("All pictures of the network", blocks, summary, f"Run {folder.name}")
    document.write_html(folder / OVERVIEW, folder)


def _headings_of_pictures(page: str) -> dict[str, str]:
    """Name of a picture of the page -> the heading above it, for headings of one picture only."""
    headings: dict[str, str] = {}
    heading = ""
    for found in HEADING_OR_PICTURE.finditer(page):
        if found["picture"] is None:
            heading = unescape(found["heading"])
        else:
            headings[unescape(found["picture"])] = heading
    counts = Counter(headings.values())
    return {name: heading for name, heading in headings.items() if heading and counts[heading] == 1}


def _caption(picture: Path) -> str:
    """`test_worst_mistakes.png` gives `Test worst mistakes`, and `01-conv_1.png` gives `Conv 1`."""
    words = re.sub(r"^\d+-", "", picture.stem).replace("_", " ")
    return words[:1].upper() + words[1:]
