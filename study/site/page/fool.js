// The game "fool it": how few pixels change a network's answer?

import { softmax } from "./network.js";
import { bytesOf, inNextFrame, percent, pixelsOf, showDigit } from "./views.js";

const SIDE = 28;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function makeGame($, digits) {
  const canvas = $("fool");
  let network = null, label = "", number = 0, pixels, changed = new Set(), cursor = [14, 14], hasFocus = false;

  const value = (place) => (changed.has(place) ? (pixels[place] < 0.5 ? 1 : 0) : pixels[place]);
  const show = inNextFrame(async () => {
    const shown = Float32Array.from(pixels, (_, place) => value(place));
    showDigit(canvas, shown);
    const context = canvas.getContext("2d");
    context.fillStyle = "rgb(230 159 0 / 45%)"; // changed pixels
    for (const place of changed) context.fillRect(place % SIDE, Math.floor(place / SIDE), 1, 1);
    if (hasFocus) {
      context.fillStyle = "rgb(86 180 233 / 80%)"; // the cursor of the keyboard
      context.fillRect(...cursor, 1, 1);
    }
    if (!network) return;
    const probabilities = softmax(await network.logits(shown)), best = probabilities.indexOf(Math.max(...probabilities));
    const isFooled = network.classes[best] !== String(digits[number].label);
    const count = `${changed.size} pixel${changed.size === 1 ? "" : "s"}`;
    $("fool-result").classList.toggle("wrong", isFooled);
    $("fool-result").textContent = isFooled
      ? `Fooled with ${count}: ${label} reads ${network.classes[best]}, ${percent(probabilities[best])}.`
      : `${changed.size ? `${count} changed` : "Nothing changed yet"}: ${label} reads ${network.classes[best]}, ${percent(probabilities[best])}.`;
  });
  const toggle = (x, y) => {
    const place = y * SIDE + x;
    if (!changed.delete(place)) changed.add(place);
    show();
  };
  const start = (chosen) => {
    number = chosen;
    pixels = pixelsOf(bytesOf(digits[number].pixels));
    changed = new Set();
    show();
  };
  canvas.addEventListener("click", (event) => {
    const frame = canvas.getBoundingClientRect(), at = (offset, side) => Math.min(SIDE - 1, Math.max(0, Math.floor((offset / side) * SIDE)));
    cursor = [at(event.clientX - frame.left, frame.width), at(event.clientY - frame.top, frame.height)];
    toggle(...cursor);
  });
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (move) cursor = cursor.map((place, axis) => Math.min(SIDE - 1, Math.max(0, place + move[axis])));
    else if (event.key === " ") toggle(...cursor);
    else return;
    event.preventDefault();
    show();
  });
  for (const kind of ["focus", "blur"]) {
    canvas.addEventListener(kind, () => {
      hasFocus = kind === "focus" && canvas.matches(":focus-visible");
      show();
    });
  }
  $("fool-next").addEventListener("click", () => start((number + 1) % digits.length));
  $("fool-reset").addEventListener("click", () => start(number));
  start(0);
  return {
    setNetwork(chosen, name) {
      [network, label] = [chosen, name];
      show();
    },
  };
}
