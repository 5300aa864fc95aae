// A study or a session that is watched: nothing here changes anything.
import { Chart } from "/static/chart.js";
import { duration, el, look, number, svg, swatch, table } from "/static/elements.js";
import { $, follow } from "/static/shell.js";
import { parallel } from "/pages/parallel.js";

const parts = {}; // what is known, by name
const places = {}; // section and charts of a part
let lit = null; // the method that stands out

function light(label) {
  lit = label;
  for (const node of document.querySelectorAll("[data-label]")) {
    node.classList.toggle("lit", node.dataset.label === label);
    if (node.namespaceURI.endsWith("svg")) node.classList.toggle("faded", label !== null && node.dataset.label !== label);
  }
  for (const place of Object.values(places)) place.curves?.light(label);
}

// A row that stands out in all pictures while it is pointed at, tapped or focused.
function row(label, cells) {
  const node = el("tr", { tabindex: 0, onmouseenter: () => light(label), onmouseleave: () => light(null), onfocus: () => light(label), onblur: () => light(null) },
    cells.map((cell) => el("td", {}, cell)));
  node.dataset.label = node.dataset.text = label;
  return node;
}

function filter() {
  const text = $("filter").value.toLowerCase();
  for (const node of document.querySelectorAll("[data-text]")) node.hidden = !node.dataset.text.toLowerCase().includes(text);
}

// The section of a part, made once.
function section(name, title) {
  if (!places[name]) {
    const body = el("div");
    places[name] = { body };
    $("main").append(el("section", { id: name.replace(" ", "-") }, el("h2", {}, title), body));
  }
  return places[name];
}

const runLink = (task, label, run, text) => el("a", { href: `#run/${[task, label, run].map(encodeURIComponent).join("/")}` }, text);

// What the pictures of a task show of the returns: a method that is much worse than the start leaves them, as in the report.
function frame(task) {
  const values = task.methods.flatMap((m) => [...(m.curve[1] ?? []), ...m.finals.map(([, v]) => v)]).filter((v) => v !== null);
  if (!values.length) return null;
  const start = task.start ?? values[0], high = Math.max(...values, start), low = Math.min(...values, start);
  const floor = high > start ? Math.max(low, start - 0.5 * (high - start)) : low, margin = 0.06 * (high - floor) || 0.05 * Math.abs(high) || 1;
  return [floor - margin, high + margin];
}

function strip(task) {
  const methods = [...task.methods].filter((m) => m.done || m.running.length), height = 20;
  const shown = frame(task);
  if (!shown) return el("p", { class: "note" }, "No run has finished yet.");
  const [low, high] = shown, x = (v) => 150 + 330 * Math.min(1, Math.max(0, ((v ?? low) - low) / (high - low)));
  const rows = methods.map((m, i) => {
    const n = parts.head.methods.indexOf(m.label), colour = look(n).colour, y = height * i + 12, [iqm, from, to] = m.final;
    const group = svg("g", {}, svg("text", { x: 140, y: y + 4, "text-anchor": "end" }, m.label.length > 20 ? `${m.label.slice(0, 19)}…` : m.label),
      m.finals.map(([run, v]) => svg("a", { href: `#run/${[task.name, m.label, run].map(encodeURIComponent).join("/")}` }, svg("circle", { cx: x(v), cy: y + 4, r: 2.2, fill: colour, "fill-opacity": 0.6 }, svg("title", {}, `${m.label}, run ${run}: ${number(v)}`)))),
      m.running.map(([, , v]) => v === null ? null : svg("circle", { cx: x(v), cy: y + 4, r: 2.2, fill: "none", stroke: colour })),
      from === null ? null : svg("path", { d: `M${x(from)} ${y - 2}H${x(to)}`, stroke: colour, "stroke-width": 2 }),
      iqm === null ? null : svg("path", { d: `M${x(iqm)} ${y - 6}l4 4l-4 4l-4 -4z`, fill: colour }));
    group.dataset.label = m.label;
    return group;
  });
  const bottom = height * methods.length + 8;
  const ends = svg("g", {}, svg("text", { x: 150, y: bottom + 10 }, number(low)), svg("text", { x: 480, y: bottom + 10, "text-anchor": "end" }, number(high)));
  return el("div", { class: "paper" }, svg("svg", { viewBox: `0 0 490 ${bottom + 14}`, role: "img", "aria-label": "returns of all runs" }, rows, ends));
}

