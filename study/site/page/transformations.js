// Changes of a digit in MNIST's form under the sliders. A digit has 28 x 28 values from 0 to 1.

import { SIDE } from "./preparation.js";

// What the sliders can do: name -> label, range, step, neutral value and unit.
export const SLIDERS = {
  right: { label: "move right", low: -14, high: 14, step: 1, neutral: 0, unit: " px" },
  down: { label: "move down", low: -14, high: 14, step: 1, neutral: 0, unit: " px" },
  angle: { label: "turn left", low: -180, high: 180, step: 5, neutral: 0, unit: "°" },
  scale: { label: "size", low: 0.4, high: 1.6, step: 0.05, neutral: 1, unit: "×" },
  blur: { label: "blur", low: 0, high: 3, step: 0.1, neutral: 0, unit: " px" },
  dirt: { label: "dirt", low: 0, high: 40, step: 1, neutral: 0, unit: "%" },
};

export const neutralChange = () => Object.fromEntries(Object.entries(SLIDERS).map(([name, { neutral }]) => [name, neutral]));

// The digit turned about the middle of the image, scaled, moved, blurred and dirtied, in this order.
export function changed(digit, change) {
  const { right, down, angle, scale, blur, dirt } = { ...neutralChange(), ...change };
  let result = digit;
  if (right || down || angle || scale !== 1) result = moved(result, right, down, angle, scale);
  if (blur) result = blurred(result, blur);
  return dirt ? dirtied(result, dirt / 100) : result;
}

// As `affine_map` and `transform` in Python: bilinear interpolation, 0 outside the image, then 256 grey levels.
function moved(digit, right, down, angle, scale) {
  const cos = Math.cos((angle * Math.PI) / 180) / scale, sin = Math.sin((angle * Math.PI) / 180) / scale;
  const result = new Float32Array(SIDE * SIDE), middle = (SIDE - 1) / 2;
  const pixel = (x, y) => (x < 0 || x >= SIDE || y < 0 || y >= SIDE ? 0 : digit[y * SIDE + x]);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const fromX = x - middle - right, fromY = y - middle - down;
      const sourceX = cos * fromX - sin * fromY + middle, sourceY = sin * fromX + cos * fromY + middle;
      const left = Math.floor(sourceX), top = Math.floor(sourceY), across = sourceX - left, below = sourceY - top;
      const upper = pixel(left, top) * (1 - across) + pixel(left + 1, top) * across;
      const lower = pixel(left, top + 1) * (1 - across) + pixel(left + 1, top + 1) * across;
      result[y * SIDE + x] = Math.round((upper * (1 - below) + lower * below) * 255) / 255;
    }
  }
  return result;
}

// A Gaussian with this standard deviation in pixels.
function blurred(digit, sigma) {
  const reach = Math.ceil(3 * sigma), weights = Array.from({ length: 2 * reach + 1 }, (_, place) =>
    Math.exp(-((place - reach) ** 2) / (2 * sigma * sigma)));
  const sum = weights.reduce((a, b) => a + b), line = (source, stepX, stepY) => source.map((_, place) => {
    const x = place % SIDE, y = (place - x) / SIDE;
    return weights.reduce((total, weight, number) => {
      const atX = x + (number - reach) * stepX, atY = y + (number - reach) * stepY;
      const isInside = atX >= 0 && atX < SIDE && atY >= 0 && atY < SIDE;
      return isInside ? total + (weight / sum) * source[atY * SIDE + atX] : total;
    }, 0);
  });
  return line(line(Float32Array.from(digit), 1, 0), 0, 1);
}

// This share of the pixels becomes black or white. More dirt keeps the spots of less dirt.
function dirtied(digit, share) {
  const random = randomNumbers(1);
  return Float32Array.from(digit, (value) => {
    const isHit = random() < share, level = random() < 0.5 ? 0 : 1;
    return isHit ? level : value;
  });
}

// Numbers from 0 to 1 that are the same on every page: mulberry32 by Tommy Ettinger, public domain.
export function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
