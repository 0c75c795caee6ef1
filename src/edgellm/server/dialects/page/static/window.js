// Which messages the model is given, where they are more than its context holds.

const TOO_LONG = "prompt is too long: "; // how the server begins such an error
let first = 0; // the index of the first message that is sent
let isFull = false; // the last answer was cut: with the same messages the next one would be too
const line = document.createElement("p");
line.className = "left-out";
line.setAttribute("role", "note");

export const isTooLong = (error) => error.message.startsWith(TOO_LONG);
export const withoutPrefix = (message) => message.replace(TOO_LONG, "");

// What is sent of `turns`, of which the last one is the question.
export function sent(turns) {
  if (first >= turns.length) first = 0; // some were taken back
  if (isFull) shorten(turns);
  isFull = false;
  return turns.slice(first);
}

// Send half as many from now on, beginning with a question; false when the last one alone is left.
export function shorten(turns) {
  const half = first + Math.max(1, Math.floor((turns.length - first) / 2));
  const later = turns.findIndex((turn, index) => index >= half && turn.role === "user");
  if (later < 0) return false;
  first = later;
  return true;
}

export function contextIsFull() {
  isFull = true;
}

export function startOver() {
  [first, isFull] = [0, false];
  line.remove();
}

// Say above `element`, which shows the first message that was sent, how many are left out.
export function showLeftOut(element) {
  if (!first) return line.remove();
  const [messages, them] = first === 1 ? ["1 message", "it"] : [`${first} messages`, "them"];
  line.textContent = `The model has not read the ${messages} above: its context has no room for ${them}.`;
  element.before(line);
}
