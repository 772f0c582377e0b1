// Connects the page's controls, the drawing and the server. At most one prediction request is active.

import { Drawing } from "./drawing.js";
import * as server from "./server.js";
import { PredictionView, element, makeStages, showActivations, showDigit, showStages, skippedSteps } from "./view.js";

const $ = (id) => document.getElementById(id);
const ORIGINAL = "grey";
const EXTRA_PANELS = { "stages-panel": "stages", "activations-panel": "activations" };
const paper = $("paper"), drawing = new Drawing(paper);
let steps = [], runSelects = [], views = [];
let isPredicting = false, isStale = false, hasError = false, laterPrediction = null;
const CHECK_MILLISECONDS = 1000; // until the next look whether the server has the check of a network

// Predicts the current drawing. Changes during a request are predicted after it.
async function predict() {
  isStale = true;
  if (isPredicting) return;
  setPredicting(true);
  while (isStale) {
    isStale = false;
    try {
      await predictOnce();
    } catch (error) {
      if (error.waitSeconds) {
        await new Promise((resolve) => setTimeout(resolve, 1000 * error.waitSeconds));
        isStale = true;
        continue;
      }
      show(null);
      notice(error.message);
      hasError = true;
    }
  }
  setPredicting(false);
}

function setPredicting(value) {
  isPredicting = value;
  document.body.ariaBusy = String(value);
}

async function predictOnce() {
  clearTimeout(laterPrediction);
  if (drawing.isEmpty) {
    show(null);
    return;
  }
  const extras = Object.keys(EXTRA_PANELS).filter((id) => $(id).open).map((id) => EXTRA_PANELS[id]);
  if ($("show-attribution").checked) extras.push("attribution");
  const runs = [...new Set(runSelects.map((select) => select.value).filter(Boolean))];
  const { file, isMnistForm } = drawing.original ?? { file: await drawing.toBlob(), isMnistForm: false };
  const result = await server.predict(file, runs, skippedSteps($("stages")), extras, isMnistForm);
  show(result);
  const isPending = Object.values(result.predictions).some((prediction) => prediction.is_check_pending);
  if (isPending) laterPrediction = setTimeout(predict, CHECK_MILLISECONDS);
  if (hasError) notice("");
  hasError = false;
}

function show(result) {
  showDigit($("digit"), result?.digit ?? new Array(784).fill(0));
  runSelects.forEach((select, number) => views[number].show(result?.predictions[select.value] ?? null));
  const attribution = result?.predictions[runSelects[0].value]?.attribution;
  $("attribution").hidden = !attribution;
  if (attribution) $("attribution").src = attribution;
  showStages($("stages"), [ORIGINAL, ...steps], result?.stages, $("digit"));
  showActivations($("activations"), result?.predictions ?? {});
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

function position(event) {
  const frame = paper.getBoundingClientRect();
  const scale = paper.width / frame.width;
  return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
}

let gesture = null; // the pressed pointer and its action on each move

paper.addEventListener("pointerdown", (event) => {
  if (gesture || event.button !== 0) return;
  event.preventDefault();
  paper.focus();
  paper.setPointerCapture(event.pointerId);
  const from = position(event);
  if (tool() === "draw") {
    drawing.begin(from);
    gesture = { id: event.pointerId, moved: (to) => drawing.extend(to) };
  } else {
    const move = drawing.startMove();
    gesture = { id: event.pointerId, moved: (to) => move(to[0] - from[0], to[1] - from[1]) };
  }
  predict();
});

paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== gesture?.id) return;
  for (const part of event.getCoalescedEvents?.() ?? []) gesture.moved(position(part));
  gesture.moved(position(event));
  predict();
});

for (const kind of ["pointerup", "pointercancel"]) {
  paper.addEventListener(kind, (event) => {
    if (event.pointerId === gesture?.id) gesture = null;
  });
}