function showTask(name, task) {
  const place = section(name, `${task.name}, ${task.budget.toLocaleString("en")} ${task.unit}`);
  if (!place.curves) {
    place.curves = new Chart("Return of the recommendation: interquartile mean over the finished runs, and its 95 % interval", { x: task.unit, height: 320 });
    place.strip = el("div");
    place.rows = el("div");
    place.body.append(el("div", { class: "grid" }, place.curves.figure, el("figure", {}, place.strip, el("figcaption", {}, "Dots: final returns of runs, each a link; circles: latest generation of a running one; diamond and line: IQM, 95 % interval"))), place.rows);
  }
  const shown = task.methods.filter((m) => m.curve.length);
  const x = [...new Set(shown.flatMap((m) => m.curve[0]))].sort((a, b) => a - b);
  const on = (grid, values) => { const known = new Map(grid.map((g, i) => [g, values[i]])); return x.map((g) => known.get(g) ?? null); };
  const lines = shown.map((m) => {
    const { colour, dashes } = look(parts.head.methods.indexOf(m.label)), [grid, mean, low, high] = m.curve;
    return { label: m.label, colour, dashes, y: on(grid, mean), low: on(grid, low), high: on(grid, high) };
  });
  if (x.length) place.curves.draw(x, lines, frame(task));
  place.strip.replaceChildren(strip(task));
  const decided = task.decided ? ["better than", "worse than", "undecided"] : [];
  const best = [...task.methods].sort((a, b) => (b.final[0] ?? -Infinity) - (a.final[0] ?? -Infinity));
  place.rows.replaceChildren(table(["method", "runs", "done", "final return (IQM)", "95 % interval", "running", "failed", ...decided], best.map((m) => row(m.label, [
    [swatch(parts.head.methods.indexOf(m.label)), m.label], `${m.done}/${m.total}`, el("progress", { max: m.total, value: m.part, "aria-label": `${m.label}: ${Math.round(100 * m.part / m.total)} %` }),
    number(m.final[0]), m.final[1] === null ? "–" : `${number(m.final[1])} … ${number(m.final[2])}`,
    m.running.slice(0, 4).map(([run, , value], i) => [i ? ", " : "", runLink(task.name, m.label, run, `${run}: ${number(value)}`)]), m.failed || "", ...(task.decided?.[m.label] ?? [])]))));
}

function showFailures(name, failures) {
  if (!failures.length && !places[name]) return;
  const rows = failures.map((f) => {
    const where = f.method ? [f.method, ` on ${f.task}, `, runLink(f.task, f.method, f.run, `run ${f.run}`)] : `generation ${f.generation + 1}, candidate ${f.candidate + 1}`;
    const node = el("tr", {}, el("td", {}, where), el("td", {}, f.reason, f.command ? [el("br"), el("code", {}, f.command)] : f.parameters ? ` (${words(f.parameters)})` : ""));
    node.dataset.text = `${f.method ?? ""} ${f.task ?? ""} ${f.reason}`;
    return node;
  });
  section(name, "Failures").body.replaceChildren(table(["where", "reason, and the command that shows it again once the study has written its results"], rows, { class: "words" }));
}

const words = (values) => Object.entries(values).map(([name, value]) => `${name} ${typeof value === "number" && !Number.isInteger(value) ? number(value) : value}`).join(", ");

function showCandidates(name, found) {
  const place = section(name, "Candidates"), { rollouts, value } = found.columns, sorted = (by) => [...by.keys()].filter((i) => by[i] !== null).sort((i, j) => by[i] - by[j]);
  if (!place.values) {
    place.values = new Chart("Value of every candidate, and the best so far", { x: "rollouts", height: 320 });
    place.grid = el("div", { class: "grid" });
    place.note = el("p", { class: "note" });
    place.scatter = {};
    place.lines = el("div", { class: "paper" });
    place.figure = el("figure", {}, place.lines, el("figcaption", {}, "Parameters and value of every candidate; dark: the best tenth, orange: the best"));
    place.body.append(place.values.figure, place.note, place.figure, place.grid);
  }
  const lines = parallel(found.columns, found.names, parts.head.goal === "minimise" ? -1 : 1);
  place.figure.hidden = !lines;
  place.lines.replaceChildren(...lines ? [lines] : []);
  place.note.textContent = found.left_out ? `${found.left_out} candidates are left out of the pictures; the table has all.` : "";
  if (rollouts.length) {
    const best = new Map(found.best[0].map((x, i) => [x, found.best[1][i]]));
    let latest = null;
    place.values.draw(rollouts, [{ label: "candidates", colour: "#56B4E9", points: 4, y: value },
      { label: "best so far", colour: "#D55E00", y: rollouts.map((x) => (latest = best.get(x) ?? latest)), steps: true }]);
  }
  for (const parameter of found.names) {
    const column = found.columns[parameter];
    if (!column.some((x) => typeof x === "number")) continue;
    if (!place.scatter[parameter]) {
      place.scatter[parameter] = new Chart(`Value against ${parameter}; dark: the latest quarter`, { x: parameter, height: 200 });
      place.scatter[parameter].figure.dataset.text = parameter;
      place.grid.append(place.scatter[parameter].figure);
    }
    const order = sorted(column), recent = 0.75 * column.length;
    place.scatter[parameter].draw(order.map((i) => column[i]), [
      { label: "earlier", colour: "#56B4E9", points: 3, y: order.map((i) => i < recent ? value[i] : null) },
      { label: "latest", colour: "#0072B2", points: 4, y: order.map((i) => i >= recent ? value[i] : null) }]);
  }
}

