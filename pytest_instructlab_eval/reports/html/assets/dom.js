// Elements made from text alone: nothing of a stranger's is ever read as HTML.

function make(tag, properties, ...children) {
  const svg = tag === "svg" || tag === "rect";
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "on") for (const [kind, call] of Object.entries(value)) element.addEventListener(kind, call);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(9)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
  return element;
}

const byId = (name) => document.getElementById(name);

const numberText = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(4))));

const signed = (value) => (value > 0 ? "+" : "") + numberText(value);

function folded(title, ...children) {
  return make("details", {}, make("summary", {}, title), ...children);
}

const SHOWN = 6000; // characters of a text before the rest is asked for: a megabyte takes long to lay out

// A stranger's text; `parts` are its pieces with marks for differences, where it was compared.
function said(text, parts) {
  const pieces = parts || [text];
  if (text.length <= SHOWN) return make("div", { class: "said", dir: "auto" }, pieces);
  const whole = make("div", { class: "said", dir: "auto" }, text.slice(0, SHOWN) + "…");
  const more = make("button", { type: "button", on: { click: () => {
    whole.replaceChildren(...pieces);
    more.remove();
  } } }, `Show all ${text.length.toLocaleString("en")} characters`);
  return [whole, more];
}
