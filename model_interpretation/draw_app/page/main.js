// Wires the page: what is drawn goes to the server, what it says is shown. At most one question is under way.

import { Drawing } from "./drawing.js";
import * as server from "./server.js";
import { Bars, element, makeStages, showDigit, showLayers, showStages, stepsTakenOut } from "./view.js";

const $ = (id) => document.getElementById(id);
const ORIGINAL = "grey";
const paper = $("paper"), drawing = new Drawing(paper);
let steps = [], choices = [], bars = [];
let isAsking = false, isStale = false, hasComplained = false;

// The answer to what is on the paper now; what changes meanwhile is asked when the answer is there.
async function ask() {
  isStale = true;
  if (isAsking) return;
  setAsking(true);
  while (isStale) {
    isStale = false;
    try {
      await askOnce();
    } catch (error) {
      show(null);
      notice(error.message);
      hasComplained = true;
    }
  }
  setAsking(false);
}

function setAsking(value) {
  isAsking = value;
  document.body.ariaBusy = String(value);
}

async function askOnce() {
  if (drawing.isEmpty) {
    show(null);
    return;
  }
  const extras = [["stages-panel", "stages"], ["layers-panel", "layers"]].filter(([id]) => $(id).open).map(([, name]) => name);
  if ($("show-pixels").checked) extras.push("pixels");
  const runs = [...new Set(choices.map((choice) => choice.value).filter(Boolean))];
  const { file, isReady } = drawing.given ?? { file: await drawing.toBlob(), isReady: false };
  show(await server.read(file, runs, stepsTakenOut($("stages")), extras, isReady));
  if (hasComplained) notice("");
  hasComplained = false;
}

function show(seen) {
  showDigit($("seen"), seen?.digit ?? new Array(784).fill(0));
  choices.forEach((choice, place) => bars[place].show(seen?.answers[choice.value] ?? null));
  const pixels = seen?.answers[choices[0].value]?.pixels;
  $("pixels").hidden = !pixels;
  if (pixels) $("pixels").src = pixels;
  showStages($("stages"), [ORIGINAL, ...steps], seen?.stages, $("seen"));
  showLayers($("layers"), seen?.answers ?? {});
}

function notice(text) {
  $("notice").textContent = text;
}

async function attempt(action) {
  notice("");
  try {
    await action();
  } catch (error) {
    notice(error.message);
  }
}

// Drawing and moving with mouse, pen or finger.

const tool = () => document.querySelector("input[name=tool]:checked").value;

function place(event) {
  const frame = paper.getBoundingClientRect();
  const scale = paper.width / frame.width;
  return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
}

let gesture = null; // what a pointer that is down does as it moves

paper.addEventListener("pointerdown", (event) => {
  if (gesture || event.button !== 0) return;
  event.preventDefault();
  paper.focus();
  paper.setPointerCapture(event.pointerId);
  const from = place(event);
  if (tool() === "draw") {
    drawing.begin(from);
    gesture = { id: event.pointerId, moved: (to) => drawing.extend(to) };
  } else {
    const shift = drawing.shift();
    gesture = { id: event.pointerId, moved: (to) => shift(to[0] - from[0], to[1] - from[1]) };
  }
  ask();
});

paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== gesture?.id) return;
  for (const part of event.getCoalescedEvents?.() ?? []) gesture.moved(place(part));
  gesture.moved(place(event));
  ask();
});

for (const kind of ["pointerup", "pointercancel"]) {
  paper.addEventListener(kind, (event) => {
    if (event.pointerId === gesture?.id) gesture = null;
  });
}

function change(action) {
  gesture = null; // what the pointer was doing goes on no longer: it may have been undone
  action();
  ask();
}

function clear() {
  $("label").value = "";
  change(() => drawing.clear());
}

$("undo").addEventListener("click", () => change(() => drawing.undo()));
$("clear").addEventListener("click", clear);
$("brush").addEventListener("input", () => (drawing.brush = Number($("brush").value)));
for (const radio of document.querySelectorAll("input[name=tool]")) {
  radio.addEventListener("change", () => {
    paper.classList.toggle("moving", tool() === "move");
    paper.focus();
  });
}

