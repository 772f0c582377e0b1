"""Pages as data: a `Document` of blocks becomes a self-contained HTML page or Markdown.

The HTML comes from the jinja2 templates in utils/templates, which escape every text. Pictures, style and scripts are
inside the page.
"""

import base64
import importlib.metadata
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from utils.errors import needs_extra
from utils.figures import MAX_PICTURE_BYTES, NO_BREAK, PNG_DPI, as_png, as_svg, is_photograph
from utils.files import study_folder, write_whole
from utils.navigation import TEMPLATES, navigation, refresh_navigation

FIRST_LEVEL = 2  # the level of a section's heading in HTML; the title of the page has level 1
CSS_PIXELS_PER_INCH = 96
SHEET_COLUMNS, SHEET_ROWS = 32, 32  # digits of a picture that holds many digits
GREY_LEVELS = 16  # of these digits, which makes the picture half as large
MIN_FILTERED_ROWS = 6  # a shorter table needs no filter
MAX_ROWS_SHOWN = 30  # a longer table scrolls inside a box
MAX_WIDE_COLUMNS = 6  # of a matrix
LONG_TEXT = 18  # characters: the text of a cell that needs a wide column
# Spaces in the header of a table where no line ends.
UNBROKEN = re.compile(r"(?<=\d) (?=%|px|s\b)|(?<=\bn) (?=\d)")
SHORT_PREFIX = re.compile(r"(?<=\b\w)-(?=\w)")  # the hyphen of `k-NN`
NUMBER = re.compile(r"[+-]?[\d.,]*\d")


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Command:
    """Shell commands, such as those that repeat a measurement."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Code:
    """A cell of a notebook: lines of Python, and the text that they print."""

    source: str
    output: str = ""


@dataclass(frozen=True)
class Markdown:
    """Text with the markup of Markdown, such as code and lists. HTML in the text is shown as text."""

    text: str


@dataclass(frozen=True)
class Facts:
    """The most important values of a page, large, each with its label."""

    items: Sequence[tuple[str, str]]
    """Label and value."""


@dataclass(frozen=True)
class Link:
    """A link on a line of its own or in a table, to a web address or to a path relative to the page."""

    text: str
    href: str

    @property
    def url(self) -> str:
        return _url(self.href)


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column holds the names. A click on a column header of a sortable table sorts its rows; a
    field above it filters them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    sortable: bool = False

    @property
    def has_filter(self) -> bool:
        return self.sortable and len(self.rows) >= MIN_FILTERED_ROWS

    @property
    def is_tall(self) -> bool:
        """Whether the table scrolls inside a box of its own."""
        return len(self.rows) > MAX_ROWS_SHOWN

    @property
    def column_classes(self) -> list[str]:
        """Per column: `number` if all cells begin with a number or are empty, so that they are aligned on the right;
        `long` if a cell has a longer text; else empty."""
        classes = []
        for place in range(len(self.header)):
            cells = [row[place] for row in self.rows]
            texts = [cell if isinstance(cell, str) else cell.text for cell in cells]
            filled = [text for text in texts if text not in ("", "-")]
            is_number = place > 0 and bool(filled) and all(map(NUMBER.match, filled))
            is_long = any(len(text) >= LONG_TEXT for text in filled)
            classes.append("number" if is_number else "long" if is_long else "")
        return classes


@dataclass(frozen=True)
class Picture:
    """A PNG or SVG and its description, which is the caption and the alternative text."""

    content: bytes
    description: str
    name: str = ""
    """Name of its file, without suffix, if the picture is also written as a file."""
    is_svg: bool = False
    width: int = 0
    """Width in CSS pixels at which the text has its size; 0 if unknown."""

    @property
    def url(self) -> str:
        kind = "svg+xml" if self.is_svg else "png"
        return f"data:image/{kind};base64,{base64.b64encode(self.content).decode()}"

    @property
    def file_name(self) -> str:
        return f"{self.name}.{'svg' if self.is_svg else 'png'}"


@dataclass(frozen=True)
class Digit:
    """A digit of a `DigitMatrix` or a `DigitMap`, with its caption."""

    image: UInt8[np.ndarray, "28 28"]
    caption: str


@dataclass(frozen=True)
class MatrixCell:
    """A number, and the digits that a click on it shows."""

    count: int
    digits: Sequence[Digit]
    title: str
    """Heading above the digits, such as `4 read as 9: 12 digits`."""


@dataclass(frozen=True)
class DigitMatrix:
    """A table of counts, such as a confusion matrix. A click on a number shows digits of that cell."""

    description: str
    row_label: str
    """What the rows are, such as `true class`."""
    column_label: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    cells: Mapping[tuple[int, int], MatrixCell]
    """(row, column) -> cell; the other cells are empty."""
    is_confusion: bool = False
    """Whether the colour of the cells beside the diagonal is the number of mistakes."""

    @property
    def has_few_columns(self) -> bool:
        """Whether there is room for wide cells."""
        return len(self.column_names) <= MAX_WIDE_COLUMNS

    @cached_property
    def digits(self) -> list[Digit]:
        """Of all cells, in the order of `cells`."""
        return [digit for cell in self.cells.values() for digit in cell.digits]

    @cached_property
    def first_digit(self) -> dict[tuple[int, int], int]:
        """Position of each cell's first digit in `digits`."""
        starts = np.cumsum([0, *(len(cell.digits) for cell in self.cells.values())])
        return {place: int(start) for place, start in zip(self.cells, starts, strict=False)}

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script needs."""
        return _digits_data(self.digits)

    @property
    def first_shown(self) -> tuple[int, int] | None:
        """The cell whose digits are shown before the first click: the most frequent mistake, else the first cell."""
        return max(self.cells, key=lambda place: self.heat(*place), default=None)

    def heat(self, row: int, column: int) -> float:
        """From 0 to 1: the mistakes of this kind as a fraction of the most frequent kind."""
        if not self.is_confusion or row == column:
            return 0.0
        return self.cells[row, column].count / max(cell.count for (i, j), cell in self.cells.items() if i != j)


@dataclass(frozen=True)
class DigitMap:
    """A picture with a point per digit on each of one or more maps. The point under the mouse shows its digit, and
    where the digit is on the other maps."""

    picture: Picture
    digits: Sequence[Digit]
    places: Float[np.ndarray, "maps digits 2"]
    """Of each point, as fractions of the width and height of the picture, from the upper left."""

    @property
    def data(self) -> dict[str, Any]:
        return {**_digits_data(self.digits), "places": (self.places * 10_000).round().astype(int).tolist()}


def _digits_data(digits: Sequence[Digit]) -> dict[str, Any]:
    """Digits for a script of the page: their captions and, as pictures, sheets of SHEET_ROWS x SHEET_COLUMNS digits."""
    size = SHEET_ROWS * SHEET_COLUMNS
    return {
        "sheets": [_sheet(digits[start : start + size]) for start in range(0, len(digits), size)],
        "columns": SHEET_COLUMNS,
        "size": size,
        "captions": [digit.caption for digit in digits],
    }


def _sheet(digits: Sequence[Digit]) -> str:
    """The URL of one picture of all these digits, black on white."""
    sheet = np.zeros((-(-len(digits) // SHEET_COLUMNS), SHEET_COLUMNS, 28, 28), np.uint8)
    for place, digit in enumerate(digits):
        sheet[divmod(place, SHEET_COLUMNS)] = digit.image
    darkness = np.round(sheet.transpose(0, 2, 1, 3).reshape(-1, 28 * SHEET_COLUMNS) / 255 * (GREY_LEVELS - 1))
    picture = Image.fromarray(darkness.astype(np.uint8), "P")
    picture.putpalette([255 - level * 255 // (GREY_LEVELS - 1) for level in range(GREY_LEVELS) for _ in "rgb"])
    content = io.BytesIO()
    picture.save(content, "png", optimize=True, bits=4)
    return Picture(content.getvalue(), "").url


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart, whose points show their values under the mouse."""

    specification: dict[str, Any]
    """As `altair.Chart.to_dict()` gives it."""
    description: str


