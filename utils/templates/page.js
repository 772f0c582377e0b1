// The button that changes between light and dark; the choice is remembered.
const root = document.documentElement, button = document.querySelector("button.theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => root.dataset.theme === "dark" || (root.dataset.theme !== "light" && prefersDark.matches);
const showTheme = () => { if (button) button.textContent = isDark() ? "Light mode" : "Dark mode"; };
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* the choice holds for this page only */ }
    showTheme();
  });
}
prefersDark.addEventListener("change", showTheme);
showTheme();
// Commands: a line ends between words only, and the next one is indented.
const piece = (name, ...content) => {
  const span = document.createElement("span");
  span.className = name;
  span.append(...content);
  return span;
};
for (const box of document.querySelectorAll("pre.commands")) {
  const lines = box.textContent.split("\n").map(line => line.split(" ").flatMap(word => [" ", piece("word", word)]).slice(1));
  box.replaceChildren(...lines.map(words => piece("line", ...words)));
}
// A box whose content is wider than the box says so, and can be scrolled by keyboard.
const markWide = box => {
  const isWide = box.scrollWidth > box.clientWidth + 1;
  box.parentElement.classList.toggle("is-wide", isWide);
  if (isWide || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0; else box.removeAttribute("tabindex");
};
const observer = new ResizeObserver(entries => entries.forEach(entry => markWide(entry.target)));
for (const box of document.querySelectorAll(".scroll")) {
  observer.observe(box);
  for (const image of box.querySelectorAll("img")) image.addEventListener("load", () => markWide(box));
}
