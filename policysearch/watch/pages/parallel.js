// Parallel coordinates: a vertical axis for every parameter and for the value, a line for every candidate.
import { number, svg } from "/static/elements.js";

const WIDE = 640, HIGH = 220, EDGE = 44, TOP = 14, BOTTOM = 44, MAX_LINES = 400;

/** The picture of some columns of candidates; `sign` is 1 if a higher value is better, else -1. Null for one parameter. */
export function parallel(columns, names, sign) {
  const shown = [...names.filter((name) => columns[name].some(Number.isFinite)), "value"];
  if (shown.length < 3) return null;
  const rows = [...columns.value.keys()].filter((i) => shown.every((name) => Number.isFinite(columns[name][i])));
  const better = [...rows].sort((i, j) => sign * (columns.value[j] - columns.value[i])), best = new Set(better.slice(0, Math.ceil(rows.length / 10)));
  const drawn = rows.slice(-MAX_LINES).filter((i) => !best.has(i)).concat([...best].slice(0, MAX_LINES).reverse());
  const x = (k) => EDGE + (WIDE - 2 * EDGE) * k / (shown.length - 1);
  const ends = shown.map((name) => rows.reduce(([low, high], i) => [Math.min(low, columns[name][i]), Math.max(high, columns[name][i])], [Infinity, -Infinity]));
  const y = (k, value) => HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * (ends[k][1] > ends[k][0] ? (value - ends[k][0]) / (ends[k][1] - ends[k][0]) : 0.5);
  const line = (i) => svg("path", { d: `M${shown.map((name, k) => `${x(k).toFixed(1)} ${y(k, columns[name][i]).toFixed(1)}`).join("L")}`, fill: "none",
    stroke: i === better[0] ? "#D55E00" : best.has(i) ? "#0072B2" : "#56B4E9", "stroke-width": i === better[0] ? 2 : 1, "stroke-opacity": i === better[0] ? 1 : best.has(i) ? 0.7 : 0.25 });
  const axis = (name, k) => svg("g", {}, svg("path", { d: `M${x(k)} ${TOP}V${HIGH - BOTTOM}`, stroke: "#1a1a1a" }),
    [[number(ends[k][1]), TOP - 3], [number(ends[k][0]), HIGH - BOTTOM + 13], [name.length > 12 ? `${name.slice(0, 11)}…` : name, HIGH - BOTTOM + 28]]
      .map(([text, at]) => svg("text", { x: x(k), y: at, "text-anchor": "middle" }, text)));
  return svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": "parallel coordinates of the candidates" }, drawn.map(line), shown.map(axis));
}
