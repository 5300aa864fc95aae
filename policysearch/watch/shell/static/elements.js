// What pages share: elements, whose text is text and never markup, colours, numbers in words.

// Okabe & Ito's colours and the dashes of the report, by the number of the method.
export const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
export const DASHES = [[], [4, 1.5], [1, 1]];
export const look = (n) => ({ colour: COLOURS[n % 7], dashes: DASHES[Math.floor(n / 7) % 3] });

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return node;
}

// An element with attributes and children; a string is text. Attributes that begin with "on" are listeners.
export const el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

export function swatch(n) {
  const { colour, dashes } = look(n);
  const line = svg("path", { d: "M1 5H25", stroke: colour, "stroke-width": 3, "stroke-dasharray": dashes.map((x) => 3 * x).join(" ") });
  return svg("svg", { class: "swatch", viewBox: "0 0 26 10", "aria-hidden": "true" }, line);
}

// Three to four digits, as in the report; what is no number is a dash.
export function number(x) {
  if (typeof x !== "number" || !Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (x !== 0 && (size < 1e-3 || size >= 1e5)) return x.toPrecision(3).replace("-", "−");
  const digits = size >= 1000 ? 0 : Math.min(4, Math.max(0, 3 - Math.floor(Math.log10(size || 1))));
  return x.toFixed(digits).replace("-", "−");
}

export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "?";
  for (const [limit, unit, size] of [[90, "s", 1], [5400, "min", 60], [129600, "h", 3600]])
    if (seconds < limit) return `${(seconds / size).toFixed(unit === "h" ? 1 : 0)} ${unit}`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

export const table = (head, rows, attributes) =>
  el("div", { class: "scroll" }, el("table", attributes,
    el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, cell)))),
    el("tbody", {}, rows.map((row) => row instanceof Node ? row : el("tr", {}, row.map((cell) => el("td", {}, cell)))))));
