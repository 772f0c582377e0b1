// How answers look on the page.

export function showDigit(canvas, values) {
  const image = new ImageData(28, 28);
  values.forEach((value, place) => image.data.set([value, value, value, 255], 4 * place));
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

// The bars of one network: made once, then moved.
export class Bars {
  constructor(place) {
    this.verdict = element("p", { className: "verdict" });
    this.bars = Array.from({ length: 10 }, (_, digit) => {
      const bar = { row: element("div", { className: "bar" }), length: element("i"), number: element("b") };
      const track = element("span");
      track.append(bar.length);
      bar.row.append(element("span", { textContent: digit }), track, bar.number);
      return bar;
    });
    place.append(this.verdict, ...this.bars.map((bar) => bar.row));
    this.show(null);
  }

  show(answer) {
    const best = answer ? answer.probabilities.indexOf(Math.max(...answer.probabilities)) : -1;
    this.bars.forEach(({ row, length, number }, digit) => {
      const probability = answer ? answer.probabilities[digit] : 0;
      row.classList.toggle("best", digit === best);
      length.style.width = `${100 * probability}%`;
      number.textContent = answer ? `${(100 * probability).toFixed(1)}%` : "";
    });
    this.verdict.classList.toggle("strange", Boolean(answer?.strange));
    this.verdict.textContent = !answer ? "" : answer.strange ? `This does not look like a digit (${best}?)` : `${best}`;
  }
}

export function showStages(place, names, stages, digitCanvas) {
  for (const name of names) {
    const figure = place.querySelector(`[data-step="${name}"]`);
    const image = figure.querySelector("img");
    if (stages && (name in stages || name === names.at(-1))) image.src = stages[name] ?? digitCanvas.toDataURL();
    else image.removeAttribute("src");
    figure.classList.toggle("off", !(figure.querySelector("input")?.checked ?? true));
  }
}

// A picture with its name a step; all but the first, which is the picture itself, can be taken out.
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

export const stepsTakenOut = (place) =>
  [...place.querySelectorAll("figure")].filter((figure) => figure.querySelector("input")?.checked === false)
    .map((figure) => figure.dataset.step);

export function showLayers(place, answers) {
  place.replaceChildren(...Object.entries(answers).map(([run, { layers }]) => {
    const network = element("div", { className: "network" });
    network.append(element("h2", { textContent: run }));
    for (const { name, shape, picture, zoom } of layers ?? []) {
      const figure = element("figure");
      const image = element("img", { src: picture, alt: name });
      image.addEventListener("load", () => (image.style.width = `${zoom * image.naturalWidth}px`));
      figure.append(element("figcaption", { textContent: `${name}: ${shape}` }), image);
      network.append(figure);
    }
    return network;
  }));
}

export function element(kind, properties = {}) {
  return Object.assign(document.createElement(kind), properties);
}
