"""Pages as data: a `Document` of blocks becomes a self-contained HTML page or Markdown.

The HTML comes from the jinja2 templates in utils/templates, which escape every text. The pictures are inside the page.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from utils.figures import as_png
from utils.files import shown, write_whole

OVERVIEW = "overview.html"
REPORT = "report.html"
FIRST_LEVEL = 2  # the level of a section's heading in HTML; the title of the page has level 1


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Command:
    """Shell commands, such as those that repeat a measurement."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column holds the names. A click on a column header of a sortable table sorts its rows; a
    field on the page filters them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    sortable: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG and its description, which is the caption and the alternative text."""

    png: bytes
    description: str
    name: str = ""
    """Name of its PNG file, without suffix, if the picture is also written as a file."""

    @property
    def url(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Gallery:
    """Small pictures of PNG files beside the page. Each links to `href`."""

    href: str
    files: Sequence[str]
    """Paths relative to the page."""

    @property
    def images(self) -> list[tuple[str, str]]:
        """URL and name of each picture."""
        return [(quote(file), Path(file).stem) for file in self.files]

    @property
    def url(self) -> str:
        return _url(self.href)


@dataclass(frozen=True)
class Link:
    """A link on a line of its own, to a web address or to a path relative to the page."""

    text: str
    href: str

    @property
    def url(self) -> str:
        return _url(self.href)


@dataclass(frozen=True)
class Columns:
    """Blocks side by side on a wide screen, one below the other on a narrow one and in Markdown."""

    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence["Block"]


Block: TypeAlias = Text | Command | Table | Picture | Gallery | Link | Columns | Section


@dataclass(frozen=True)
class Document:
    """A page: a title and blocks."""

    title: str
    blocks: Sequence[Block]

    @property
    def is_sortable(self) -> bool:
        return any(isinstance(block, Table) and block.sortable for block in _all_blocks(self.blocks))

    @cached_property
    def pictures(self) -> list[Picture]:
        """All pictures, those inside sections and columns included."""
        return [block for block in _all_blocks(self.blocks) if isinstance(block, Picture)]

    def to_html(self) -> str:
        """One file with style, script and pictures inside; it fetches nothing."""
        return TEMPLATES.get_template("page.html").render(document=self, first_level=FIRST_LEVEL)

    def to_markdown(self, picture_folder: str) -> str:
        """The blocks without the title, for a chapter of another file: headings start at level 2. The pictures are
        expected in `picture_folder`, see `write_pictures`."""
        return _markdown(self.blocks, picture_folder, FIRST_LEVEL)

    def write_html(self, path: Path) -> None:
        write_whole(path, self.to_html().encode())

    def write_pictures(self, folder: Path) -> None:
        """Writes every picture that has a name as `folder/NAME.png`."""
        for picture in self.pictures:
            if picture.name:
                write_whole(folder / f"{picture.name}.png", picture.png)


def picture_of(figure: Figure, description: str, name: str = "") -> Picture:
    """The figure as a picture block."""
    return Picture(as_png(figure), description, name)


def write_picture_page(file: Path, title: str, figures: dict[str, Figure], notes: Sequence[str | Block] = ()) -> None:
    """Writes a page with these figures and beside it each figure as a PNG of its name; prints the page's path. The
    notes are paragraphs and other blocks above the figures.

    The page gets a folder of its own inside the folder of a run, whose overview is updated.
    """
    pictures = [picture_of(figure, name, name) for name, figure in figures.items()]
    document = Document(title, [*(Text(note) if isinstance(note, str) else note for note in notes), *pictures])
    document.write_pictures(file.parent)
    document.write_html(file)
    overview(file.parent.parent).write_html(file.parent.parent / OVERVIEW)
    print(f"{len(figures)} pictures and a page: {shown(file)}")


def overview(folder: Path) -> Document:
    """All pictures beside the pages `folder/*/*.html`, small, with links to these pages and to the folder's report."""
    blocks: list[Block] = []
    if (folder / REPORT).exists():
        blocks.append(Link("Report: metrics, confusion matrices, mistakes", REPORT))
    for page in sorted(folder.glob("*/*.html")):
        name = page.parent.name
        href = f"{name}/{page.name}"
        files = [f"{name}/{png.name}" for png in sorted(page.parent.glob("*.png"))]
        blocks.append(Section(name.replace("-", " "), [Link("page with these pictures", href), Gallery(href, files)]))
    return Document(f"{folder.name}: all pictures of the network", blocks)


def _markdown(blocks: Sequence[Block], picture_folder: str, level: int) -> str:
    """The blocks with a blank line between them; `level` is that of the next heading."""
    return "\n\n".join(_block_markdown(block, picture_folder, level) for block in blocks)


def _block_markdown(block: Block, picture_folder: str, level: int) -> str:
    match block:
        case Text(text):
            return _escaped(text)
        case Command(lines):
            return "\n".join(["```bash", *lines, "```"])
        case Table(header, rows):
            cells = [[_escaped(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
            cells.insert(1, ["---"] * len(header))
            return "\n".join(f"| {' | '.join(row)} |" for row in cells)
        case Picture(_, description, name):
            return f"![{_escaped(description)}]({quote(f'{picture_folder}/{name}.png')})"
        case Gallery():
            return "\n".join(f"[![{_escaped(name)}]({url})]({block.url})" for url, name in block.images)
        case Link(text):
            return f"[{_escaped(text)}]({block.url})"
        case Columns(inner):
            return _markdown(inner, picture_folder, level)
        case Section(title, inner):
            return f"{'#' * level} {_escaped(title)}\n\n{_markdown(inner, picture_folder, level + 1)}"


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["kind"] = lambda block: type(block).__name__


def _all_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Columns | Section):
            yield from _all_blocks(block.blocks)


def _escaped(text: str) -> str:
    """The text with the characters escaped that Markdown would read as markup."""
    return " ".join(text.replace("<", "&lt;").replace("*", "\\*").splitlines())


def _url(href: str) -> str:
    return href if href.startswith(("https://", "http://", "#")) else quote(href)