function showBouts(name, bouts) {
  const place = section(name, "Bouts");
  if (!place.rates) {
    place.rates = new Chart(`Bouts that count: ${bouts.objective}, with its standard error`, { x: "bout" });
    place.rows = el("div");
    place.body.append(place.rates.figure, place.rows);
  }
  const on = (f) => bouts.numbers.map((_, i) => bouts.counts[i] && bouts.rates[i] !== null ? f(bouts.rates[i], bouts.errors[i] ?? 0) : null);
  if (bouts.numbers.length) place.rates.draw(bouts.numbers, [{ label: "rate", colour: "#0072B2", points: 6, y: on((r) => r), low: on((r, e) => r - e), high: on((r, e) => r + e) }]);
  place.rows.replaceChildren(table(bouts.columns, bouts.rows.map((cells) => row(cells.join(" "), cells))));
}

function showActions(name, actions) {
  section(name, "What the operator did").body.replaceChildren(table(["UTC", "what", "words"], actions, { class: "words" }));
}

function showHead(name, head) {
  $("title").textContent = document.title = { compare: () => `Comparison on ${head.tasks.join(", ")}`, tune: () => `Tuning of ${head.function || "…"}`, session: () => `Session of participant ${head.participant ?? "…"}` }[head.kind]();
  const state = head.over ? "finished" : head.writer ? `running: ${head.writer}` : "not running; the same command continues it";
  const done = { compare: () => `${head.tuning?.[1] ? `tuning ${head.tuning[0]}/${head.tuning[1]}, ` : ""}${head.done}/${head.total} runs, ${head.rollouts?.toLocaleString("en")} rollouts${head.writer && head.left !== null ? `, about ${duration(head.left)} left` : ""}`,
    tune: () => `${head.candidates ?? 0} candidates, ${head.rollouts ?? 0} rollouts of the search by ${head.method}${head.after ? `, ${head.after} after it` : ""}`,
    session: () => head.over ? "all bouts" : head.next ? `next: ${head.next}` : "" }[head.kind]();
  $("progress").textContent = `${done}; ${state}`;
  $("tables").replaceChildren(...(head.tables ?? []).flatMap((each) => [el("a", { href: `/table/${each}.csv${location.search}`, download: `${each}.csv` }, `${each}.csv`), " "]),
    ...(head.report ? ["the report: ", el("code", {}, head.report)] : []));
  const lines = head.kind === "session" ? [head.law, ...(head.findings ?? []), ...(head.plan ?? [])] : head.best ? [`Best so far: ${words(head.best)}. It is the best of many noisy values, not a claim.`] : [];
  const p = lines.filter(Boolean).map((line) => el("p", {}, line));
  if (p.length) section("found", head.kind === "session" ? "Law" : "Best so far").body.replaceChildren(...p);
  $("made").replaceChildren(el("h2", {}, "Made with"), ...(head.commands ?? []).map((line) => el("pre", {}, line)), el("ul", {}, (head.versions ?? []).map((line) => el("li", { class: "note" }, line))),
    el("p", { class: "note" }, head.kind === "compare" ? head.settle ? "Differences are those that sequential testing has decided; it allows for looking after every group." : "No test is made while the study runs: looking again and again finds differences that are none. The report has the tests." : ""));
  $("trouble").hidden = !head.trouble;
  $("trouble").textContent = head.trouble ?? "";
}

const SHOW = { head: showHead, failures: showFailures, candidates: showCandidates, bouts: showBouts, actions: showActions };

async function showRun() {
  const [kind, ...key] = location.hash.slice(1).split("/").map(decodeURIComponent);
  $("run")?.remove();
  if (kind !== "run" || key.length !== 3) return;
  const query = new URLSearchParams({ ...Object.fromEntries(new URLSearchParams(location.search)), task: key[0], method: key[1], run: key[2] });
  const answer = await fetch(`/run?${query}`).catch(() => null);
  if (!answer?.ok) return;
  const found = await answer.json(), chart = new Chart("Returns of the search, by generation; they are noisy", { x: "rollouts" }), colours = ["#0072B2", "#D55E00"];
  $("main").prepend(el("section", { id: "run" }, el("h2", {}, found.title, " ", el("a", { href: "#" }, "close")), chart.figure,
    table(Object.keys(found.facts), Object.keys(found.facts).length ? [Object.values(found.facts).map((x) => typeof x === "number" ? number(x) : x)] : []),
    found.command ? el("pre", {}, found.command) : null, found.failures.map((line) => el("p", { class: "note" }, line))));
  if (found.rollouts.length) chart.draw(found.rollouts, Object.entries(found.series).map(([label, y], i) => ({ label, y, colour: colours[i] })));
  $("run").scrollIntoView();
}

function hear(message) {
  const news = Object.entries(message.parts ?? {});
  for (const [name, part] of news) {
    parts[name] = part;
    (SHOW[name] ?? showTask)(name, part);
  }
  if (news.every(([name]) => name === "head")) return; // the rest is as it was
  filter();
  if (lit !== null) light(lit);
}

follow(hear, (connected, since) => {
  $("link").className = `state ${connected ? "good" : "bad"}`;
  $("link").textContent = connected ? "live" : `NOT CONNECTED since ${since.toLocaleTimeString()}`;
});
$("filter").addEventListener("input", filter);
addEventListener("hashchange", showRun);
showRun();
