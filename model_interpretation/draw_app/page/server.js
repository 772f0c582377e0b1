// Requests to the server. Each returns the server's JSON, or throws an Error with the server's message. If the server
// is busy, the Error has `waitSeconds`, after which the request may be sent again.

async function request(path, parameters = [], body = undefined) {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`, { method: body ? "POST" : "GET", body });
  const value = await response.json().catch(() => ({}));
  if (response.ok) return value;
  const error = new Error(typeof value.detail === "string" ? value.detail : "the server refused the request");
  if (response.status === 503) error.waitSeconds = Number(response.headers.get("retry-after")) || 1;
  throw error;
}

const repeated = (name, values) => values.map((value) => [name, value]);

export const start = () => request("api/start");

export const predict = (picture, runs, skippedSteps, extras, isMnistForm) => {
  const lists = [...repeated("run", runs), ...repeated("skip", skippedSteps), ...repeated("extra", extras)];
  return request("api/predict", [...lists, ["mnist_form", isMnistForm]], picture);
};

export const sampleDigit = (run, split, kind) => request("api/digit", { run, split, kind });

export const saveDrawing = (picture, label) => request("api/drawings", { label }, picture);
