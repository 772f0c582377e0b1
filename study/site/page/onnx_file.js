// The parts of an ONNX file that the page shows: its texts, its layers and their weights. ONNX files are messages of
// protocol buffers: fields with a number, each an integer, a piece of bytes or a number of 4 or 8 bytes.

export class WrongFile extends Error {}

const MAX_BYTES = 2 ** 27;
const FLOAT = 1; // the type of float32 tensors
const LAYER_NOTE = "pkg.torch.onnx.name_scopes"; // the layers of a node, outermost first, as a list in Python's form
const decoder = new TextDecoder();
const text = (bytes) => decoder.decode(bytes);

// Field number -> values: integers as numbers, pieces of bytes as Uint8Array.
function message(bytes) {
  const fields = new Map();
  let place = 0;
  const integer = () => {
    let value = 0, factor = 1;
    for (;;) {
      if (place >= bytes.length || factor > 2 ** 63) throw new WrongFile("damaged");
      const byte = bytes[place++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  while (place < bytes.length) {
    const key = integer(), kind = key % 8, number = Math.floor(key / 8);
    const length = kind === 2 ? integer() : { 1: 8, 5: 4 }[kind];
    if (kind !== 0 && (length === undefined || place + length > bytes.length)) throw new WrongFile("damaged");
    const value = kind === 0 ? integer() : bytes.subarray(place, (place += length));
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const all = (fields, number) => fields.get(number) ?? [];
const first = (fields, number) => all(fields, number)[0];
const textOf = (fields, number) => (first(fields, number) === undefined ? "" : text(first(fields, number)));

// The integers of a field, whether packed into one piece or not.
const integers = (fields, number) => all(fields, number).flatMap((value) => {
  if (typeof value === "number") return [value];
  const result = [];
  for (let place = 0, current = 0, factor = 1; place < value.length; place++) {
    current += (value[place] & 127) * factor;
    factor *= 128;
    if (value[place] < 128) [current, factor] = [0, (result.push(current), 1)];
  }
  return result;
});

const pairs = (fields, number) =>
  Object.fromEntries(all(fields, number).map(message).map((entry) => [textOf(entry, 1), textOf(entry, 2)]));

export class OnnxFile {
  // `name` is used in messages. Throws WrongFile for bytes that are not an ONNX file.
  constructor(bytes, name) {
    if (bytes.length > MAX_BYTES) throw new WrongFile(`${name} is larger than ${MAX_BYTES / 2 ** 20} MiB`);
    try {
      this.bytes = bytes;
      const model = message(bytes);
      const graph = message(first(model, 7));
      this.graphBytes = first(model, 7);
      this.metadata = pairs(model, 14);
      this.nodes = all(graph, 1).map(message).map((node) => ({
        inputs: all(node, 1).map(text),
        outputs: all(node, 2).map(text),
        kind: textOf(node, 4),
        layer: layerName(pairs(node, 9)[LAYER_NOTE]),
      }));
      this.weights = new Map(all(graph, 5).map(message).map((tensor) => [textOf(tensor, 8), tensor]));
      if (!this.nodes.length) throw new WrongFile("no layers");
    } catch {
      throw new WrongFile(`${name} is damaged, or not an ONNX file. Expected a file of 'mnist export'`);
    }
  }

  // The names of the classes, if the file has them.
  get classes() {
    try {
      const names = JSON.parse(this.metadata.classes);
      return Array.isArray(names) ? names.map(String) : [];
    } catch {
      return [];
    }
  }

  get numParameters() {
    return [...this.weights.values()].reduce((sum, tensor) => {
      const sides = integers(tensor, 1);
      return sides.length && first(tensor, 2) === FLOAT ? sum + sides.reduce((a, b) => a * b) : sum;
    }, 0);
  }

  // A weight as { sides, values }; null if it is not an array of float32.
  weight(name) {
    const tensor = this.weights.get(name), raw = tensor && first(tensor, 9);
    if (!raw || first(tensor, 2) !== FLOAT || raw.length % 4) return null;
    return { sides: integers(tensor, 1), values: new Float32Array(raw.slice().buffer) };
  }

  // The layers that the page shows: the last result of each step from one convolution, pooling or matrix product to the
  // next. Each has the name of its values, the node that begins it, and a title.
  get layers() {
    const BEGINNINGS = { Conv: "convolution", MaxPool: "max pooling", AveragePool: "average pooling",
      GlobalAveragePool: "global average", Gemm: "fully connected", MatMul: "fully connected" };
    const layers = [];
    for (const node of this.nodes) {
      if (node.kind in BEGINNINGS) {
        const sides = node.kind === "Conv" ? this.weight(node.inputs[1])?.sides : null;
        const size = sides ? ` ${sides.slice(2).join(" x ")}` : "";
        const weight = this.weights.has(node.inputs[1]) ? node.inputs[1] : "";
        layers.push({ node, name: weight.endsWith(".weight") ? shortName(weight.slice(0, -7)) : node.layer, title: `${BEGINNINGS[node.kind]}${size}`, values: node.outputs[0] });
      } else if (layers.length && node.inputs.includes(layers.at(-1).values) && !["Reshape", "Flatten"].includes(node.kind)) {
        layers.at(-1).values = node.outputs[0];
        if (node.kind === "Relu") layers.at(-1).title += ", ReLU";
      }
    }
    return layers;
  }

  // The file with these values as additional outputs of the network. Values of a graph are given by name alone; repeated
  // fields of a message may stand in several places, so they are appended to the graph.
  withOutputs(names) {
    const added = concatenated(names.map((name) => piece(12, concatenated([
      piece(1, new TextEncoder().encode(name)), piece(2, piece(1, Uint8Array.of(8, FLOAT))),
    ]))));
    const start = this.graphBytes.byteOffset - this.bytes.byteOffset, end = start + this.graphBytes.length;
    const before = this.bytes.subarray(0, start - varint(this.graphBytes.length).length - 1);
    return concatenated([before, piece(7, concatenated([this.graphBytes, added])), this.bytes.subarray(end)]);
  }
}

// "conv1" of "['', 'layers', 'layers.conv1', 'conv2d']".
function layerName(note) {
  const names = [...(note ?? "").matchAll(/'([^']*)'/g)].map((match) => match[1]);
  return names.length > 1 ? shortName(names.at(-2)) : "";
}

const shortName = (name) => name.replace(/^layers\./, "");

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value & 127) | 128);
  return Uint8Array.from([...bytes, value]);
}

const piece = (number, content) => concatenated([Uint8Array.of(number * 8 + 2), varint(content.length), content]);

function concatenated(parts) {
  const result = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let place = 0;
  for (const part of parts) {
    result.set(part, place);
    place += part.length;
  }
  return result;
}
