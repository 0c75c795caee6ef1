// POST /v1/messages and its events, one object after the other.

export class ServerError extends Error {}

export async function* ask(body, key, signal) {
  const headers = { "content-type": "application/json" };
  if (key) headers["x-api-key"] = key;
  const response = await fetch("/v1/messages", { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw new ServerError(await reason(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
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
  const response = await fetch("/v1/models", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (!response.ok) throw new ServerError(await reason(response));
  return (await response.json()).data.map((model) => model.id);
}

async function reason(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? error : error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}
