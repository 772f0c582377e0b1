// Filters on pictures, with the results of SciPy, scikit-image and Pillow. A picture is { width, height, data }: rows of
// numbers from top to bottom, in a Float32Array unless said otherwise.

export const picture = (width, height, data = new Float32Array(width * height)) => ({ width, height, data });

export function map({ width, height, data }, change) {
  const result = picture(width, height);
  for (let place = 0; place < data.length; place++) result.data[place] = change(data[place], place);
  return result;
}

// Halves go to the even neighbour, as in Python.
export function round(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest === 0.5 ? floor + (floor % 2 ? 1 : 0) : Math.round(value);
}

export function maximum(values) {
  let largest = -Infinity;
  for (let place = 0; place < values.length; place++) if (values[place] > largest) largest = values[place];
  return largest;
}

function minimum(values) {
  let smallest = Infinity;
  for (let place = 0; place < values.length; place++) if (values[place] < smallest) smallest = values[place];
  return smallest;
}

// The nearest place inside the picture, and the place mirrored at its border.
const nearest = (place, side) => Math.min(Math.max(place, 0), side - 1);
function mirrored(place, side) {
  if (place >= 0 && place < side) return place;
  const inPeriod = ((place % (2 * side)) + 2 * side) % (2 * side);
  return inPeriod < side ? inPeriod : 2 * side - 1 - inPeriod;
}

// Applies a filter of one dimension to each row and then to each column.
function alongBothAxes({ width, height, data }, filterLine) {
  const result = Float32Array.from(data);
  const pass = (length, count, step, jump) => {
    const line = new Float32Array(length), filtered = new Float32Array(length);
    for (let number = 0; number < count; number++) {
      for (let place = 0; place < length; place++) line[place] = result[number * jump + place * step];
      filterLine(line, filtered);
      for (let place = 0; place < length; place++) result[number * jump + place * step] = filtered[place];
    }
  };
  pass(width, height, 1, width);
  pass(height, width, width, 1);
  return picture(width, height, result);
}

// scipy.ndimage.uniform_filter: the mean of size x size, mirrored at the border.
export function meanFilter(source, size) {
  const before = Math.floor(size / 2);
  return alongBothAxes(source, (line, filtered) => {
    let sum = 0;
    for (let place = -before; place < size - before; place++) sum += line[mirrored(place, line.length)];
    for (let place = 0; place < line.length; place++) {
      filtered[place] = sum / size;
      sum += line[mirrored(place + size - before, line.length)] - line[mirrored(place - before, line.length)];
    }
  });
}

// scipy.ndimage.median_filter with an odd size and the nearest pixels beyond the border.
export function medianFilter({ width, height, data }, size) {
  const result = picture(width, height), reach = (size - 1) / 2, values = new Float32Array(size * size);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (size === 3 && isEven(data, y * width + x, width, height)) {
        result.data[y * width + x] = data[y * width + x];
        continue;
      }
      let count = 0;
      for (let dy = -reach; dy <= reach; dy++) {
        const row = nearest(y + dy, height) * width;
        for (let dx = -reach; dx <= reach; dx++) values[count++] = data[row + nearest(x + dx, width)];
      }
      result.data[y * width + x] = selected(values, (count - 1) / 2);
    }
  }
  return result;
}

// Whether the pixel is inside the picture and all its neighbours have its value, as on clean paper.
function isEven(data, place, width, height) {
  const x = place % width, value = data[place];
  if (x === 0 || x === width - 1 || place < width || place >= width * (height - 1)) return false;
  return data[place - 1] === value && data[place + 1] === value
    && data[place - width] === value && data[place - width - 1] === value && data[place - width + 1] === value
    && data[place + width] === value && data[place + width - 1] === value && data[place + width + 1] === value;
}

