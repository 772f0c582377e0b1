"""Pictures as files, and one page with all of them."""

from pathlib import Path

from matplotlib.figure import Figure

from utils.atomic_files import write_whole
from utils.figures import save_figure
from utils.html_page import page, picture
from utils.paths import shown


def write_picture_page(file: Path, title: str, figures: dict[str, Figure]) -> None:
    """Writes the page and beside it each figure as a PNG of its name, and prints where they are."""
    body = "\n".join(f"<div>{picture(figure, name)}</div>" for name, figure in figures.items())
    write_whole(file, page(title, body).encode())
    for name, figure in figures.items():
        save_figure(figure, file.with_name(f"{name}.png"))
    print(f"{len(figures)} pictures and a page: {shown(file)}")
