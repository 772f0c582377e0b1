"""What a report consists of, before it is HTML or Markdown."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from utils.html_page import picture, table


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def as_html(self) -> str:
        return f"<p>{html.escape(self.text)}</p>"

    def as_markdown(self, _pictures: str) -> str:
        return self.text


@dataclass(frozen=True)
class Command:
    """What makes the figures that stand above it again."""

    lines: Sequence[str]

    def as_html(self) -> str:
        return f"<pre>{html.escape(chr(10).join(self.lines))}</pre>"

    def as_markdown(self, _pictures: str) -> str:
        return "\n".join(["```bash", *self.lines, "```"])


@dataclass(frozen=True)
class Table:
    """Texts in rows, the first column the names."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_html(self) -> str:
        return table(list(self.header), [list(row) for row in self.rows])

    def as_markdown(self, _pictures: str) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


@dataclass(frozen=True)
class Picture:
    """A PNG with what it shows."""

    name: str
    description: str
    png: bytes
    lies_at: str = ""
    """Its path in the project, where a picture of another command is shown; the report's own are written for it."""

    def as_html(self) -> str:
        return f"<div>{picture(self.png, self.description)}<p><small>{html.escape(self.description)}</small></p></div>"

    def as_markdown(self, pictures: str) -> str:
        return f"![{self.description}]({self.lies_at or f'{pictures}/{self.file_name}'})"

    @property
    def file_name(self) -> str:
        return f"study_{self.name}.png"


Block = Text | Command | Table | Picture


@dataclass(frozen=True)
class Section:
    """A part of the report; `brief` are those of its blocks that the README has too."""

    title: str
    blocks: Sequence[Block]
    brief: Sequence[Block]

    def as_html(self) -> str:
        return "\n".join([f"<h2>{html.escape(self.title)}</h2>", *(block.as_html() for block in self.blocks)])

    def as_markdown(self, pictures: str) -> str:
        return "\n\n".join([f"### {self.title}", *(block.as_markdown(pictures) for block in self.brief)])


def missing_section(title: str, command: str) -> Section:
    """For a study that was not made."""
    blocks: list[Block] = [Text("This study was not made yet; it is made by:"), Command([command])]
    return Section(title, blocks, blocks)
