// What the pages show: digits, probabilities, sliders and feature maps.

import { SLIDERS, neutralChange } from "./transformations.js";
import { SIDE } from "./preparation.js";

export function element(kind, properties = {}, ...children) {
  const { style, data, aria, ...rest } = properties, made = Object.assign(document.createElement(kind), rest);
  if (style) Object.assign(made.style, style);
  for (const [name, value] of Object.entries(data ?? {})) made.dataset[name] = value;
  for (const [name, value] of Object.entries(aria ?? {})) made.setAttribute(`aria-${name}`, value);
  made.append(...children);
  return made;
}

export const percent = (fraction, digits = 1) => `${(100 * fraction).toFixed(digits)}%`;

// Bytes of a text in base64.
export const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export const pixelsOf = (bytes) => Float32Array.from(bytes, (byte) => byte / 255);

// 28 x 28 values from 0 to 1.
export function showDigit(canvas, pixels) {
  paint(canvas.getContext("2d"), 0, 0, SIDE, SIDE, pixels, 1);
}

// Values as a picture: 0 is black, `largest` white, negative values are blue.
function paint(context, left, top, width, height, values, largest) {
  const image = new ImageData(width, height), scale = 255 / (largest || 1);
  for (let place = 0; place < width * height; place++) {
    const value = values[place] * scale, negative = Math.min(255, -value);
    image.data.set(value >= 0 ? [value, value, value, 255] : [negative * 0.2, negative * 0.6, negative, 255], 4 * place);
  }
  context.putImageData(image, left, top);
}

// Without a label the picture is only for the eye.
export function digitCanvas(pixels, label = "") {
  const aria = label ? { label } : { hidden: true };
  const canvas = element("canvas", { width: SIDE, height: SIDE, className: "pixels", role: label ? "img" : null, aria });
  showDigit(canvas, pixels);
  return canvas;
}

// A network's answer: one line, and a bar with the probability of each class.
export class Prediction {
  constructor(place) {
    this.result = element("p", { className: "result" });
    this.note = element("p", { className: "note" });
    this.warning = element("p", { className: "warning", hidden: true });
    this.rows = element("div", { className: "bars" });
    place.append(this.note, this.result, this.rows, this.warning);
  }

  setNetwork(network) {
    this.names = network?.classes ?? [];
    this.rows.classList.toggle("named", this.names.some((name) => name.length > 2));
    this.bars = this.names.map((name) => {
      const length = element("i"), number = element("b");
      const row = element("div", { className: "bar" },
        element("span", { className: "name", textContent: name, title: name }), element("span", {}, length), number);
      return { row, length, number };
    });
    this.rows.replaceChildren(...this.bars.map((bar) => bar.row));
    this.note.textContent = network ? noteOf(network) : "";
    this.show(null);
    this.warn("");
  }

  // A line under the answer; nothing without a text.
  warn(text) {
    this.warning.textContent = text;
    this.warning.hidden = !text;
  }

  // `probabilities` of the classes, null without a digit. `label` is the right answer, if it is known.
  show(probabilities, label = null) {
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    this.bars.forEach(({ row, length, number }, place) => {
      const probability = probabilities?.[place] ?? 0;
      row.classList.toggle("best", place === best);
      length.style.width = `${100 * probability}%`;
      number.textContent = probabilities ? percent(probability) : "";
    });
    const isWrong = best >= 0 && label !== null && this.names[best] !== String(label);
    this.result.classList.toggle("wrong", isWrong);
    this.result.textContent = best < 0 ? "" : `reads ${this.names[best]}, ${percent(probabilities[best])}`
      + (isWrong ? `: wrong, it is a ${label}` : "");
    return best < 0 ? "" : this.names[best];
  }
}

function noteOf(network) {
  const accuracy = Number(network.metadata.test_accuracy);
  const isKnown = network.metadata.test_accuracy && accuracy >= 0 && accuracy <= 1;
  return isKnown ? `reads ${percent(accuracy, 2)} of the test digits` : "its test accuracy is not in the file";
}

// The sliders, in the order of `names`. Calls `onChange` after every move.
export class Sliders {
  constructor(place, onChange, names = Object.keys(SLIDERS)) {
    this.inputs = Object.fromEntries(names.map((name) => {
      const { low, high, step, neutral } = SLIDERS[name];
      const input = element("input", { type: "range", min: low, max: high, step, value: neutral, name });
      input.addEventListener("input", () => {
        this.#write(name);
        onChange();
      });
      return [name, input];
    }));
    this.outputs = {};
    for (const [name, input] of Object.entries(this.inputs)) {
      this.outputs[name] = element("output");
      place.append(element("label", {}, `${SLIDERS[name].label} `, input, this.outputs[name]));
      this.#write(name);
    }
    const reset = element("button", { type: "button", textContent: "Reset" });
    reset.addEventListener("click", () => {
      this.set({});
      onChange();
    });
    place.append(reset);
  }

