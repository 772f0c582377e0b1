"""Pictures as files, a page with all of them, and the overview of all that was looked into of a run."""

import html
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from utils.atomic_files import write_whole
from utils.figures import as_png
from utils.html_page import page, picture
from utils.paths import shown

OVERVIEW = "overview.html"
REPORT = "report.html"


def write_picture_page(file: Path, title: str, figures: dict[str, Figure]) -> None:
    """Writes the page and beside it each figure as a PNG of its name, into a folder of their own in that of the run,
    whose overview then has them too; prints where they are."""
    pictures = {name: as_png(figure) for name, figure in figures.items()}
    for name, png in pictures.items():
        write_whole(file.with_name(f"{name}.png"), png)
    body = "\n".join(f"<div>{picture(png, name)}</div>" for name, png in pictures.items())
    write_whole(file, page(title, body).encode())
    write_overview(file.parent.parent)
    print(f"{len(figures)} pictures and a page: {shown(file)}")


def write_overview(folder: Path) -> None:
    """One page that shows the pictures of all pages in the run's folder, and leads to them and to the report."""
    body = [f'<p><a href="{REPORT}">Metrics, confusion matrices, mistakes</a></p>'] * (folder / REPORT).exists()
    for file in sorted(folder.glob("*/*.html")):
        link, name = quote(f"{file.parent.name}/{file.name}"), html.escape(file.parent.name.replace("-", " "))
        images = "\n".join(
            f'<a href="{link}"><img loading="lazy" alt="{html.escape(png.stem)}" src="{quote(png.parent.name)}/'
            f'{quote(png.name)}"></a>'
            for png in sorted(file.parent.glob("*.png"))
        )
        body.append(f'<h2><a href="{link}">{name}</a></h2>\n<div class="tiles">{images}</div>')
    write_whole(folder / OVERVIEW, page(f"{folder.name}: what the network sees", "\n".join(body)).encode())
