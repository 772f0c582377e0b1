// Networks in ONNX files, computed by ONNX Runtime in this browser.

import { OnnxFile, WrongFile } from "./onnx_file.js";

const SIDE = 28;
const EXPECTED = "Expected a network from 28 x 28 pixels to classes, such as a file of 'mnist export'";
// A module that uses an instruction of WebAssembly SIMD: v128.const, i8x16.popcnt.
const SIMD_MODULE = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253,
  15, 253, 98, 11);

let runtime;

// ONNX Runtime, loaded once. Throws an Error with a line for the visitor if this browser cannot run it.
function loadRuntime() {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD_MODULE)) {
    throw new Error("This browser cannot compute networks: it lacks WebAssembly SIMD. "
      + "Expected Chrome or Edge 91, Firefox 89, Safari 16.4 or a newer one");
  }
  runtime ??= import("./runtime/ort.wasm.bundle.min.mjs").then((ort) => {
    ort.env.wasm.numThreads = 1; // threads need headers that file servers do not send
    ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
    ort.env.logLevel = "error";
    return ort;
  });
  return runtime;
}

export class Network {
  // From the content of an ONNX file. Throws WrongFile for a file that is not a network of digits.
  static async of(bytes, name) {
    const ort = await loadRuntime(), file = new OnnxFile(bytes, name);
    const layers = file.layers, added = layers.map((layer) => layer.values).filter((values) => values !== "logits");
    const options = { executionProviders: ["wasm"], logSeverityLevel: 4 };
    let session;
    try {
      session = await ort.InferenceSession.create(file.withOutputs(added), options);
    } catch (error) {
      throw new WrongFile(`${name}: ONNX Runtime cannot compute this network: ${String(error.message ?? error).slice(0, 200)}`);
    }
    const network = new Network(ort, file, session, layers);
    const isFitting = session.inputNames.join() === "pixels" && session.outputNames.includes("logits");
    const logits = isFitting && await network.logits(new Float32Array(SIDE * SIDE)).catch(() => null);
    if (!logits || logits.length < 2) throw new WrongFile(`${name} does not read digits. ${EXPECTED}`);
    network.classes = file.classes.length === logits.length ? file.classes : Array.from(logits, (_, label) => String(label));
    return network;
  }

  // The network at an address of this site.
  static async at(url, name) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${name} could not be loaded: ${response.status} ${response.statusText}`);
    return Network.of(new Uint8Array(await response.arrayBuffer()), name);
  }

  constructor(ort, file, session, layers) {
    Object.assign(this, { ort, file, session, layers });
    this.queue = Promise.resolve(); // a session computes one image after the other
  }

  get metadata() {
    return this.file.metadata;
  }

  // The logits of 28 x 28 pixels from 0 to 1.
  async logits(pixels) {
    return (await this.#run(pixels, ["logits"])).logits.data;
  }

  // The logits, and the values of each layer as { layer, sides, values }.
  async activations(pixels) {
    const results = await this.#run(pixels, ["logits", ...this.layers.map((layer) => layer.values)]);
    const layers = this.layers.map((layer) => {
      const { dims, data } = results[layer.values];
      return { layer, sides: dims.slice(1), values: data };
    });
    return { logits: results.logits.data, layers };
  }

  // What the last layer gets: the network's description of an image.
  async embedding(pixels) {
    const name = this.file.nodes.find((node) => node.outputs.includes("logits"))?.inputs[0];
    const layer = this.layers.findLast((each) => each.values === name);
    return layer ? (await this.#run(pixels, [name]))[name].data : null;
  }

  #run(pixels, outputs) {
    const input = () => new this.ort.Tensor("float32", Float32Array.from(pixels), [1, 1, SIDE, SIDE]);
    const result = this.queue.then(() => this.session.run({ pixels: input() }, [...new Set(outputs)]));
    this.queue = result.catch(() => null);
    return result;
  }
}

export function softmax(logits) {
  const largest = Math.max(...logits), powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
