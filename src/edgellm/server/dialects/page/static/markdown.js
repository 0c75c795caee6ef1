// Markdown as DOM nodes. Text becomes text nodes and nothing else: no HTML of a model is ever parsed, no image is
// fetched, and links go to http, https and mailto alone.

const FENCE = /^ {0,3}(```+|~~~+)\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}>\s?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const SAFE_LINK = /^(https?:\/\/|mailto:)/i;
const DEEPEST = 12; // levels of quotes and lists: what lies deeper is shown as text

// The source of each block, so that a growing text need only have its last block made anew.
export function splitBlocks(source) {
  const blocks = [];
  let lines = [];
  let fence = null;
  const close = () => {
    if (lines.length) blocks.push(lines.join("\n"));
    lines = [];
  };
  for (const line of source.split("\n")) {
    const mark = FENCE.exec(line);
    if (fence !== null) {
      lines.push(line);
      if (mark && mark[1].startsWith(fence) && !mark[2]) {
        fence = null;
        close();
      }
    } else if (mark) {
      close();
      fence = mark[1];
      lines.push(line);
    } else if (!line.trim()) {
      const isList = lines.length && ITEM.test(lines[0]);
      if (isList) lines.push(line); // a list may go on after an empty line
      else close();
    } else if (lines.length && !lines.at(-1).trim() && !ITEM.test(line) && !/^\s{2,}/.test(line)) {
      close();
      lines.push(line);
    } else if (HEADING.test(line)) {
      close();
      lines.push(line);
      close();
    } else {
      lines.push(line);
    }
  }
  close();
  return blocks.map((block) => block.trimEnd());
}

export function renderBlock(source, depth = 0) {
  const lines = source.split("\n");
  const fence = FENCE.exec(lines[0]);
  if (fence) return codeBlock(lines, fence);
  if (depth >= DEEPEST) return element("p", [document.createTextNode(source)]);
  const heading = HEADING.exec(lines[0]);
  if (heading && lines.length === 1) return element(`h${heading[1].length}`, inline(heading[2]));
  if (RULE.test(source)) return element("hr");
  if (QUOTE.test(lines[0])) {
    const inner = lines.map((line) => line.replace(QUOTE, "")).join("\n");
    return element("blockquote", splitBlocks(inner).map((block) => renderBlock(block, depth + 1)));
  }
  if (ITEM.test(lines[0])) return list(lines, depth);
  if (lines.length > 1 && lines[0].includes("|") && DIVIDER.test(lines[1])) return table(lines);
  const item = lines.findIndex((line) => ITEM.test(line)); // a list right after a line of text
  if (item > 0) {
    const parts = [lines.slice(0, item), lines.slice(item)].map((part) => part.join("\n"));
    return element("div", parts.map((part) => renderBlock(part, depth + 1)));
  }
  return element("p", inline(source));
}

function codeBlock(lines, fence) {
  const closed = lines.length > 1 && lines.at(-1).trim().startsWith(fence[1]);
  const text = lines.slice(1, closed ? -1 : undefined).join("\n");
  const code = element("code", [document.createTextNode(text)]);
  if (fence[2]) code.dataset.language = fence[2];
  const copy = element("button", [document.createTextNode("Copy")]);
  copy.type = "button";
  copy.className = "copy";
  return element("pre", [code, copy]);
}

function list(lines, depth) {
  const base = indentOf(ITEM.exec(lines[0])[1]);
  const ordered = /\d/.test(ITEM.exec(lines[0])[2]);
  const node = element(ordered ? "ol" : "ul");
  if (ordered) node.start = parseInt(ITEM.exec(lines[0])[2], 10);
  let item = null;
  for (const line of lines) {
    const match = ITEM.exec(line);
    if (match && (item === null || indentOf(match[1]) <= base + 1)) {
      item = [match[3]];
      node.append(item_(item, depth, node));
    } else if (item !== null) {
      item.push(line.replace(/^ {1,4}|^\t/, ""));
    }
  }
  for (const each of node.children) each.finish();
  return node;
}

function item_(lines, depth) {
  const node = element("li");
  node.finish = () => {
    const [first, ...rest] = lines;
    node.append(...inline(first));
    node.append(...splitBlocks(rest.join("\n")).map((block) => renderBlock(block, depth + 1)));
  };
  return node;
}

function indentOf(space) {
  return space.replace(/\t/g, "    ").length;
}

function table(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const row = (line, kind) => element("tr", cells(line).map((cell) => element(kind, inline(cell))));
  const head = element("thead", [row(lines[0], "th")]);
  const body = element("tbody", lines.slice(2).map((line) => row(line, "td")));
  const box = element("div", [element("table", [head, body])]);
  box.className = "table";
  return box;
}

// Spans inside a line, the first that matches at each place: code, strong, emphasis, struck, links, bare addresses.
const SPANS = [
  [/^(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/, (m) => element("code", [document.createTextNode(m[2].trim())])],
  [/^\*\*\*(?=[^\s*])([\s\S]*?[^\s*])\*\*\*/, (m, deep) => element("strong", [element("em", inline(m[1], deep))])],
  [/^\*\*(?=\S)([\s\S]*?\S)\*\*/, (m, deep) => element("strong", inline(m[1], deep))],
  [/^__(?=\S)([\s\S]*?\S)__(?!\w)/, (m, deep) => element("strong", inline(m[1], deep))],
  [/^\*(?=[^\s*])([\s\S]*?[^\s*])\*(?!\*)/, (m, deep) => element("em", inline(m[1], deep))],
  [/^_(?=[^\s_])([\s\S]*?[^\s_])_(?!\w)/, (m, deep) => element("em", inline(m[1], deep))],
  [/^~~(?=\S)([\s\S]*?\S)~~/, (m, deep) => element("del", inline(m[1], deep))],
  [/^!?\[([^\]\n]{0,500})\]\(\s*<?([^\s)<>]{1,2000})>?(?:\s+"[^"\n]*")?\s*\)/, (m) => link(m[1] || m[2], m[2], m[0])],
  [/^https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?]/, (m) => link(m[0], m[0], m[0])],
  [/^\\([\\`*_{}[\]()#+\-.!|~>])/, (m) => document.createTextNode(m[1])],
  [/^ {2,}\n|^\\\n/, () => element("br")],
];
const SPECIAL = /[`*_~[!h\\ ]/;
const LONGEST_SPAN = 4000; // characters: beyond, a mark without its partner costs quadratic time

function inline(source, depth = 0) {
  if (depth > DEEPEST) return [document.createTextNode(source)];
  const nodes = [];
  let text = "";
  const flush = () => {
    if (text) nodes.push(document.createTextNode(text));
    text = "";
  };
  for (let at = 0; at < source.length; ) {
    const [before, mark] = [source[at - 1] ?? "", source[at]];
    const isInside = "_h".includes(mark) ? /\w/.test(before) : mark === " " && before === " ";
    const found = SPECIAL.test(mark) && !isInside && span(source.slice(at, at + LONGEST_SPAN), depth);
    if (found) {
      flush();
      nodes.push(found.node);
      at += found.length;
    } else {
      text += source[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

function span(rest, depth) {
  for (const [pattern, make] of SPANS) {
    const match = pattern.exec(rest);
    if (match) return { node: make(match, depth + 1), length: match[0].length };
  }
  return null;
}

function link(label, address, source) {
  if (!SAFE_LINK.test(address)) return document.createTextNode(source);
  const node = element("a", [document.createTextNode(label)]);
  node.href = address;
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
  return node;
}

function element(name, children = []) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}