@dataclass(frozen=True)
class Sliders:
    """The accuracy of networks on moved digits, with a slider for the shift to the right, the shift up, the scale and
    the rotation. Shift, scale and rotation are measured apart from one another."""

    description: str
    networks: Sequence[str]
    digit: UInt8[np.ndarray, "28 28"]
    """An example, which moves with the sliders."""
    shift_maps: Float[np.ndarray, "networks down right"]
    """Accuracy after each shift by whole pixels, the map's centre being no shift."""
    scales: Sequence[float]
    scale_accuracy: Float[np.ndarray, "networks scales"]
    angles: Sequence[float]
    """Degrees, counterclockwise."""
    angle_accuracy: Float[np.ndarray, "networks angles"]

    @property
    def data(self) -> dict[str, Any]:
        return {
            "shift": np.round(self.shift_maps, 4).tolist(),
            "scale": np.round(self.scale_accuracy, 4).tolist(),
            "angle": np.round(self.angle_accuracy, 4).tolist(),
            "scales": list(self.scales),
            "angles": list(self.angles),
        }

    @property
    def reach(self) -> int:
        """The largest shift in pixels."""
        return self.shift_maps.shape[1] // 2

    @property
    def url(self) -> str:
        content = io.BytesIO()
        Image.fromarray(255 - self.digit).save(content, "png")
        return Picture(content.getvalue(), "").url


