// A click on a column header sorts by it: by number if the cell begins with one, else by text.
const valueOf = cell => {
  const text = cell.textContent.trim(), number = parseFloat(text.replace(/,/g, ""));
  return Number.isNaN(number) ? text : number;
};
const compare = (a, b) => typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1;
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
  const isAscending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
  const rows = [...body.rows].map(row => [valueOf(row.cells[head.cellIndex]), row]);
  rows.sort(([a], [b]) => compare(a, b) * (isAscending ? 1 : -1));
  body.append(...rows.map(([, row]) => row));
});
// A filter field hides the rows of its table that lack one of its words.
for (const field of document.querySelectorAll("input[type=search]")) field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/), box = field.closest(".table");
  const rows = [...box.querySelectorAll("tbody tr")];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
  }
  const numShown = rows.filter(row => !row.hidden).length;
  box.querySelector("output").value = numShown < rows.length ? `${numShown} of ${rows.length} rows` : "";
});
