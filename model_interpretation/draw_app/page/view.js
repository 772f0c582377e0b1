// Draws the server's results on the page.

export function showDigit(canvas, values) {
  const image = new ImageData(28, 28);
  values.forEach((value, place) => image.data.set([value, value, value, 255], 4 * place));
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

// The prediction of one model, a bar with the probability of each class, and a warning for a drawing that is no digit.
export class PredictionView {
  constructor(place) {
    this.result = element("p", { className: "result" });
    this.warning = element("p", { className: "warning", role: "status" });
    this.reason = element("p", { className: "reason" });
    this.rows = element("div", { className: "bars" });
    place.append(this.result, this.rows, this.warning, this.reason);
    this.setClasses([]);
  }

  setClasses(names) {
    this.names = names;
    this.rows.classList.toggle("named", names.some((name) => name.length > 2));
    this.bars = names.map((name) => {
      const bar = { row: element("div", { className: "bar" }), length: element("i"), number: element("b") };
      const track = element("span");
      track.append(bar.length);
      bar.row.append(element("span", { className: "name", textContent: name, title: name }), track, bar.number);
      return bar;
    });
    this.rows.replaceChildren(...this.bars.map((bar) => bar.row));
    this.show(null);
  }

  show(predicted) {
    this.bars.forEach(({ row, length, number }, label) => {
      const probability = predicted ? predicted.probabilities[label] : 0;
      row.classList.toggle("best", label === predicted?.prediction);
      length.style.width = `${100 * probability}%`;
      number.textContent = predicted ? percent(probability) : "";
    });
    this.result.textContent = predicted ? sentence(predicted, this.names) : "";
    this.showWarning(predicted?.out_of_distribution ? predicted : null);
  }

  // Screen readers read the first line when it changes, so the numbers, which change with every stroke, are in another.
  showWarning(predicted) {
    const isDigit = this.names.every((name) => /^[0-9]$/.test(name));
    const text = predicted ? `This does not look like a ${isDigit ? "digit" : "training image"}.` : "";
    if (this.warning.textContent !== text) this.warning.textContent = text;
    this.reason.textContent = predicted ? reason(predicted, isDigit ? "digits" : "images") : "";
  }
}

const percent = (fraction) => `${(100 * fraction).toFixed(1)}%`;

const sentence = ({ prediction, confidence }, names) => `Prediction: ${names[prediction]} (${percent(confidence)})`;

const reason = ({ similarity, similarity_threshold: threshold }, images) =>
  `Similarity to the nearest training ${images}: ${similarity.toFixed(3)}. 95% of the validation ${images} are above `
  + `${threshold.toFixed(3)}.`;

export function showStages(place, names, stages, digitCanvas) {
  for (const name of names) {
    const figure = place.querySelector(`[data-step="${name}"]`);
    const image = figure.querySelector("img");
    if (stages && (name in stages || name === names.at(-1))) image.src = stages[name] ?? digitCanvas.toDataURL();
    else image.removeAttribute("src");
    figure.classList.toggle("off", !(figure.querySelector("input")?.checked ?? true));
  }
}

// One picture per step with a check box. The first is the original picture, which has no check box.
export function makeStages(place, names, onChange) {
  for (const name of names) {
    const figure = element("figure");
    figure.dataset.step = name;
    const caption = element("figcaption"), label = element("label");
    if (name !== names[0]) {
      const box = element("input", { type: "checkbox", checked: true });
      box.addEventListener("change", onChange);
      label.append(box, " ");
    }
    label.append(name);
    caption.append(label);
    figure.append(element("img", { alt: `after ${name}` }), caption);
    place.append(figure);
  }
}

export const skippedSteps = (place) =>
  [...place.querySelectorAll("figure")].filter((figure) => figure.querySelector("input")?.checked === false)
    .map((figure) => figure.dataset.step);

export function showActivations(place, predictions) {
  place.replaceChildren(...Object.entries(predictions).map(([run, { activations }]) => {
    const model = element("div", { className: "model" });
    model.append(element("h2", { textContent: run }));
    for (const { name, shape, picture, zoom } of activations ?? []) {
      const figure = element("figure");
      const image = element("img", { src: picture, alt: name });
      image.addEventListener("load", () => (image.style.width = `${zoom * image.naturalWidth}px`));
      figure.append(element("figcaption", { textContent: `${name}: ${shape}` }), image);
      model.append(figure);
    }
    return model;
  }));
}

export function element(kind, properties = {}) {
  return Object.assign(document.createElement(kind), properties);
}
