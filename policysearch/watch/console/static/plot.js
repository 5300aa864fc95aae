// Small pictures as SVG: lines, a band of ± error, and dots. Colours are in the style sheet.

import { svg as shape } from "/static/elements.js";

const WIDE = 360, HIGH = 150, EDGE = 34;

/** Draw series of `x`, `y` and perhaps `error`; what is null is left out. */
export function plot(svg, series) {
  const drawn = series.map(({ x = [], y = [], error = [], kind }) => ({
    kind, points: x.map((at, i) => [at, y[i], error[i] ?? 0]).filter(([, value]) => Number.isFinite(value)),
  })).filter(({ points }) => points.length);
  const text = JSON.stringify(drawn);
  if (svg.dataset.drawn === text) return;
  svg.dataset.drawn = text;
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.replaceChildren();
  if (!drawn.length) return;
  const all = drawn.flatMap(({ points }) => points), highest = Math.max(...all.map(([, y]) => y));
  const lowest = Math.min(0, ...all.map(([, y]) => y)), last = Math.max(...all.map(([x]) => x)) || 1;
  const x = (value) => EDGE + (WIDE - EDGE - 6) * value / last;
  const y = (value) => HIGH - 18 - (HIGH - 26) * (value - lowest) / (highest - lowest || 1);
  for (const value of [lowest, (lowest + highest) / 2, highest]) {
    svg.append(shape("line", { x1: EDGE, x2: WIDE, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(shape("text", { x: EDGE - 4, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1)));
  }
  for (const value of [0, last / 2, last]) {
    svg.append(shape("text", { x: x(value), y: HIGH - 3, "text-anchor": value === last ? "end" : "middle" }, value.toFixed(0)));
  }
  for (const { kind, points } of drawn) {
    const path = (offset) => points.map(([at, value, error]) => `${x(at).toFixed(1)},${y(value + offset * error).toFixed(1)}`);
    if (kind === "dots") {
      for (const [at, value] of points) svg.append(shape("circle", { cx: x(at), cy: y(value), r: 2, class: kind }));
      continue;
    }
    if (points.some(([, , error]) => error)) {
      svg.append(shape("polygon", { points: [...path(1), ...path(-1).reverse()].join(" "), class: `band ${kind}` }));
    }
    svg.append(shape("polyline", { points: path(0).join(" "), class: `curve ${kind}` }));
  }
}
