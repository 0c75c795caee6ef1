// The chat page: what is said, what is asked of the server, and the buttons.

import { applyTheme, loadSettings, openSettings, saveSettings } from "/page/settings.js";
import { ask, models } from "/page/stream.js";
import { AnswerTurn, copyText, userTurn } from "/page/turns.js";
import { contextIsFull, isTooLong, sent, shorten, showLeftOut, startOver, withoutPrefix } from "/page/window.js";

const MOST_TOKENS = 2048;
const at = (id) => document.getElementById(id);
const [chat, text, send, stop, picker, notice] = ["chat", "text", "send", "stop", "model", "notice"].map(at);

let settings = loadSettings();
let turns = []; // {role, content}
const shown = new Map(); // what is on the page for each of them
let asking = null; // an AbortController while an answer is made

applyTheme(settings.theme);
turns = recall();
for (const turn of turns) show(turn);
listModels();
text.focus();

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said || asking) return;
  text.value = "";
  fit();
  const turn = { role: "user", content: said };
  turns.push(turn);
  remember();
  show(turn);
  answer();
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("ask").requestSubmit();
});
text.addEventListener("input", fit);
stop.addEventListener("click", () => asking?.abort());
at("new").addEventListener("click", () => {
  asking?.abort();
  asking = null;
  busy(false);
  turns = [];
  remember();
  shown.clear();
  startOver();
  chat.replaceChildren();
  tell("");
  text.focus();
});
at("settings").addEventListener("click", () =>
  openSettings(at("options"), settings, (changed) => {
    settings = changed;
    saveSettings(settings);
    listModels();
  }),
);
picker.addEventListener("change", () => {
  settings.model = picker.value;
  saveSettings(settings);
});
chat.addEventListener("click", (event) => {
  if (event.target.matches("button.copy")) copyText(event.target, event.target.previousElementSibling.textContent);
});

let follows = true; // the newest line is in sight
chat.addEventListener("scroll", () => (follows = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 40));
chat.addEventListener("grown", () => follows && (chat.scrollTop = chat.scrollHeight));

async function listModels() {
  try {
    const names = await models(settings.key);
    picker.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(settings.model)) picker.value = settings.model;
    tell(names.length ? "" : "This server has no model yet: edgellm pull or edgellm pack gets one.");
    send.disabled = !names.length;
  } catch (error) {
    tell(error.message);
  }
}

async function answer() {
  const turn = new AnswerTurn();
  chat.append(turn.turn);
  chat.scrollTop = chat.scrollHeight;
  follows = true;
  tell("");
  const mine = (asking = new AbortController());
  busy(true);
  const begun = performance.now();
  let [first, usage, reason, problem] = [0, null, "", ""];
  try {
    for await (const event of askFitting(mine.signal)) {
      const delta = event.type === "content_block_delta" ? event.delta : {};
      if (delta.text || delta.thinking) first ||= performance.now();
      if (delta.text) turn.add(delta.text);
      if (delta.thinking) turn.think(delta.thinking);
      if (event.type === "message_delta") [usage, reason] = [event.usage, event.delta.stop_reason];
    }
  } catch (error) {
    if (error.name === "AbortError") reason = "stopped";
    else problem = isTooLong(error) ? tooLong(error) : error.message;
  }
  if (mine !== asking) return; // a new chat was begun
  asking = null;
  busy(false);
  if (!turn.text && !turn.thought && (problem || reason === "stopped")) {
    turn.turn.remove();
    takeBack();
    tell(problem);
    return;
  }
  if (reason === "model_context_window_exceeded") contextIsFull();
  const said = { role: "assistant", content: turn.text };
  shown.set(said, turn.turn);
  if (turn.text) turns.push(said);
  remember();
  turn.finish(facts(usage, reason, begun, first), [
    ["Copy", (button) => copyText(button, turn.text)],
    ["Again", () => again(turn, said)],
  ]);
  tell(problem);
}

// Ask with fewer messages until they fit.
async function* askFitting(signal) {
  for (;;) {
    const messages = sent(turns);
    showLeftOut(shown.get(messages[0]));
    try {
      yield* ask(request(messages), settings.key, signal);
      return;
    } catch (error) {
      if (!isTooLong(error) || !shorten(turns)) throw error;
    }
  }
}

function tooLong(error) {
  const counts = settings.system ? " The system prompt of the settings counts too." : "";
  return `This message alone is too long: ${withoutPrefix(error.message)}${counts}`;
}

// What was not answered goes back to where it was typed.
function takeBack() {
  const turn = turns.pop();
  shown.get(turn)?.remove();
  shown.delete(turn);
  if (!turns.length) startOver();
  remember();
  text.value = [turn.content, text.value].filter(Boolean).join("\n");
  fit();
  text.focus();
}

// Ask again for the last answer.
function again(turn, said) {
  if (asking) return;
  const place = turns.indexOf(said);
  if (place >= 0) turns.splice(place);
  while (turn.turn.nextSibling) turn.turn.nextSibling.remove();
  turn.turn.remove();
  if (turns.length) answer();
}

function request(messages) {
  const body = {
    model: picker.value,
    max_tokens: settings.max_tokens || MOST_TOKENS,
    messages,
    stream: true,
    thinking: { type: settings.thinking ? "adaptive" : "disabled" },
  };
  for (const name of ["system", "temperature", "top_p", "top_k"]) {
    if (settings[name] !== undefined) body[name] = settings[name];
  }
  return body;
}

function facts(usage, reason, begun, first) {
  const parts = [];
  if (usage && first) {
    const seconds = (performance.now() - first) / 1000;
    parts.push(`${usage.output_tokens} tokens`);
    if (seconds > 0 && usage.output_tokens > 1) parts.push(`${((usage.output_tokens - 1) / seconds).toFixed(1)} tokens/s`);
    parts.push(`first after ${((first - begun) / 1000).toFixed(1)} s`);
  }
  const ends = {
    stopped: "stopped",
    max_tokens: "cut at the limit of tokens",
    model_context_window_exceeded: "cut: the context is full",
  };
  if (ends[reason]) parts.push(ends[reason]);
  return parts.join(" · ");
}

function show(turn) {
  if (turn.role === "user") {
    const said = userTurn(turn.content);
    shown.set(turn, said);
    chat.append(said);
    return;
  }
  const answer = new AnswerTurn();
  shown.set(turn, answer.turn);
  chat.append(answer.turn);
  answer.add(turn.content);
  answer.finish("", [
    ["Copy", (button) => copyText(button, turn.content)],
    ["Again", () => again(answer, turn)],
  ]);
}

function busy(is) {
  send.hidden = is;
  stop.hidden = !is;
  chat.setAttribute("aria-busy", String(is));
}

function tell(message) {
  notice.textContent = message;
  notice.hidden = !message;
}

function fit() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

// The chat lives as long as its tab.
function remember() {
  try {
    sessionStorage.setItem("edgellm-chat", JSON.stringify(turns));
  } catch {
    // a browser may keep nothing
  }
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("edgellm-chat")) ?? [];
  } catch {
    return [];
  }
}
