// The drawing page: a drawing, a photo or a test digit, the sliders, and what the networks read.

import { Drawing } from "./drawing.js";
import { Network, softmax } from "./network.js";
import { NoStroke, greyOf, prepare, reducedPhoto } from "./preparation.js";
import { changed } from "./transformations.js";
import { FeatureMaps, Prediction, Sliders, bytesOf, digitCanvas, element, inNextFrame, pixelsOf, showDigit } from "./views.js";
import { makeGame } from "./fool.js";
import { saveCard } from "./card.js";

const $ = (id) => document.getElementById(id);
const MAX_PHOTO_BYTES = 2 ** 26, MAX_PHOTO_PIXELS = 25e6;
const data = JSON.parse($("data").textContent);
const paper = $("paper");
paper.getContext("2d", { willReadFrequently: true });
const drawing = new Drawing(paper), maps = new FeatureMaps($("maps"));
const slots = [0, 1].map((number) => ({ place: $(`prediction-${number}`), network: null, probabilities: null }));
const networks = data.networks.map((entry) => ({ ...entry, network: null }));
let example = null; // a test digit instead of the drawing
let photo = null; // the grey picture of a photo, as long as it is the whole drawing
let current = null; // the digit that the networks get

function notice(text) {
  $("notice").textContent = text;
}

async function attempt(action) {
  notice("");
  try {
    return await action();
  } catch (error) {
    notice(error.message);
    return null;
  }
}

// The 28 x 28 values before the sliders; null for an empty page.
function digit() {
  if (example) return pixelsOf(bytesOf(example.pixels));
  if (drawing.isEmpty) return null;
  return pixelsOf(prepare(drawing.original && photo ? photo : greyOf(paper), $("centred").checked));
}

const update = inNextFrame(async () => {
  let pixels = null;
  try {
    pixels = digit();
    if (hasNoStroke) notice("");
    hasNoStroke = false;
  } catch (error) {
    if (!(error instanceof NoStroke)) throw error;
    hasNoStroke = true;
    notice(error.message);
  }
  current = pixels && changed(pixels, sliders.change);
  showDigit($("digit"), current ?? new Float32Array(784));
  const label = example?.label ?? null, answers = [];
  for (const slot of slots) {
    if (!slot.network) continue;
    slot.probabilities = current && softmax(await slot.network.logits(current));
    const read = slot.view.show(slot.probabilities, label), warning = await warningFor(slot.network, current);
    slot.view.warn(warning);
    if (warning) answers.push(warning);
    if (read) answers.push(`${slot.label} reads ${read}`);
  }
  const shown = networks[$("shown").value]?.network;
  if ($("inside").open && shown) maps.show(current && (await shown.activations(current)).layers, current);
  if ($("nearest").open) await showNeighbours();
  $("card").disabled = !current;
  announce(answers.join("; "));
});
let hasNoStroke = false;

// A screen reader hears the answer when the drawing rests.
let announcing;
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => ($("answer").textContent = text), 700);
}

function change(action) {
  action();
  example = null;
  $("example").value = "";
  update();
}

// Drawing with mouse, pen or finger.

let gesture = null; // the pointer that draws

function position(event) {
  const frame = paper.getBoundingClientRect(), scale = paper.width / frame.width;
  return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
}

paper.addEventListener("pointerdown", (event) => {
  if (gesture !== null || event.button !== 0) return;
  event.preventDefault();
  paper.focus();
  paper.setPointerCapture(event.pointerId);
  gesture = event.pointerId;
  change(() => drawing.begin(position(event)));
});
paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== gesture) return;
  for (const part of event.getCoalescedEvents?.() ?? []) drawing.extend(position(part));
  change(() => drawing.extend(position(event)));
});
for (const kind of ["pointerup", "pointercancel"]) {
  paper.addEventListener(kind, (event) => {
    if (event.pointerId !== gesture) return;
    gesture = null;
    update();
  });
}

function clear() {
  notice("");
  gesture = null;
  change(() => drawing.clear());
}

function undo() {
  gesture = null;
  change(() => drawing.undo());
}

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
$("brush").addEventListener("input", () => (drawing.brush = Number($("brush").value)));
$("centred").addEventListener("change", update);