  get change() {
    return { ...neutralChange(), ...Object.fromEntries(Object.entries(this.inputs).map(([name, { value }]) => [name, Number(value)])) };
  }

  // Sliders that are not named become neutral.
  set(change) {
    for (const [name, input] of Object.entries(this.inputs)) {
      input.value = change[name] ?? SLIDERS[name].neutral;
      this.#write(name);
    }
  }

  #write(name) {
    const { unit } = SLIDERS[name], value = Number(this.inputs[name].value);
    this.outputs[name].textContent = `${value}${unit}`;
    this.inputs[name].setAttribute("aria-valuetext", `${value}${unit}`);
  }
}

const CELL = 44, VALUE = 14, GAP = 3; // CSS pixels of a feature map and of a single value, and between them
const MAX_MAPS = 128;

// The activations of a network as rows of feature maps, with the kernel and the input of one of them.
export class FeatureMaps {
  constructor(place, maxMaps = MAX_MAPS) {
    this.maxMaps = maxMaps; // of each layer; single values need less room
    this.rows = element("div", { className: "layers" });
    this.detail = element("div", { className: "map-detail", aria: { live: "polite" } });
    place.append(this.rows, this.detail);
    this.chosen = null; // number of the layer and of the map
  }

  setNetwork(network) {
    this.network = network;
    this.chosen = null;
    this.canvases = [];
    this.rows.replaceChildren();
    this.detail.replaceChildren();
  }

  // `layers` of Network.activations; null without a digit.
  show(layers, pixels) {
    this.layers = layers;
    this.pixels = pixels;
    this.rows.hidden = this.detail.hidden = !layers;
    if (!layers) return;
    if (!this.canvases.length) layers.forEach((layer, number) => this.#addRow(layer, number));
    layers.forEach(({ sides, values }, number) => {
      const [count, height, width] = sizes(sides), canvas = this.canvases[number], context = canvas.getContext("2d");
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      const { columns } = canvas, scale = canvas.scale;
      for (let map = 0; map < canvas.shown; map++) {
        const cell = picture(values.subarray(map * width * height, (map + 1) * width * height), width, height, largest);
        const side = canvas.cell, left = (map % columns) * (side + GAP), top = Math.floor(map / columns) * (side + GAP);
        context.imageSmoothingEnabled = false;
        context.drawImage(cell, left * scale, top * scale, side * scale, side * scale);
        if (this.chosen?.join() === `${number},${map}`) {
          context.strokeStyle = "#e69f00";
          context.lineWidth = 3;
          context.strokeRect(left * scale + 1, top * scale + 1, side * scale - 2, side * scale - 2);
        }
      }
    });
    this.#showDetail();
  }

  #addRow({ layer, sides }, number) {
    const [count, height, width] = sizes(sides), isFlat = width * height === 1, shown = Math.min(count, isFlat ? 4 * this.maxMaps : this.maxMaps);
    const name = layer.name ? `${layer.name}: ` : "", form = isFlat ? `${count} values` : `${count} maps of ${width} x ${height}`;
    const title = `${name}${layer.title}, ${form}${shown < count ? `, the first ${shown}` : ""}`;
    const canvas = element("canvas", { tabIndex: 0, role: "img", aria: { label: `${title}. The arrow keys choose a map` } });
    const room = Math.max(280, this.rows.clientWidth || 280);
    const cell = isFlat ? VALUE : CELL;
    Object.assign(canvas, { cell, shown });
    canvas.columns = Math.max(1, Math.min(shown, Math.floor((room + GAP) / (cell + GAP))));
    canvas.scale = Math.min(2, window.devicePixelRatio || 1);
    const rows = Math.ceil(shown / canvas.columns), size = [canvas.columns, rows].map((number) => number * (cell + GAP) - GAP);
    [canvas.width, canvas.height] = size.map((side) => side * canvas.scale);
    [canvas.style.width, canvas.style.height] = size.map((side) => `${side}px`);
    const mapAt = (event) => {
      const column = Math.floor(event.offsetX / (cell + GAP)), row = Math.floor(event.offsetY / (cell + GAP));
      const map = row * canvas.columns + column;
      return column >= 0 && column < canvas.columns && row >= 0 && map < shown ? map : null;
    };
    const choose = (map) => {
      if (map === null || this.chosen?.join() === `${number},${map}`) return;
      this.chosen = [number, map];
      this.show(this.layers, this.pixels);
    };
    canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && !this.isPinned) choose(mapAt(event)); });
    canvas.addEventListener("click", (event) => {
      const map = mapAt(event), isSame = this.chosen?.join() === `${number},${map}`;
      this.isPinned = map !== null && !(isSame && this.isPinned);
      this.detail.classList.toggle("large", this.isPinned);
      choose(map);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: canvas.columns, ArrowUp: -canvas.columns }[event.key];
      if (!step) return;
      event.preventDefault();
      const from = this.chosen?.[0] === number ? this.chosen[1] : -1;
      choose(from < 0 ? 0 : Math.min(shown - 1, Math.max(0, from + step)));
    });
    this.canvases.push(canvas);
    this.rows.append(element("figure", {}, element("figcaption", { textContent: title }), canvas));
  }

  #showDetail() {
    if (!this.chosen) return;
    const [number, map] = this.chosen, { layer, sides, values } = this.layers[number], [, height, width] = sizes(sides);
    const own = values.subarray(map * width * height, (map + 1) * width * height);
    const brightest = own.reduce((most, value) => Math.max(most, value), -Infinity);
    const parts = [element("p", { textContent: `${layer.name || layer.title}, ${width * height > 1 ? "map" : "value"} ${map + 1}: largest value ${brightest.toFixed(2)}` })];
    const add = (canvas, text) => parts.push(element("figure", {}, canvas, element("figcaption", { textContent: text })));
    if (width * height > 1) add(asPixels(picture(own, width, height, brightest)), `its map, ${width} x ${height}`);
    const weight = layer.node.kind === "Conv" ? this.network.file.weight(layer.node.inputs[1]) : null;
    if (weight && weight.sides.length === 4) {
      const [, inputs, rows, columns] = weight.sides, area = rows * columns, start = map * inputs * area;
      const strongest = weight.values.subarray(start, start + inputs * area).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      add(sheet(inputs, columns, rows, (input) => weight.values.subarray(start + input * area, start + (input + 1) * area), strongest),
        inputs > 1 ? `its kernels, ${columns} x ${rows}, one for each of ${inputs} input maps (blue: negative)` : `its kernel, ${columns} x ${rows} (blue: negative)`);
    }
    const before = number > 0 ? this.layers[number - 1] : null;
    if (!before) add(asPixels(picture(this.pixels, SIDE, SIDE, 1)), "its input: the digit");
    else if (before.sides.length === 3) {
      const [count, rows, columns] = before.sides, area = rows * columns;
      const most = before.values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      const isPooling = layer.node.kind.includes("Pool"), inputs = isPooling ? [map] : [...Array(count).keys()];
      add(sheet(inputs.length, columns, rows, (place) => before.values.subarray(inputs[place] * area, (inputs[place] + 1) * area), most),
        isPooling ? "its input map" : `its input: ${count} maps of ${before.layer.name || before.layer.title}`);
    }
    this.detail.replaceChildren(...parts);
  }
}