// The value with this number in ascending order, by Hoare's selection. Changes the order of the values.
function selected(values, number) {
  let first = 0, last = values.length - 1;
  while (first < last) {
    const pivot = values[(first + last) >> 1];
    let low = first, high = last;
    while (low <= high) {
      while (values[low] < pivot) low += 1;
      while (values[high] > pivot) high -= 1;
      if (low > high) break;
      const value = values[low];
      values[low++] = values[high];
      values[high--] = value;
    }
    if (number <= high) last = high;
    else if (number >= low) first = low;
    else break;
  }
  return values[number];
}

// scipy.ndimage.grey_opening with an odd square: the smallest values around each pixel, and the largest of these.
export function greyOpening(source, size) {
  const negative = (picture) => map(picture, (value) => -value);
  return negative(erosion(negative(erosion(source, size)), size));
}

// The smallest value of size x size. Van Herk's algorithm takes three comparisons per pixel for any size.
function erosion(source, size) {
  const reach = (size - 1) / 2;
  const length = Math.max(source.width, source.height) + 2 * reach;
  const padded = new Float32Array(length), forwards = new Float32Array(length), backwards = new Float32Array(length);
  return alongBothAxes(source, (line, filtered) => {
    if (line.every((value) => value === line[0])) {
      filtered.set(line);
      return;
    }
    const end = line.length + 2 * reach;
    padded.fill(line[0], 0, reach);
    padded.set(line, reach);
    padded.fill(line.at(-1), end - reach, end);
    for (let place = 0, smallest = 0; place < end; place++) {
      const value = padded[place];
      smallest = place % size && smallest < value ? smallest : value;
      forwards[place] = smallest;
    }
    for (let place = end - 1, smallest = 0; place >= 0; place--) {
      const value = padded[place];
      smallest = place < end - 1 && (place + 1) % size && smallest < value ? smallest : value;
      backwards[place] = smallest;
    }
    for (let place = 0; place < line.length; place++) {
      const one = backwards[place], other = forwards[place + size - 1];
      filtered[place] = one < other ? one : other;
    }
  });
}

// skimage.filters.threshold_otsu in single precision.
export function otsuThreshold({ data }) {
  const f = Math.fround, bins = 256, low = minimum(data), high = maximum(data);
  const step = f(f(high - low) / bins), edges = new Float32Array(bins + 1), counts = new Float32Array(bins);
  for (let bin = 0; bin < bins; bin++) edges[bin] = f(f(bin * step) + low);
  edges[bins] = high;
  const width = f(high - low);
  for (let place = 0; place < data.length; place++) {
    const value = data[place];
    let bin = Math.min(bins - 1, Math.trunc(f(f(f(value - low) / width) * bins)));
    if (value < edges[bin]) bin -= 1;
    else if (bin < bins - 1 && value >= edges[bin + 1]) bin += 1;
    counts[bin] += 1;
  }
  const centres = counts.map((_, bin) => f(f(edges[bin] + edges[bin + 1]) / 2));
  // Number of pixels and their sum in the bins up to each bin, and in the bins from each bin on.
  const sums = (order) => {
    const weights = new Float32Array(bins), means = new Float32Array(bins);
    let weight = 0, sum = 0;
    for (const bin of order) {
      weight = f(weight + counts[bin]);
      sum = f(sum + f(counts[bin] * centres[bin]));
      weights[bin] = weight;
      means[bin] = f(sum / weight);
    }
    return { weights, means };
  };
  const order = [...counts.keys()], below = sums(order), above = sums(order.reverse());
  let best = 0, largest = -1;
  for (let bin = 0; bin < bins - 1; bin++) {
    const difference = f(below.means[bin] - above.means[bin + 1]);
    const variance = f(f(below.weights[bin] * above.weights[bin + 1]) * f(difference * difference));
    if (variance > largest) [best, largest] = [bin, variance];
  }
  return centres[best];
}