const ARROWS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };
document.addEventListener("keydown", (event) => {
  if (event.target.matches("select, input, [role=application]") || event.altKey) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key === "z") undo();
  else if (isCommand) return;
  else if (event.key === "Delete" || event.key === "Backspace") clear();
  else if (event.key in ARROWS && document.activeElement === paper) change(() => drawing.startMove()(...ARROWS[event.key]));
  else if (event.key === "+" || event.key === "-") {
    $("brush").value = drawing.brush + (event.key === "+" ? 2 : -2);
    drawing.brush = Number($("brush").value);
  } else if (/^[0-9]$/.test(event.key)) showExample(data.digits.find((each) => each.label === Number(event.key)));
  else return;
  event.preventDefault();
});

// Test digits.

function showExample(chosen) {
  notice("");
  drawing.clear();
  example = chosen ?? null;
  $("example").value = chosen ? data.digits.indexOf(chosen) : "";
  if (chosen) {
    const context = paper.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.imageSmoothingEnabled = false;
    context.filter = "invert(1)";
    context.drawImage(digitCanvas(pixelsOf(bytesOf(chosen.pixels))), 0, 0, paper.width, paper.height);
    context.filter = "none";
  }
  update();
}

data.digits.forEach((each, number) => $("example").append(
  element("option", { value: number, textContent: `a ${each.label}, number ${each.index.toLocaleString("en")}` })));
$("example").addEventListener("change", () => showExample(data.digits[$("example").value]));

// Photos and ONNX files.

async function showPhoto(file) {
  if (file.size > MAX_PHOTO_BYTES) throw new Error(`${file.name} has ${Math.round(file.size / 2 ** 20)} MiB: expected a photo of at most ${MAX_PHOTO_BYTES / 2 ** 20}`);
  const url = URL.createObjectURL(file);
  try {
    // The browser reads the size without the pixels.
    const size = await new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
      image.onerror = () => reject(new Error(`${file.name}: this browser cannot read it as a picture. Expected a photo, or an ONNX file`));
      image.src = url;
    });
    if (size[0] * size[1] > MAX_PHOTO_PIXELS) {
      throw new Error(`${file.name} has ${size.map((side) => side.toLocaleString("en")).join(" x ")} pixels: expected at most ${MAX_PHOTO_PIXELS.toLocaleString("en")} in all`);
    }
  } finally {
    URL.revokeObjectURL(url);
  }
  const image = await createImageBitmap(file);
  change(() => {
    drawing.show(image, file);
    photo = greyOf(reducedPhoto(image));
  });
}

async function showOwnNetwork(file) {
  const network = await Network.of(new Uint8Array(await file.arrayBuffer()), file.name);
  networks.push({ label: file.name, network });
  addOptions();
  await choose(1, networks.length - 1);
}

const open = (file) => file && attempt(() => (/\.onnx$/i.test(file.name) ? showOwnNetwork(file) : showPhoto(file)));

for (const id of ["photo", "own"]) {
  $(id).addEventListener("change", () => {
    const [file] = $(id).files;
    open(file)?.then(() => ($(id).value = ""));
  });
}
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  paper.classList.add("dropping");
});
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, () => paper.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  open(event.dataTransfer.files[0]);
});

// The networks, two side by side.

function addOptions() {
  const selects = [...slots.map((slot) => slot.select), $("shown")];
  for (const select of selects) {
    const chosen = select.value, options = networks.map(({ label }, value) => element("option", { value, textContent: label }));
    const none = element("option", { value: "", textContent: "compare with a second network" });
    select.replaceChildren(...(select === slots[1].select ? [none, ...options] : options));
    select.value = chosen;
  }
}

async function loaded(number) {
  const entry = networks[number];
  if (!entry.network) {
    entry.network = await Network.at(entry.url, entry.label);
    entry.network.similarityThreshold = entry.similarityThreshold;
    if (entry.similarityThreshold) setTimeout(() => embeddings(entry.network).then(update), 1000); // after the first answers
  }
  return entry.network;
}

async function choose(slotNumber, number) {
  const slot = slots[slotNumber];
  slot.network = number === "" ? null : await loaded(number);
  slot.label = networks[number]?.label;
  slot.select.value = number;
  slot.place.classList.toggle("empty", !slot.network);
  slot.view.setNetwork(slot.network);
  if (slotNumber === 0) game.setNetwork(slot.network, slot.label);
  update();
}

