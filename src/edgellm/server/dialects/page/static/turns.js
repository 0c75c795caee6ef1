// What is on the screen for each turn. A growing answer is drawn at most once per frame, and of its blocks only those
// that have changed.

import { renderBlock, splitBlocks } from "/page/markdown.js";

export function userTurn(text) {
  const turn = node("section", "turn user");
  turn.append(node("div", "body", text));
  return turn;
}

export class AnswerTurn {
  constructor() {
    this.turn = node("section", "turn assistant");
    this.body = node("div", "body waiting");
    this.under = node("div", "under");
    this.turn.append(this.body);
    this.text = "";
    this.thought = "";
    this.blocks = [];
    this.frame = 0;
  }

  add(text) {
    this.text += text;
    this.draw();
  }

  think(text) {
    if (!this.thinking) {
      this.thinking = node("details", "thinking");
      this.thinking.append(node("summary", "", "Thinking"), node("div", "text"));
      this.turn.prepend(this.thinking);
    }
    this.thought += text;
    this.draw();
  }

  draw() {
    this.frame ||= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    this.frame = 0;
    if (this.thinking) this.thinking.lastChild.textContent = this.thought;
    const sources = splitBlocks(this.text);
    let same = 0;
    while (same < sources.length && sources[same] === this.blocks[same]) same += 1;
    while (this.body.childElementCount > same) this.body.lastElementChild.remove();
    this.body.append(...sources.slice(same).map((source) => renderBlock(source)));
    this.blocks = sources;
    if (this.text) this.body.classList.remove("waiting");
    this.turn.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  }

  finish(facts, actions) {
    cancelAnimationFrame(this.frame);
    this.drawNow();
    this.body.classList.remove("waiting");
    for (const [label, act] of actions) {
      const button = node("button", "", label);
      button.type = "button";
      button.addEventListener("click", () => act(button));
      this.under.append(button);
    }
    this.under.append(node("span", "facts", facts));
    this.turn.append(this.under);
  }
}

export async function copyText(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

function node(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