@dataclass(frozen=True)
class Gallery:
    """Small pictures of files beside the page. Each links to `href`."""

    href: str
    pictures: Mapping[str, str]
    """Path relative to the page -> caption."""

    @property
    def images(self) -> list[tuple[str, str]]:
        """URL and caption of each picture."""
        return [(quote(file), caption) for file, caption in self.pictures.items()]

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


Block: TypeAlias = (
    Text
    | Markdown
    | Command
    | Code
    | Facts
    | Table
    | Picture
    | DigitMatrix
    | DigitMap
    | Chart
    | Sliders
    | Gallery
    | Link
    | Columns
    | Section
)
SCRIPTS = {
    Table: "table.js",
    DigitMatrix: "digits.js",
    DigitMap: "digits.js",
    Chart: "chart.js",
    Sliders: "sliders.js",
}


@dataclass(frozen=True)
class Document:
    """A page: a title, a summary and blocks."""

    title: str
    blocks: Sequence[Block]
    summary: Sequence[Block] = ()
    """The most important results, above the contents."""
    subject: str = ""
    """What the page is about, such as the name of a run; a line above the title."""

    @cached_property
    def all_blocks(self) -> list[Block]:
        """Those inside sections and columns included."""
        return list(_all_blocks([*self.summary, *self.blocks]))

    @property
    def pictures(self) -> list[Picture]:
        maps = [block.picture for block in self.all_blocks if isinstance(block, DigitMap)]
        return [*maps, *(block for block in self.all_blocks if isinstance(block, Picture))]

    @property
    def scripts(self) -> list[str]:
        """The scripts that the blocks of the page need."""
        kinds = {type(block) for block in self.all_blocks}
        return list(dict.fromkeys(script for kind, script in SCRIPTS.items() if kind in kinds))

    @cached_property
    def sections(self) -> list[tuple[str, Section, list[tuple[str, Section]]]]:
        """The contents: the id and each section, with the ids and the sections directly inside it."""
        return [
            (id_, section, list(_numbered(section.blocks, id_))) for id_, section in _numbered(self.blocks, "section")
        ]

    @property
    def section_ids(self) -> dict[int, str]:
        """The identity of each section in the contents -> its id in the page."""
        outer = {id(section): id_ for id_, section, _ in self.sections}
        return outer | {id(it): id_ for _, _, inner in self.sections for id_, it in inner}

    def to_html(self, header: str = "") -> str:
        """One file with style, scripts and pictures inside; it fetches nothing. `header` is HTML, see `navigation`."""
        has_chart = "chart.js" in self.scripts
        return TEMPLATES.get_template("page.html").render(
            document=self, first_level=FIRST_LEVEL, header=header, bundle=_chart_bundle() if has_chart else ""
        )

    def to_markdown(self, picture_folder: str) -> str:
        """The summary and the blocks without the title, for a chapter of another file: headings start at level 2. The
        pictures are expected in `picture_folder`, see `write_pictures`."""
        return _markdown([*self.summary, *self.blocks], picture_folder, FIRST_LEVEL)

    def write_html(self, path: Path, run_folder: Path | None = None) -> None:
        """Writes the page with links to the pages of the study and, if `run_folder` is the folder of a run's pages, to
        these. The same pages get a link to this one."""
        write_whole(path, b"")  # so that the page is among those that the navigation finds
        write_whole(path, self.to_html(navigation(path, run_folder)).encode())
        refresh_navigation(path, run_folder)

    def write_pictures(self, folder: Path) -> None:
        """Writes every picture that has a name into the folder."""
        for picture in self.pictures:
            if picture.name:
                write_whole(folder / picture.file_name, picture.content)


def picture_of(figure: Figure, description: str, name: str = "") -> Picture:
    """The figure as a picture block: an SVG, or a PNG if it shows digits or if the SVG would be too large."""
    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    if not is_photograph(figure):
        content = as_svg(figure)
        if len(content) <= MAX_PICTURE_BYTES:
            return Picture(content, description, name, is_svg=True, width=width)
    return Picture(as_png(figure), description, name, width=width)


