// The result card: a picture of the digit with what the networks read.

import { percent, showDigit } from "./views.js";

const WIDTH = 1200, HEIGHT = 630;

export async function saveCard(pixels, predictions) {
  if (!pixels) throw new Error("Draw a digit first");
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT), context = canvas.getContext("2d");
  const write = (text, x, y, font, color = "#1f2933", room = WIDTH - x - 60) => {
    Object.assign(context, { font: `${font} system-ui, "Segoe UI", Roboto, sans-serif`, fillStyle: color });
    context.fillText(text, x, y, room);
  };
  context.fillStyle = "#fff";
  context.fillRect(0, 0, WIDTH, HEIGHT);
  const small = new OffscreenCanvas(28, 28);
  showDigit(small, pixels);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 60, 105, 420, 420);
  write("Is MNIST solved?", 540, 150, "600 44px");
  predictions.forEach(({ label, classes, probabilities }, number) => {
    const best = probabilities.indexOf(Math.max(...probabilities)), top = 230 + 165 * number;
    write(label, 540, top, "28px", "#52606d");
    write(`reads ${classes[best]}, ${percent(probabilities[best])}`, 540, top + 55, "600 44px");
    context.fillStyle = "#d9e0e7";
    context.fillRect(540, top + 75, 560, 22);
    context.fillStyle = "#0072b2";
    context.fillRect(540, top + 75, 560 * probabilities[best], 22);
  });
  write("28 x 28 pixels, as the network gets them", 60, 570, "22px", "#52606d");
  write("Computed in the browser by the MNIST Study Platform", 540, 570, "22px", "#52606d");
  const url = URL.createObjectURL(await canvas.convertToBlob({ type: "image/png" }));
  Object.assign(document.createElement("a"), { href: url, download: "digit.png" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