const sizes = (sides) => (sides.length === 3 ? sides : [sides.reduce((a, b) => a * b, 1), 1, 1]);

function picture(values, width, height, largest) {
  const canvas = new OffscreenCanvas(width, height);
  paint(canvas.getContext("2d"), 0, 0, width, height, values, largest);
  return canvas;
}

function asPixels(drawn) {
  const canvas = element("canvas", { width: drawn.width, height: drawn.height, className: "pixels" });
  canvas.getContext("2d").drawImage(drawn, 0, 0);
  return canvas;
}

// Many small pictures in one canvas, with a pixel between them.
function sheet(count, width, height, valuesOf, largest) {
  const columns = Math.ceil(Math.sqrt(count * height / width)), rows = Math.ceil(count / columns);
  const canvas = element("canvas", { width: columns * (width + 1) - 1, height: rows * (height + 1) - 1, className: "pixels sheet" });
  const context = canvas.getContext("2d");
  for (let place = 0; place < count; place++) {
    paint(context, (place % columns) * (width + 1), Math.floor(place / columns) * (height + 1), width, height, valuesOf(place), largest);
  }
  return canvas;
}

// Runs `work` once after any number of calls, in the next frame. A call during the work runs it once more.
export function inNextFrame(work) {
  let isWaiting = false, isWorking = false, isStale = false;
  const run = async () => {
    isWaiting = false;
    isWorking = true;
    document.body.setAttribute("aria-busy", "true");
    await work();
    isWorking = false;
    if (isStale) start();
    else document.body.setAttribute("aria-busy", "false");
  };
  const start = () => {
    isStale = isWorking;
    if (isWaiting || isWorking) return;
    isWaiting = true;
    document.body.setAttribute("aria-busy", "true");
    requestAnimationFrame(run);
  };
  return start;
}