def picture_file(folder: Path, name: str, description: str) -> list[Picture]:
    """The picture that was written into the folder under this name; an empty list if there is none."""
    for file in (folder / f"{name}.svg", folder / f"{name}.png"):
        if file.exists():
            content, is_svg = file.read_bytes(), file.suffix == ".svg"
            points = re.search(rb'<svg[^>]* width="([\d.]+)pt"', content) if is_svg else None
            inches = float(points[1]) / 72 if points else 0 if is_svg else Image.open(file).width / PNG_DPI
            return [Picture(content, description, name, is_svg, round(inches * CSS_PIXELS_PER_INCH))]
    return []


@cache
def _chart_bundle() -> str:
    """The JavaScript of Vega-Lite that draws charts. It takes seconds to make, so it is kept as a file."""
    file = study_folder() / "charts" / f"vega-{importlib.metadata.version('vl-convert-python')}.js"
    if not file.exists():
        import vl_convert  # loads a JavaScript engine

        bundle = vl_convert.javascript_bundle(None)  # type: ignore[arg-type]  # the stubs lack the default
        write_whole(file, re.sub(r"</(script)", r"<\\/\1", bundle, flags=re.IGNORECASE).encode())
    return file.read_text(encoding="utf-8")


def _markdown(blocks: Sequence[Block], picture_folder: str, level: int) -> str:
    """The blocks with a blank line between them; `level` is that of the next heading."""
    return "\n\n".join(_block_markdown(block, picture_folder, level) for block in blocks)


def _block_markdown(block: Block, picture_folder: str, level: int) -> str:
    match block:
        case Text(text):
            return _escaped(text)
        case Markdown(text):
            return text
        case Command(lines):
            return "\n".join(["```bash", *lines, "```"])
        case Code(source, output):
            printed = f"\n\n```text\n{output}\n```" if output else ""
            return f"```python\n{source}\n```{printed}"
        case Facts(items):
            return "\n".join(f"- {_escaped(label)}: {_escaped(value)}" for label, value in items)
        case Table(header, rows):
            cells = [[_cell_markdown(cell) for cell in row] for row in (header, *rows)]
            cells.insert(1, ["---"] * len(header))
            return "\n".join(f"| {' | '.join(row)} |" for row in cells)
        case Picture(_, description):
            return f"![{_escaped(description)}]({quote(f'{picture_folder}/{block.file_name}')})"
        case DigitMap(picture):
            return _block_markdown(picture, picture_folder, level)
        case DigitMatrix() | Chart() | Sliders():
            return f"{_escaped(block.description)} (on the HTML page)"
        case Gallery():
            return "\n".join(f"[![{_escaped(name)}]({url})]({block.url})" for url, name in block.images)
        case Link(text):
            return f"[{_escaped(text)}]({block.url})"
        case Columns(inner):
            return _markdown(inner, picture_folder, level)
        case Section(title, inner):
            return f"{'#' * level} {_escaped(title)}\n\n{_markdown(inner, picture_folder, level + 1)}"


def _cell_markdown(cell: str | Link) -> str:
    text = cell if isinstance(cell, str) else f"[{cell.text}]({cell.url})"
    return _escaped(text).replace("|", "\\|")


def _cell_html(cell: str | Link, kind: str) -> str | Link:
    """A cell of a table. A number with its interval or unit is broken only before a bracket, or without one before the
    second end of an interval."""
    if isinstance(cell, str) and kind == "number":
        text = cell.replace(" ", NO_BREAK)
        return text.replace(f"{NO_BREAK}(", " (") if "(" in text else text.replace(f"{NO_BREAK}to", " to")
    return cell


def _heading_html(name: str) -> str:
    """The name of a column, without a line's end between a number and its unit or inside `l-infinity`."""
    return SHORT_PREFIX.sub("\u2011", UNBROKEN.sub(NO_BREAK, name))


def _markdown_html(text: str) -> str:
    """HTML of Markdown by mistune, which escapes the HTML in the text."""
    with needs_extra("study"):
        import mistune

    return str(mistune.create_markdown(escape=True)(text))


def _python_html(source: str) -> str:
    """HTML of Python with a class per kind of token, by Pygments."""
    with needs_extra("study"):
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

    return str(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))


TEMPLATES.filters |= {
    "kind": lambda block: type(block).__name__,
    "identity": id,
    "cell": _cell_html,
    "heading": _heading_html,
    "markdown": _markdown_html,
    "python": _python_html,
}


def _numbered(blocks: Sequence[Block], prefix: str) -> Iterator[tuple[str, Section]]:
    """The sections among the blocks with ids."""
    return ((f"{prefix}-{place}", block) for place, block in enumerate(blocks) if isinstance(block, Section))


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