// scipy.ndimage.label: the number of the connected part of each pixel of the mask, from 1, and the number of parts.
// `hasDiagonals`: diagonal neighbours are connected.
export function connectedParts({ width, height, data }, hasDiagonals) {
  const parts = new Int32Array(width * height), stack = [];
  let count = 0;
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || parts[start]) continue;
    parts[start] = ++count;
    stack.push(start);
    while (stack.length) {
      const place = stack.pop(), x = place % width, y = (place - x) / width;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          const other = place + dy * width + dx;
          if ((!hasDiagonals && dx && dy) || x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height) continue;
          if (!data[other] || parts[other]) continue;
          parts[other] = count;
          stack.push(other);
        }
      }
    }
  }
  return { parts, count };
}

// scipy.ndimage.binary_dilation: the mask and its neighbours above, below, left and right.
export function dilated({ width, height, data }) {
  const result = new Uint8Array(width * height);
  for (let place = 0; place < data.length; place++) {
    if (!data[place]) continue;
    const x = place % width;
    result[place] = 1;
    if (x > 0) result[place - 1] = 1;
    if (x < width - 1) result[place + 1] = 1;
    if (place >= width) result[place - width] = 1;
    if (place + width < result.length) result[place + width] = 1;
  }
  return picture(width, height, result);
}

export const padded = (source, margin) =>
  cut(source, -margin, -margin, source.width + 2 * margin, source.height + 2 * margin);

// A rectangle of the picture; beyond the border there are zeros.
export function cut({ width, height, data }, left, top, newWidth, newHeight) {
  const result = picture(newWidth, newHeight, new data.constructor(newWidth * newHeight));
  for (let y = Math.max(0, -top); y < Math.min(newHeight, height - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(newWidth, width - left); x++) {
      result.data[y * newWidth + x] = data[(y + top) * width + x + left];
    }
  }
  return result;
}

// The smallest rectangle around the pixels above the level; null without such pixels.
export function bounds({ width, height, data }, level) {
  let left = width, right = -1, top = height, bottom = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!(data[y * width + x] > level)) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  return right < 0 ? null : [left, top, right - left + 1, bottom - top + 1];
}

// scipy.ndimage.zoom with linear interpolation: the corners of both pictures coincide.
export function zoomed({ width, height, data }, scale) {
  const sides = [width, height].map((side) => round(side * Math.max(scale, 1 / side)));
  const [newWidth, newHeight] = sides, result = picture(newWidth, newHeight);
  const places = (side, newSide) => Array.from({ length: newSide }, (_, place) => {
    const at = newSide > 1 ? place * ((side - 1) / (newSide - 1)) : 0, first = Math.min(Math.floor(at), side - 1);
    return [first, Math.min(first + 1, side - 1), at - first, at > side - 1];
  });
  const columns = places(width, newWidth);
  places(height, newHeight).forEach(([above, below, down, isOutside], y) => {
    columns.forEach(([left, right, across, isBeyond], x) => {
      if (isOutside || isBeyond) return;
      const upper = data[above * width + left] * (1 - across) + data[above * width + right] * across;
      const lower = data[below * width + left] * (1 - across) + data[below * width + right] * across;
      result.data[y * newWidth + x] = upper * (1 - down) + lower * down;
    });
  });
  return result;
}

// Which of the 256 patterns of eight neighbours are removed in the first (1), the second (2) or both (3) of the two
// passes of Zhang and Suen 1984: the table of scikit-image (BSD-3-Clause), sixteen patterns per line.
const REMOVED = [
  "0001001300311013", "0000000020203033", "0000000030000000", "0000000020003022",
  "0000000000000000", "0000000000000000", "2000000020002000", "3000000030003020",
  "0031001300000001", "0000000000000001", "3100000000000000", "2000000000000000",
  "2313001300000001", "0000000000000000", "2301000100000000", "3301000022002000",
].join("").split("").map(Number); // prettier-ignore

