// A click on a number of a matrix shows digits of that cell.
const SIZE = 56; // CSS pixels of a digit
for (const matrix of document.querySelectorAll(".matrix")) {
  const {sprite, columns, captions} = JSON.parse(matrix.querySelector("script").textContent);
  const panel = matrix.querySelector(".digits");
  const digitOf = place => {
    const figure = document.createElement("figure"), image = document.createElement("span");
    image.className = "digit";
    image.setAttribute("role", "img");
    image.setAttribute("aria-label", captions[place]);
    image.style.backgroundImage = `url("${sprite}")`;
    image.style.backgroundSize = `${columns * SIZE}px auto`;
    image.style.backgroundPosition = `-${(place % columns) * SIZE}px -${Math.floor(place / columns) * SIZE}px`;
    const caption = document.createElement("figcaption");
    caption.textContent = captions[place];
    figure.append(image, caption);
    return figure;
  };
  const show = button => {
    for (const other of matrix.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    const first = Number(button.dataset.first), count = Number(button.dataset.count);
    const title = document.createElement("p"), list = document.createElement("div");
    title.textContent = button.dataset.title;
    list.className = "list";
    list.append(...Array.from({length: count}, (_, number) => digitOf(first + number)));
    panel.replaceChildren(title, list);
  };
  for (const button of matrix.querySelectorAll("td button")) button.addEventListener("click", () => show(button));
}
