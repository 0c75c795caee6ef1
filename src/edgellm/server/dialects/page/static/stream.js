// POST /v1/messages and its events, one object after the other.

export class ServerError extends Error {}

const GONE = "The server does not answer. Start it again (edgellm serve) or look at the network, then send again.";
const CUT = "The connection to the server was lost. If it has ended, start it again (edgellm serve), then send again.";

export async function* ask(body, key, signal) {
  const headers = { "content-type": "application/json" };
  if (key) headers["x-api-key"] = key;
  const options = { method: "POST", headers, body: JSON.stringify(body), signal };
  const response = await reached(fetch("/v1/messages", options), GONE);
  if (!response.ok) throw new ServerError(await reason(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reached(reader.read(), CUT);
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (!data) continue;
      const event = JSON.parse(data.slice(6));
      if (event.type === "error") throw new ServerError(event.error.message);
      yield event;
    }
  }
}

export async function models(key) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const response = await reached(fetch("/v1/models", { headers }), GONE);
  if (!response.ok) throw new ServerError(await reason(response));
  return (await response.json()).data.map((model) => model.id);
}

// Browsers say that nobody is there in words of their own, each in others.
async function reached(promise, message) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(message, { cause: error });
  }
}

async function reason(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? error : error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}
