// A chart of uPlot, which a classic script has loaded.
import { el, number } from "/static/elements.js";

// Lines with bands, or points, in one chart that is kept: `draw(x, series)` with series of
// {label, colour, dashes, y, low, high, points, steps}; `range`, if given, is what the vertical axis shows. Its width is
// that of the figure.
export class Chart {
  constructor(caption, { height = 260, x = "", zoom = true } = {}) {
    this.box = el("div", { class: "paper", role: "img", "aria-label": caption });
    this.figure = el("figure", {}, this.box, el("figcaption", {}, caption));
    this.options = { height, x, zoom };
    this.plot = null;
    this.shape = "";
    new ResizeObserver(() => this.plot?.setSize({ width: this.width, height })).observe(this.box);
  }

  get width() {
    return Math.max(200, this.box.clientWidth - 10);
  }

  draw(x, series, range = null) {
    this.range = range;
    const rows = [x], drawn = [{ label: this.options.x }], bands = [];
    for (const each of series) {
      const line = { label: each.label, stroke: each.colour, width: each.points ? 0 : 1.6, dash: (each.dashes ?? []).map((d) => 4 * d), spanGaps: true,
        points: each.points ? { show: true, size: each.points, fill: each.colour, stroke: each.colour } : { show: false }, value: (_, v) => number(v) };
      if (each.points) line.paths = () => null;
      if (each.steps) line.paths = uPlot.paths.stepped({ align: 1 });
      rows.push(each.y), drawn.push(line);
      if (each.low) {
        const quiet = { stroke: "transparent", width: 0, points: { show: false } };
        rows.push(each.high, each.low), drawn.push({ ...quiet }, { ...quiet });
        bands.push({ series: [drawn.length - 2, drawn.length - 1], fill: `${each.colour}1c` });
      }
    }
    const shape = JSON.stringify(drawn.map((line) => [line.label, line.stroke, Boolean(line.paths)]));
    if (this.plot && shape === this.shape) return this.plot.setData(rows);
    this.plot?.destroy();
    this.shape = shape;
    const axis = { stroke: "#1a1a1a", grid: { stroke: "#eee" }, ticks: { stroke: "#ccc" }, font: "12px system-ui" };
    this.plot = new uPlot({ width: this.width, height: this.options.height, series: drawn, bands, legend: { show: false }, focus: { alpha: 0.12 },
      cursor: { drag: { x: this.options.zoom, y: false } }, scales: { x: { time: false }, y: { range: (_, low, high) => this.range ?? uPlot.rangeNum(low ?? 0, high ?? 1, 0.1, true) } },
      axes: [{ ...axis, label: this.options.x, labelSize: 18, size: 34, labelFont: axis.font }, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => Math.abs(tick) >= 1e5 ? tick.toExponential(1) : String(+tick.toPrecision(5))) }] }, rows, this.box);
  }

  // Let the series of a label stand out; none fades without a label.
  light(label) {
    if (!this.plot) return;
    const at = label === null ? null : this.plot.series.findIndex((line, i) => i && line.label === label);
    this.plot.setSeries(at === null || at > 0 ? at : null, { focus: true });
  }
}
