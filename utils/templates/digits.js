// Digits of a matrix, which a click on a number shows, and of a map, which a point under the mouse shows.
const SIZE = 56; // CSS pixels of a digit
const dataOf = box => JSON.parse(box.querySelector("script").textContent);
const element = (tag, properties) => Object.assign(document.createElement(tag), properties);
const digitOf = ({sheets, columns, size, captions}, place) => {
  const figure = element("figure"), image = element("span", {className: "digit"}), inside = place % size;
  image.setAttribute("role", "img");
  image.setAttribute("aria-label", captions[place]);
  image.style.backgroundImage = `url("${sheets[Math.floor(place / size)]}")`;
  image.style.backgroundSize = `${columns * SIZE}px auto`;
  image.style.backgroundPosition = `-${inside % columns * SIZE}px -${Math.floor(inside / columns) * SIZE}px`;
  figure.append(image, element("figcaption", {textContent: captions[place]}));
  return figure;
};
for (const matrix of document.querySelectorAll(".matrix")) {
  const data = dataOf(matrix), panel = matrix.querySelector(".digits div");
  const buttons = [...matrix.querySelectorAll("td button")];
  const show = button => {
    for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    const first = Number(button.dataset.first), count = Number(button.dataset.count);
    const list = element("div", {className: "list"});
    list.append(...Array.from({length: count}, (_, number) => digitOf(data, first + number)));
    panel.replaceChildren(element("p", {textContent: button.dataset.title}), list);
  };
  for (const button of buttons) button.addEventListener("click", () => show(button));
  const first = buttons.find(button => button.getAttribute("aria-pressed") === "true");
  if (first) show(first);
}
const FINGER_REACH = 24, MOUSE_REACH = 14; // CSS pixels to a point
for (const map of document.querySelectorAll(".map")) {
  const data = dataOf(map), points = map.querySelector(".points"), tip = map.querySelector(".tip");
  const rings = data.places.map(() => element("span", {className: "ring", hidden: true}));
  points.append(...rings);
  let shown = -1;
  const show = place => {
    if (place === shown) return;
    shown = place;
    tip.hidden = place < 0;
    rings.forEach((ring, number) => {
      ring.hidden = place < 0;
      if (place < 0) return;
      ring.style.left = `${data.places[number][place][0] / 100}%`;
      ring.style.top = `${data.places[number][place][1] / 100}%`;
    });
    if (place >= 0) tip.replaceChildren(digitOf(data, place));
  };
  // The tip is beside the point, inside the figure.
  const put = (left, top) => {
    const room = map.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, left + 14 < room ? left + 14 : left - 14 - tip.offsetWidth)}px`;
    tip.style.top = `${Math.max(0, top - tip.offsetHeight / 2)}px`;
  };
  const point = event => {
    const frame = points.getBoundingClientRect(), outer = map.getBoundingClientRect();
    const x = event.clientX - frame.left, y = event.clientY - frame.top;
    let nearest = -1, least = (event.pointerType === "touch" ? FINGER_REACH : MOUSE_REACH) ** 2;
    for (const places of data.places) places.forEach(([left, top], place) => {
      const distance = (left / 10000 * frame.width - x) ** 2 + (top / 10000 * frame.height - y) ** 2;
      if (distance < least) [nearest, least] = [place, distance];
    });
    show(nearest);
    if (nearest >= 0) put(event.clientX - outer.left, event.clientY - outer.top);
  };
  points.addEventListener("pointermove", point);
  points.addEventListener("pointerdown", point);
  points.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") show(-1); });
  points.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === "Escape") show(-1);
    if (!step) return;
    event.preventDefault();
    const count = data.captions.length;
    show(shown < 0 ? 0 : (shown + step + count) % count);
    const ring = rings[0].getBoundingClientRect(), outer = map.getBoundingClientRect();
    put(ring.left - outer.left, ring.top - outer.top);
  });
}
