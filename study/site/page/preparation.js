// From a picture of a digit to the 28 x 28 pixels of MNIST, with the steps of utils/data/digit_preprocessing.py: the same
// names, constants and results. A grey picture has values from 0 (black) to 1 (white).

import * as filters from "./filters.js";
import { bounds, cut, map, maximum, picture, round } from "./filters.js";

export const SIDE = 28; // pixels of an MNIST image
const BOX = 20, MASS_CENTRE = 14;
const FINE = 10; // pixels of the working picture per MNIST pixel
const USUAL_WIDTHS = [2.2, 3.6]; // of MNIST's strokes
const COARSE_SIDE = 40, MIN_CONTRAST = 0.06, SPECK = 0.04, BAND = 0.15, SPAN = 0.6;
const MAX_SIDE = 400; // of a photo; larger ones are reduced

export class NoStroke extends Error {}

// The grey values of a canvas that has no transparent pixels.
export function greyOf(canvas) {
  const { width, height } = canvas, grey = picture(width, height);
  const { data } = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height);
  for (let place = 0; place < grey.data.length; place++) {
    const red = data[4 * place], green = data[4 * place + 1], blue = data[4 * place + 2];
    grey.data[place] = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) / 255;
  }
  return grey;
}

// A photo on a white canvas whose sides have at most 400 pixels.
export function reducedPhoto(image) {
  const scale = Math.min(1, MAX_SIDE / Math.max(image.width, image.height));
  const sides = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(...sides), context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, ...sides);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, ...sides);
  return canvas;
}

// The digit as 28 x 28 bytes, bright on dark. Without `isCentred` the picture is scaled as a whole: the digit keeps its
// place and its size. Throws NoStroke if nothing stands out from the paper.
export function prepare(grey, isCentred = true) {
  const ink = mainStrokes(withoutFaint(withoutBackground(withBrightInk(grey))));
  const strokes = withUsualStroke(isCentred ? cropped(ink) : whole(ink));
  const image = picture(strokes.width, strokes.height, Uint8Array.from(strokes.data, (value) => round(f32(value * 255))));
  return isCentred ? centredByMass(scaled(croppedToInk(image), BOX)) : centredByBorder(scaled(image, SIDE));
}

const f32 = Math.fround;

function croppedToInk(image) {
  const box = bounds(image, 0);
  return box ? cut(image, ...box) : image;
}

function scaled(image, side) {
  const longer = Math.max(image.width, image.height);
  const [width, height] = [image.width, image.height].map((length) => Math.max(1, round((length * side) / longer)));
  return filters.resized(image, width, height);
}

function centredByMass(image) {
  const digit = croppedToInk(image);
  let sum = 0, sumX = 0, sumY = 0;
  digit.data.forEach((value, place) => {
    sum += value;
    sumX += value * (place % digit.width);
    sumY += value * Math.floor(place / digit.width);
  });
  const [x, y] = sum ? [sumX / sum, sumY / sum] : [MASS_CENTRE, MASS_CENTRE];
  return placed(digit, round(MASS_CENTRE - x), round(MASS_CENTRE - y));
}

const centredByBorder = (digit) =>
  placed(digit, Math.floor((SIDE - digit.width) / 2), Math.floor((SIDE - digit.height) / 2));

function placed(digit, left, top) {
  const inside = (start, side) => Math.min(Math.max(start, 0), SIDE - side);
  return cut(digit, -inside(left, digit.width), -inside(top, digit.height), SIDE, SIDE).data;
}

function withBrightInk(grey) {
  const coarse = Math.max(1, Math.floor(Math.max(grey.width, grey.height) / COARSE_SIDE));
  const small = every(filters.meanFilter(grey, coarse), coarse);
  const median = filters.medianFilter(small, Math.max(3, Math.floor(Math.max(small.width, small.height) / 3) | 1));
  const above = map(small, (value, place) => value - median.data[place]);
  const [columns, rows] = [small.width, small.height].map((side) => round(BAND * side));
  const inner = cut(above, columns, rows, small.width - 2 * columns, small.height - 2 * rows);
  return inner.data.reduce((sum, value) => sum + value * Math.abs(value), 0) > 0 ? grey : map(grey, (value) => 1 - value);
}

// Every n-th pixel of every n-th row, from the middle of the first n.
function every({ width, height, data }, n) {
  const first = Math.floor(n / 2), count = (side) => Math.ceil((side - first) / n), result = picture(count(width), count(height));
  for (let y = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++) {
      result.data[y * result.width + x] = data[(first + y * n) * width + first + x * n];
    }
  }
  return result;
}

