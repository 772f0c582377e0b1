"""Self-contained HTML pages in one style, readable on a phone; nothing is fetched from anywhere."""

import base64
import html

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
  margin: 0 auto; padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p { overflow-wrap: anywhere; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; display: block; margin: .5rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #e4e7eb; }
td { white-space: nowrap; } th { vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: min(15rem, 34vw); }
td:last-child { white-space: normal; min-width: 6.5rem; } th { background: #f5f7fa; }
th[data-sort] { cursor: pointer; } th[aria-sort=ascending]::after { content: " \\25B2"; }
th[aria-sort=descending]::after { content: " \\25BC"; }
input { font: inherit; padding: .3rem .6rem; width: 100%; max-width: 24rem; box-sizing: border-box; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem;
  align-items: start; }
"""


def page(title: str, body: str, script: str = "") -> str:
    """A whole page; `body` and `script` are HTML and JavaScript of ours, the title is escaped."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body></html>\n"
    )


def picture(png: bytes, description: str) -> str:
    """The picture inside the page, with a description for those who cannot see it."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{data}">'


def table(header: list[str], rows: list[list[str]], sortable: bool = False) -> str:
    """A table of texts, which are escaped; it scrolls sideways by itself on a small screen."""
    cell = '<th scope="col" data-sort>' if sortable else '<th scope="col">'
    head = "".join(f"{cell}{html.escape(name)}</th>" for name in header)
    lines = ["".join(f"<td>{html.escape(value)}</td>" for value in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
