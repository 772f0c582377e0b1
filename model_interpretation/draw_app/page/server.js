// What the page asks of its server. Each call gives what the server says, or throws an Error with its words.

async function asked(path, parameters = [], body = undefined) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`, { method: body ? "POST" : "GET", body });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof value.detail === "string" ? value.detail : "the server did not understand");
  return value;
}

const all = (name, values) => values.map((value) => [name, value]);

export const start = () => asked("api/start");

export const read = (picture, runs, without, extras, isReady) => {
  const parameters = [...all("run", runs), ...all("without", without), ...all("extra", extras), ["ready", isReady]];
  return asked("api/read", parameters, picture);
};

export const loadDigit = (run, split, kind) => asked("api/digit", { run, split, kind });

export const saveDrawing = (picture, label) => asked("api/drawings", { label }, picture);