function withoutBackground(ink) {
  const smooth = Math.min(ink.width, ink.height) > 100 ? filters.medianFilter(ink, 3) : ink;
  const paper = filters.greyOpening(smooth, Math.max(3, Math.floor(Math.max(ink.width, ink.height) / 4) | 1));
  const above = map(smooth, (value, place) => Math.max(0, value - paper.data[place]));
  if (maximum(above.data) < MIN_CONTRAST) {
    throw new NoStroke("there is no stroke in this picture: nothing stands out from the paper");
  }
  return above;
}

function withoutFaint(ink) {
  const strong = Math.max(filters.otsuThreshold(ink), MIN_CONTRAST), weak = f32(strong / 2);
  const { parts, count } = filters.connectedParts(map(ink, (value) => value > weak), false);
  const isStrong = new Uint8Array(count + 1);
  ink.data.forEach((value, place) => {
    if (value > strong) isStrong[parts[place]] = 1;
  });
  isStrong[0] = 0;
  const near = filters.dilated(picture(ink.width, ink.height, Uint8Array.from(parts, (part) => isStrong[part])));
  return map(ink, (value, place) => (near.data[place] ? Math.min(1, value / strong) : 0));
}

function mainStrokes(ink) {
  const isInk = (value) => value > 0.5;
  const { parts, count } = filters.connectedParts(map(ink, isInk), true);
  if (!count) return ink;
  const areas = new Float64Array(count + 1);
  for (const part of parts) areas[part] += 1;
  areas[0] = 0;
  const isEdge = runsAlongBorder({ width: ink.width, height: ink.height, parts }, areas);
  if (isEdge.includes(false, 1)) isEdge.forEach((value, part) => { if (value) areas[part] = 0; });
  const least = SPECK * maximum(areas);
  const isMain = areas.map((area, part) => Number(part > 0 && area >= least));
  const near = filters.dilated(picture(ink.width, ink.height, Uint8Array.from(parts, (part) => isMain[part])));
  return map(ink, (value, place) => (near.data[place] ? value : 0));
}

// Whether each part touches most of a side and lies mostly in the frame of the picture. Part 0 is the background.
function runsAlongBorder({ width, height, parts }, areas) {
  const rows = round(BAND * height), columns = round(BAND * width), count = areas.length;
  const inner = new Float64Array(count), sides = Array.from({ length: 4 }, () => new Float64Array(count));
  for (let y = rows; y < height - rows; y++) for (let x = columns; x < width - columns; x++) inner[parts[y * width + x]] += 1;
  for (let x = 0; x < width; x++) {
    sides[0][parts[x]] += 1 / width;
    sides[1][parts[(height - 1) * width + x]] += 1 / width;
  }
  for (let y = 0; y < height; y++) {
    sides[2][parts[y * width]] += 1 / height;
    sides[3][parts[y * width + width - 1]] += 1 / height;
  }
  return Array.from(areas, (area, part) => Math.max(...sides.map((side) => side[part])) > SPAN && inner[part] < area / 2);
}

function cropped(ink) {
  const box = bounds(ink, 0.5);
  if (!box) return whole(ink);
  return zoomedInRange(filters.padded(cut(ink, ...box), 1), (FINE * BOX) / Math.max(box[2], box[3]));
}

const whole = (ink) => zoomedInRange(ink, (FINE * SIDE) / Math.max(ink.width, ink.height));

const zoomedInRange = (ink, scale) => map(filters.zoomed(ink, scale), (value) => Math.min(1, Math.max(0, value)));

function withUsualStroke(ink) {
  const isInk = picture(ink.width, ink.height, Uint8Array.from(ink.data, (value) => value > 0.5));
  const area = isInk.data.reduce((sum, value) => sum + value, 0);
  const width = area / Math.max(1, filters.skeletonArea(isInk)) / FINE;
  const change = ((Math.min(Math.max(width, USUAL_WIDTHS[0]), USUAL_WIDTHS[1]) - width) / 2) * FINE;
  const inside = filters.padded(isInk, Math.max(0, round(change)) + 1);
  const toInk = filters.distances({ ...inside, data: inside.data.map((value) => 1 - value) });
  const toPaper = filters.distances(inside);
  const strokes = picture(inside.width, inside.height, Float32Array.from(toInk.data, (distance, place) =>
    Math.min(1, Math.max(0, change + 0.5 - (distance - toPaper.data[place])))));
  return maximum(strokes.data) === 1 ? strokes : ink;
}