// skimage.morphology.skeletonize: the number of pixels of the mask's skeleton.
export function skeletonArea(mask) {
  const { width, height, data } = padded(mask, 1), skeleton = Uint8Array.from(data, Number);
  let places = [...skeleton.keys()].filter((place) => skeleton[place]);
  const around = [-width - 1, -width, -width + 1, 1, width + 1, width, width - 1, -1];
  for (let hasChanged = true; hasChanged; ) {
    hasChanged = false;
    for (const pass of [1, 2]) {
      const removed = places.filter((place) => {
        let pattern = 0;
        for (let number = 0; number < 8; number++) pattern |= skeleton[place + around[number]] << number;
        return REMOVED[pattern] & pass;
      });
      for (const place of removed) skeleton[place] = 0;
      hasChanged ||= removed.length > 0;
      places = places.filter((place) => skeleton[place]);
    }
  }
  return places.length;
}

// scipy.ndimage.distance_transform_edt: the distance of each pixel of the mask to the nearest pixel outside the mask, by
// the lower envelopes of Felzenszwalb and Huttenlocher 2012. 0 outside the mask.
export function distances({ width, height, data }) {
  const FAR = 1e10, squares = Float64Array.from(data, (isSet) => (isSet ? FAR : 0));
  const longest = Math.max(width, height), line = new Float64Array(longest);
  const apexes = new Int32Array(longest), starts = new Float64Array(longest + 1);
  const pass = (length, first, step) => {
    for (let place = 0; place < length; place++) line[place] = squares[first + place * step];
    let last = 0;
    apexes[0] = 0;
    starts[0] = -Infinity;
    starts[1] = Infinity;
    const meeting = (one, other) => (line[one] + one * one - line[other] - other * other) / (2 * (one - other));
    for (let place = 1; place < length; place++) {
      let from = meeting(place, apexes[last]);
      while (from <= starts[last]) from = meeting(place, apexes[--last]);
      apexes[++last] = place;
      starts[last] = from;
      starts[last + 1] = Infinity;
    }
    for (let place = 0, number = 0; place < length; place++) {
      while (starts[number + 1] < place) number += 1;
      squares[first + place * step] = (place - apexes[number]) ** 2 + line[apexes[number]];
    }
  };
  for (let x = 0; x < width; x++) pass(height, x, width);
  for (let y = 0; y < height; y++) pass(width, y * width, 1);
  return picture(width, height, squares.map(Math.sqrt));
}

// PIL.Image.resize with bicubic interpolation, for pictures of bytes that keep their proportions, in its integer
// arithmetic. Pillow 13 begins with the columns if the picture is more than twice as high as wide.
export function resized(source, width, height) {
  const rows = (image) => (image.width === width ? image : resampledRows(image, width));
  const columns = (image) => (image.height === height ? image : transposed(resampledRows(transposed(image), height)));
  return source.height > 2 * source.width ? rows(columns(source)) : columns(rows(source));
}

const PRECISION = 2 ** 22;

function resampledRows({ width, height, data }, newWidth) {
  const scale = width / newWidth, filterScale = Math.max(1, scale), reach = 2 * filterScale;
  const result = picture(newWidth, height, new Uint8Array(newWidth * height));
  for (let x = 0; x < newWidth; x++) {
    const centre = (x + 0.5) * scale, first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(width, Math.trunc(centre + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, i) => cubic((i + first - centre + 0.5) / filterScale));
    const sum = weights.reduce((a, b) => a + b, 0);
    const whole = weights.map((weight) => Math.trunc((weight / sum) * PRECISION + (weight < 0 ? -0.5 : 0.5)));
    for (let y = 0; y < height; y++) {
      let total = PRECISION / 2;
      for (let place = first; place < last; place++) total += data[y * width + place] * whole[place - first];
      result.data[y * newWidth + x] = Math.min(255, Math.max(0, Math.floor(total / PRECISION)));
    }
  }
  return result;
}

function cubic(distance) {
  const x = Math.abs(distance), a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function transposed({ width, height, data }) {
  const result = picture(height, width, new data.constructor(data.length));
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) result.data[x * height + y] = data[y * width + x];
  return result;
}
