// Requests to the server. Each returns the server's JSON, or throws an Error with the server's message.

async function request(path, parameters = [], body = undefined) {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`, { method: body ? "POST" : "GET", body });
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(typeof value.detail === "string" ? value.detail : "the server refused the request");
  return value;
}

const repeated = (name, values) => values.map((value) => [name, value]);

export const start = () => request("api/start");

export const predict = (picture, runs, skippedSteps, extras, isMnistForm) => {
  const lists = [...repeated("run", runs), ...repeated("skip", skippedSteps), ...repeated("extra", extras)];
  return request("api/predict", [...lists, ["mnist_form", isMnistForm]], picture);
};

export const sampleDigit = (run, split, kind) => request("api/digit", { run, split, kind });

export const saveDrawing = (picture, label) => request("api/drawings", { label }, picture);
