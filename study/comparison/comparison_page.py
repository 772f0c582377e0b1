"""The comparison as one self-contained page that sorts and filters."""

import html

from matplotlib.figure import Figure

from study.comparison.comparison_figures import MAX_CURVES, learning_curves_figure
from study.comparison.comparison_table import HEADER, RUNS_HEADER, run_cells, table_cells
from study.comparison.groups import Group
from study.comparison.run_records import RunRecord
from utils.figures import as_png
from utils.html_page import page, picture, table

# A click on a column's head sorts by it, by number where cells begin with one; the field keeps the lines with its text.
SCRIPT = """
const value = cell => { const text = cell.textContent.trim(), number = parseFloat(text.replace(/,/g, ""));
  return Number.isNaN(number) ? text : number; };
for (const head of document.querySelectorAll("th[data-sort]")) head.addEventListener("click", () => {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const rising = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const rows = [...body.rows].map(row => [value(row.cells[column]), row]);
  const order = (a, b) => typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1;
  rows.sort(([a], [b]) => order(a, b) * (rising ? 1 : -1));
  body.append(...rows.map(([, row]) => row));
});
document.querySelector("input").addEventListener("input", event => {
  const text = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(text);
});
"""


def comparison_page(
    records: list[RunRecord], groups: list[Group], pair_lines: list[str], pair_pictures: dict[str, Figure]
) -> str:
    """All groups, their learning curves, the comparison of two where there is one, and every run."""
    body = [
        '<p><input type="search" placeholder="show only lines with ..." aria-label="filter"></p>',
        f"<p>{len(groups)} groups of {sum(len(group.records) for group in groups)} finished runs: "
        "runs that differ only in seed are one group. Accuracies are means with 95 % intervals over the seeds. "
        "Click on a column's head to sort by it.</p>",
        table(HEADER, table_cells(groups), sortable=True),
    ]
    if groups:
        shown = f", of the {MAX_CURVES} best by validation" if len(groups) > MAX_CURVES else ""
        curves = picture(as_png(learning_curves_figure(groups[:MAX_CURVES])), "learning curves of the groups")
        body.append(f"<h2>Learning curves{shown}</h2>{curves}")
    if pair_lines:
        lines = "".join(f"<p>{html.escape(line)}</p>" for line in pair_lines)
        pictures = "".join(f"<div>{picture(as_png(figure), name)}</div>" for name, figure in pair_pictures.items())
        body.append(f'<h2>The two on the same digits</h2>{lines}<div class="pair">{pictures}</div>')
    body += ["<h2>Runs</h2>", table(RUNS_HEADER, run_cells(records), sortable=True)]
    return page("Comparison of runs", "\n".join(body), SCRIPT)
