"""A network's scorecard as a table and as a page."""

import html

from study.generalisation.keeping import scorecards_folder
from study.generalisation.scorecards import Scorecard
from utils.atomic_files import write_whole
from utils.html_page import page, picture, table
from utils.paths import shown

HEADER = ["", "value (95 % interval)", "n"]


def scorecard_table(card: Scorecard) -> str:
    """A line a cell, part by part; what is missing with the reason on lines of its own."""
    width = max(map(len, card.cells))
    lines, missing = [], []
    for name, part in card.parts.items():
        lines.append(name)
        for cell_name, cell in part.cells.items():
            if cell.missing:
                missing.append(f"  {cell_name}: {cell.missing}")
            else:
                lines.append(f"  {cell_name:<{width}}  {cell!s:<28} n {cell.n:>6,}")
    return "\n".join([*lines, *(["missing", *missing] if missing else [])])


def write_scorecard_page(card: Scorecard) -> str:
    """Writes the page of the run, unless it is there already; returns where it is."""
    file = scorecards_folder() / f"{card.run_name}-{card.file.stem[:6]}.html"
    if file.exists() and file.stat().st_mtime >= card.file.stat().st_mtime:
        return shown(file)

    from study.generalisation.scorecard_figures import scorecard_figures
    from utils.figures import as_png

    body = [f'<p>Measured in {card.seconds:.0f} s by <code>mnist scorecard {html.escape(card.run_name)}</code>. '
            "Intervals are of 95 %; n counts the images, or the writers.</p>"]  # fmt: skip
    for name, figure in scorecard_figures({card.run_name: [card]}).items():
        body.append(f"<h2>{name[0].upper()}{name[1:]}</h2>{picture(as_png(figure), name)}")
    for name, part in card.parts.items():
        body.append(f"<h2>{name[0].upper()}{name[1:]}</h2>")
        rows = [[cell_name, str(cell), f"{cell.n:,}"] for cell_name, cell in part.cells.items() if not cell.missing]
        body += [table(HEADER, rows)] if rows else []
        body += [
            f"<p>{html.escape(cell_name)}: {html.escape(cell.missing)}</p>"
            for cell_name, cell in part.cells.items()
            if cell.missing
        ]
    write_whole(file, page(f"Scorecard of {card.run_name}", "\n".join(body)).encode())
    return shown(file)
