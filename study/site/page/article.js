// The article: a digit under the sliders, what the networks read, and what was measured for such changes.

import { Network, softmax } from "./network.js";
import { SLIDERS, changed } from "./transformations.js";
import { FeatureMaps, Prediction, Sliders, bytesOf, digitCanvas, element, inNextFrame, percent, pixelsOf, showDigit } from "./views.js";

const MAX_MAPS = 24; // of each layer; the drawing page shows more
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent), hardest = JSON.parse($("hardest-data").textContent);
const digits = data.digits, networks = [], maps = new FeatureMaps($("maps"), MAX_MAPS);
$("break").disabled = true;
let chosen = digits.find((digit) => digit.label === 7) ?? digits[0];

const sliders = new Sliders($("sliders"), () => update());
const views = data.networks.slice(0, 2).map(({ label }) => {
  const place = element("div", { className: "prediction" }, element("h3", { textContent: label }));
  $("predictions").append(place);
  const view = new Prediction(place);
  view.setNetwork(null);
  return view;
});

const update = inNextFrame(async () => {
  const pixels = changed(pixelsOf(bytesOf(chosen.pixels)), sliders.change);
  showDigit($("digit"), pixels);
  $("digit").setAttribute("aria-label", `The digit ${chosen.label} as the networks get it`);
  showMeasured(sliders.change);
  for (const [number, network] of networks.entries()) {
    const { logits, layers } = number ? { logits: await network.logits(pixels) } : await network.activations(pixels);
    views[number].show(softmax(logits), chosen.label);
    if (layers) maps.show(layers, pixels);
  }
});

// Which digit is under the sliders.

function choose(digit) {
  chosen = digit;
  $("broken").textContent = "";
  for (const button of document.querySelectorAll("[data-digit]")) {
    button.setAttribute("aria-pressed", Number(button.dataset.digit) === digit.index);
  }
  update();
}

function digitButton(digit, label) {
  const button = element("button", { type: "button", title: label, data: { digit: digit.index }, aria: { pressed: false, label } },
    digitCanvas(pixelsOf(bytesOf(digit.pixels))));
  button.addEventListener("click", () => choose(digit));
  return button;
}

for (let label = 0; label < 10; label++) {
  const digit = digits.find((each) => each.label === label);
  if (digit) $("choice").append(digitButton(digit, `Test digit ${digit.index}, a ${label}`));
}
for (const hard of hardest) {
  const digit = digits.find((each) => each.index === hard.index);
  const text = `label ${hard.label}, read as ${hard.most_frequent_error} (${percent(hard.error_rate, 0)})`;
  const button = digitButton(digit, `Test digit ${hard.index}: ${text}`);
  button.addEventListener("click", () => {
    sliders.set({});
    document.querySelector(".hero").scrollIntoView({ behavior: "smooth", block: "start" });
  });
  $("hardest").append(element("figure", {}, button, element("figcaption", { textContent: `${text}${hard.contested ? ", label rejected" : ""}` })));
}

// The smallest move of the digit that the first network misreads: shifts by up to 6 px with rotations by up to 30 degrees.

const MOVES = [];
for (let right = -6; right <= 6; right++) {
  for (let down = -6; down <= 6; down++) {
    for (let angle = -30; angle <= 30; angle += 10) MOVES.push({ right, down, angle, size: Math.hypot(right, down) + Math.abs(angle) / 10 });
  }
}
MOVES.sort((one, other) => one.size - other.size);

async function breakIt() {
  const [network] = networks, digit = chosen, pixels = pixelsOf(bytesOf(digit.pixels));
  for (const { right, down, angle } of MOVES) {
    const logits = await network.logits(changed(pixels, { right, down, angle })), best = logits.indexOf(Math.max(...logits));
    if (network.classes[best] === String(digit.label)) continue;
    sliders.set({ right, down, angle });
    update();
    const parts = [right && `${Math.abs(right)} px ${right > 0 ? "right" : "left"}`, down && `${Math.abs(down)} px ${down > 0 ? "down" : "up"}`,
      angle && `turned by ${Math.abs(angle)}° to the ${angle > 0 ? "left" : "right"}`].filter(Boolean);
    return `${parts.length ? parts.join(", ") : "not moved at all"}: ${data.networks[0].label} reads ${network.classes[best]}. You still read ${digit.label}.`;
  }
  return "No move by up to 6 px and 30 degrees breaks this one. Try dirt or blur.";
}

$("break").addEventListener("click", async () => {
  $("break").disabled = true;
  $("broken").textContent = await breakIt();
  $("break").disabled = false;
});