function change(action) {
  gesture = null; // ends the stroke of a pressed pointer: undo may remove it
  action();
  predict();
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

// The keyboard: arrows move the drawing, digits set its label.

const ARROWS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };

document.addEventListener("keydown", (event) => {
  if (event.target.matches("select, input[type=range]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") change(() => drawing.undo());
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "Delete" || event.key === "Backspace") clear();
  else if (event.key in ARROWS && document.activeElement === paper) change(() => drawing.startMove()(...ARROWS[event.key]));
  else if (event.key === "+" || event.key === "-") {
    $("brush").value = drawing.brush + (event.key === "+" ? 2 : -2);
    drawing.brush = Number($("brush").value);
  } else if (/^[0-9]$/.test(event.key)) $("label").value = event.key;
  else return;
  event.preventDefault();
});

// Photos, digits of the data set, and saving drawings.

// Large photos, and those in other formats that the browser can read, are sent as they appear on the canvas.
const READ_BY_SERVER = new Set(["png", "jpeg", "bmp", "gif"].map((kind) => `image/${kind}`));
const MAX_PHOTO_BYTES = 2 ** 23, MAX_PHOTO_PIXELS = 12.5e6;
const isReadByServer = (file, image) => READ_BY_SERVER.has(file.type) && file.size < MAX_PHOTO_BYTES
  && image.width * image.height <= MAX_PHOTO_PIXELS;

async function showPhoto(file) {
  if (file) await attempt(async () => {
    const image = await createImageBitmap(file).catch(() => null);
    if (!image) throw new Error(`${file.name}: the browser cannot read this as a picture`);
    $("label").value = "";
    change(() => drawing.show(image, isReadByServer(file, image) ? file : null));
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
  const digit = await server.sampleDigit(runSelects[0].value, split, kind);
  const image = element("img", { src: digit.picture });
  await image.decode();
  const content = Uint8Array.from(atob(digit.picture.split(",")[1]), (letter) => letter.charCodeAt(0));
  change(() => drawing.show(image, new Blob([content], { type: "image/png" }), true));
  $("label").value = digit.label;
  await settled();
  notice(`${split} digit ${digit.index}, label ${digit.label}; already in MNIST's form: all steps are skipped`);
}));

$("save").addEventListener("click", () => attempt(async () => {
  if (drawing.isEmpty) throw new Error("draw a digit first");
  if (!$("label").value) throw new Error("choose a label first");
  const { file } = await server.saveDrawing(await drawing.toBlob(), $("label").value);
  $("label").value = "";
  notice(`saved as ${file}`);
}));

async function settled() {
  while (isPredicting) await new Promise((resolve) => setTimeout(resolve, 10));
}

// Start: the runs and the preprocessing steps.

function makeRunSelect(runs, number) {
  const select = element("select", { ariaLabel: number ? "Second model" : "Model" });
  if (number) select.append(element("option", { value: "", textContent: "Compare with a second model" }));
  for (const run of runs) {
    select.append(element("option", { value: run.name, textContent: run.name }));
  }
  const place = $(`prediction-${number}`), note = element("p", { className: "note" });
  place.append(select, note);
  views.push(new PredictionView(place));
  const showChosen = () => {
    const chosen = runs.find((run) => run.name === select.value);
    views[number].setClasses(chosen?.classes ?? []);
    note.textContent = chosen ? `${chosen.model}, test accuracy ${(100 * chosen.test_accuracy).toFixed(2)}%` : "";
    place.classList.toggle("empty", !select.value);
  };
  showChosen();
  select.addEventListener("change", () => {
    showChosen();
    predict();
  });
  return select;
}

await attempt(async () => {
  const found = await server.start();
  steps = found.steps;
  runSelects = [0, 1].map((number) => makeRunSelect(found.runs, number));
  makeStages($("stages"), [ORIGINAL, ...steps], predict);
  for (const id of Object.keys(EXTRA_PANELS)) $(id).addEventListener("toggle", predict);
  $("show-attribution").addEventListener("change", predict);
  show(null);
});