// The keyboard: arrows move the drawing, digits say what it is.

const ARROWS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };

document.addEventListener("keydown", (event) => {
  if (event.target.matches("select, input[type=range]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") change(() => drawing.undo());
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "Delete" || event.key === "Backspace") clear();
  else if (event.key in ARROWS && document.activeElement === paper) change(() => drawing.shift()(...ARROWS[event.key]));
  else if (event.key === "+" || event.key === "-") {
    $("brush").value = drawing.brush + (event.key === "+" ? 2 : -2);
    drawing.brush = Number($("brush").value);
  } else if (/^[0-9]$/.test(event.key)) $("label").value = event.key;
  else return;
  event.preventDefault();
});

// Photos, digits of the data set, and drawings that are kept.

// Other photos that the browser can read go to the server as they stand on the paper.
const READ_BY_SERVER = new Set(["png", "jpeg", "webp", "bmp", "gif"].map((kind) => `image/${kind}`));
const MAX_PHOTO_BYTES = 2 ** 24;

async function showPhoto(file) {
  if (file) await attempt(async () => {
    const image = await createImageBitmap(file).catch(() => null);
    if (!image) throw new Error(`${file.name}: the browser cannot read this as a picture`);
    $("label").value = "";
    change(() => drawing.show(image, READ_BY_SERVER.has(file.type) && file.size < MAX_PHOTO_BYTES ? file : null));
  });
}

$("photo").addEventListener("change", () => showPhoto($("photo").files[0]).then(() => ($("photo").value = "")));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  paper.classList.add("dropping");
});
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, () => paper.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  showPhoto(event.dataTransfer.files[0]);
});

$("load").addEventListener("click", () => attempt(async () => {
  const [split, kind] = $("kind").value.split(" ");
  const digit = await server.loadDigit(choices[0].value, split, kind);
  const image = element("img", { src: digit.picture });
  await image.decode();
  const content = Uint8Array.from(atob(digit.picture.split(",")[1]), (letter) => letter.charCodeAt(0));
  change(() => drawing.show(image, new Blob([content], { type: "image/png" }), true));
  $("label").value = digit.label;
  await settled();
  notice(`${split} digit ${digit.index}, labelled ${digit.label}; it is in MNIST's form already, past all steps`);
}));

$("save").addEventListener("click", () => attempt(async () => {
  if (drawing.isEmpty) throw new Error("draw a digit first");
  if (!$("label").value) throw new Error("say first which digit it is");
  const { file } = await server.saveDrawing(await drawing.toBlob(), $("label").value);
  $("label").value = "";
  notice(`saved as ${file}`);
}));

async function settled() {
  while (isAsking) await new Promise((resolve) => setTimeout(resolve, 10));
}

// The beginning: which runs there are, and which steps.

function makeChoice(runs, number) {
  const choice = element("select", { ariaLabel: number ? "second network" : "network" });
  if (number) choice.append(element("option", { value: "", textContent: "a second network beside it" }));
  for (const run of runs) {
    const text = `${run.name} (${(100 * run.test_accuracy).toFixed(2)}%)`;
    choice.append(element("option", { value: run.name, textContent: text, title: run.model }));
  }
  const place = $(`answer-${number}`);
  place.append(choice);
  bars.push(new Bars(place));
  place.classList.toggle("empty", !choice.value);
  choice.addEventListener("change", () => {
    place.classList.toggle("empty", !choice.value);
    ask();
  });
  return choice;
}

await attempt(async () => {
  const found = await server.start();
  steps = found.steps;
  choices = [0, 1].map((number) => makeChoice(found.runs, number));
  makeStages($("stages"), [ORIGINAL, ...steps], ask);
  for (const id of ["stages-panel", "layers-panel"]) $(id).addEventListener("toggle", ask);
  $("show-pixels").addEventListener("change", ask);
  show(null);
});