// What was measured for a change: where only one kind of slider has moved, and the value was measured.

function showMeasured(change) {
  const moved = Object.keys(SLIDERS).filter((name) => change[name] !== SLIDERS[name].neutral);
  const texts = [], { shift } = data.curves;
  if (shift && moved.length && moved.every((name) => name === "right" || name === "down")) {
    for (const [label, map] of Object.entries(shift.maps)) {
      texts.push(`${label} reads ${percent(map[change.down + 14][change.right + 14])}`);
    }
  } else if (moved.length === 1 && data.curves[moved[0]]) {
    const { x, lines } = data.curves[moved[0]], place = nearest(x, change[moved[0]]);
    if (Math.abs(x[place] - change[moved[0]]) < 1e-6) for (const line of lines) texts.push(`${line.label} reads ${percent(line.y[place])}`);
  }
  $("measured").textContent = texts.length ? `Measured on test digits that are changed so: ${texts.join("; ")}.` : "";
  for (const chart of charts) chart(change);
}

function nearest(values, value) {
  return values.reduce((best, other, place) => (Math.abs(other - value) < Math.abs(values[best] - value) ? place : best), 0);
}

// Charts of the measured curves. A dashed line follows the slider.

const charts = [];
const WIDTH = 480, HEIGHT = 250, LEFT = 46, BOTTOM = 40, TOP = 12, RIGHT = 10;
const svg = (kind, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

function addChart(slider, caption, axis) {
  const curve = data.curves[slider];
  if (!curve) return;
  const [low, high] = [curve.x[0], curve.x.at(-1)];
  const x = (value) => LEFT + ((value - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": caption });
  for (const level of [0, 0.25, 0.5, 0.75, 1]) {
    drawn.append(svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level) }),
      svg("text", { x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" }, `${100 * level}%`));
  }
  for (const value of [low, (low + high) / 2, high]) {
    drawn.append(svg("text", { x: x(value), y: HEIGHT - BOTTOM + 18, "text-anchor": value === low ? "start" : value === high ? "end" : "middle" },
      `${Math.round(100 * value) / 100}${SLIDERS[slider].unit}`));
  }
  drawn.append(svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, axis));
  curve.lines.forEach((line, number) => {
    const points = line.y.map((value, place) => `${x(curve.x[place])},${y(value)}`).join(" ");
    drawn.append(svg("polyline", { class: `line-${number}`, points, fill: "none", "stroke-width": 2.5 }));
  });
  const now = svg("line", { class: "now", y1: TOP, y2: HEIGHT - BOTTOM });
  drawn.append(now);
  const keys = curve.lines.map(({ label }, number) => element("span", { className: number ? "key helped" : "key", textContent: label }));
  $("charts").append(element("figure", {}, drawn, element("figcaption", {}, caption, element("div", {}, ...keys.flatMap((key) => [key, " \u00a0 "])))));
  charts.push((change) => {
    const place = x(Math.min(high, Math.max(low, change[slider])));
    now.setAttribute("x1", place);
    now.setAttribute("x2", place);
  });
}

function addShiftMap() {
  for (const [label, map] of Object.entries(data.curves.shift?.maps ?? {})) {
    const side = map.length, canvas = element("canvas", { width: side, height: side, className: "shift-map", role: "img",
      aria: { label: `Accuracy of ${label} for each shift` } });
    const context = canvas.getContext("2d");
    const caption = element("figcaption", { textContent: `${label}: accuracy for each shift by up to 14 px, black 0%, white 100%; the orange point is your slider` });
    $("charts").append(element("figure", {}, canvas, caption));
    charts.push((change) => {
      const image = new ImageData(side, side);
      map.flat().forEach((value, place) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * place));
      context.putImageData(image, 0, 0);
      context.fillStyle = "#e69f00";
      context.fillRect(change.right + 14, change.down + 14, 1, 1);
    });
  }
}

addShiftMap();
addChart("angle", "Accuracy on turned digits; a 6 turned by 180 degrees is a 9", "turned to the left");
addChart("scale", "Accuracy on scaled digits", "size, relative to the original");

// Start: the digit first, then the networks one after the other.

$("measured").hidden = !Object.keys(data.curves).length;
choose(chosen);
try {
  for (const [number, entry] of data.networks.slice(0, 2).entries()) {
    const network = await Network.at(entry.url, entry.label);
    views[number].setNetwork(network);
    networks.push(network);
    if (number === 0) maps.setNetwork(network);
    $("break").disabled = false;
    update();
  }
  $("loading").remove();
} catch (error) {
  $("loading").textContent = error.message;
}