async function chooseShown(number) {
  maps.setNetwork(await loaded(number));
  $("shown").value = number;
  update();
}

slots.forEach((slot, number) => {
  slot.select = element("select", { aria: { label: number ? "Second network" : "First network" } });
  slot.place.append(slot.select);
  slot.view = new Prediction(slot.place);
  slot.view.setNetwork(null);
  slot.select.addEventListener("change", () => attempt(() => choose(number, slot.select.value)));
});
$("shown").addEventListener("change", () => attempt(() => chooseShown($("shown").value)));
for (const id of ["inside", "nearest"]) $(id).addEventListener("toggle", update);

// The nearest training digits, by the first network's embeddings, which are computed when first shown.

let training = null;
const embedded = new Map(); // network -> promise of the embeddings of the training digits

// The pixels of the training digits, which are one below the other in a picture.
async function loadTraining() {
  const image = await createImageBitmap(await (await fetch("neighbours.png")).blob(), { colorSpaceConversion: "none" });
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const values = context.getImageData(0, 0, image.width, image.height).data;
  return data.trainingLabels.map((label, number) => {
    const pixels = Float32Array.from({ length: 784 }, (_, place) => values[4 * (784 * number + place)] / 255);
    return { label, pixels };
  });
}

async function embeddings(network) {
  if (!embedded.has(network)) embedded.set(network, computeEmbeddings(network));
  return embedded.get(network);
}

async function computeEmbeddings(network) {
  training ??= loadTraining();
  const vectors = [];
  for (const { pixels } of await training) {
    const vector = await network.embedding(pixels);
    if (!vector) return [];
    vectors.push(normalised(vector));
    if (vectors.length % 20 === 0) await new Promise((resolve) => setTimeout(resolve)); // the page stays responsive
  }
  network.trainingVectors = vectors;
  return vectors;
}

// The similarity to the 10th nearest training digit, as `mnist predict --image` judges pictures, among fewer digits.
const NUM_NEIGHBOURS = 10;

async function similarity(network, pixels) {
  const own = normalised(await network.embedding(pixels));
  return network.trainingVectors.map((other) => product(own, other)).sort((one, other) => other - one)[NUM_NEIGHBOURS - 1];
}

const product = (one, other) => {
  let sum = 0;
  for (let place = 0; place < one.length; place++) sum += one[place] * other[place];
  return sum;
};

// A line for a picture that is not like a digit. A digit that is half drawn is not like a digit either.
async function warningFor(network, pixels) {
  const threshold = network.similarityThreshold;
  if (!pixels || !threshold || !network.trainingVectors || gesture !== null) return "";
  const found = await similarity(network, pixels);
  return found < threshold ? `Not like a digit: similarity ${found.toFixed(3)} to the nearest training digits; `
    + `95% of validation digits are above ${threshold.toFixed(3)}` : "";
}

function normalised(vector) {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

async function showNeighbours() {
  const network = slots[0].network, vector = current && network && (await network.embedding(current));
  if (!vector) {
    $("neighbours").replaceChildren(current ? "This network has no embedding before its last layer." : "Draw a digit first.");
    return;
  }
  const own = normalised(vector), vectors = await embeddings(network);
  const similarities = vectors.map((other) => product(own, other)), digits = await training;
  const nearest = [...similarities.keys()].sort((one, other) => similarities[other] - similarities[one]).slice(0, NUM_NEIGHBOURS);
  $("neighbours").replaceChildren(...nearest.map((number) => element("figure", {},
    digitCanvas(digits[number].pixels, `A training digit ${digits[number].label}`),
    element("figcaption", { textContent: `${digits[number].label}, ${similarities[number].toFixed(3)}` }))));
}

// Start.

const sliders = new Sliders($("sliders"), () => update());
const game = makeGame($, data.digits);
$("card").addEventListener("click", () => attempt(() => saveCard(current, slots.filter((slot) => slot.network)
  .map(({ label, network, probabilities }) => ({ label, classes: network.classes, probabilities })))));

await attempt(async () => {
  addOptions();
  await choose(0, 0);
  await chooseShown(0);
  if (networks.length > 1) await choose(1, 1);
  else slots[1].place.classList.add("empty");
});
if (slots[0].network) $("loading").remove();
else $("loading").textContent = $("notice").textContent;
