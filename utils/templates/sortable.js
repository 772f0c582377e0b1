// A click on a column header sorts by it: by number if the cell begins with one, else by text.
const valueOf = cell => {
  const text = cell.textContent.trim(), number = parseFloat(text.replace(/,/g, ""));
  return Number.isNaN(number) ? text : number;
};
const compare = (a, b) => typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1;
for (const head of document.querySelectorAll("th[data-sort]")) head.addEventListener("click", () => {
  const table = head.closest("table"), body = table.tBodies[0];
  const isAscending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
  const rows = [...body.rows].map(row => [valueOf(row.cells[head.cellIndex]), row]);
  rows.sort(([a], [b]) => compare(a, b) * (isAscending ? 1 : -1));
  body.append(...rows.map(([, row]) => row));
});
// The filter field hides the rows of sortable tables that lack its text.
document.querySelector("input[type=search]").addEventListener("input", event => {
  const text = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("table.sortable tbody tr"))
    row.hidden = !row.textContent.toLowerCase().includes(text);
});
