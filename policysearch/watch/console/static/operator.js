// The operator's page. What is shown is text that the engine has sent; what is done is asked of the engine.

import { Chart } from "/static/chart.js";
import { el } from "/static/elements.js";
import { $, act, say } from "/static/shell.js";
import { allowSound, clock, count, left, minutes, session, shown } from "/console/common.js";

/** Actions that need words or numbers: what is on the button, and the fields. */
const ACTIONS = {
  void: ["Void the bout", "reason"],
  skip: ["Skip the bout", "reason"],
  note: ["Note", "text"],
  adverse: ["Adverse event", "text"],
  amend: ["Amend a bout", "bout", "rate", "reason"],
  exclude: ["Exclude a bout", "bout", "reason"],
  undo: ["Undo the last", "reason"],
  retest: ["Re-test next"],
  limit: ["Lower the limit", "torque", "reason"],
  correct: ["Correct the person", "field", "value", "reason"],
  finish: ["Finish the search", "reason"],
  end: ["End the session", "reason"],
  day: ["Another day"],
  unblind: ["Open the letters", "reason"],
  table: ["All bouts"],
  recover: ["Try the log again"],
};
const FIELDS = {
  reason: "Reason", text: "Words", bout: "Number of the bout", rate: "Rate (W/kg)", torque: "Highest torque (N·m/kg)",
  field: "participant, mass or standing_rate", value: "Value", path: "File in the folder of the session",
};
const NUMBERS = ["bout", "rate", "torque"];
const BLIND = ["unblind", "table"]; // not for a blind operator
/** What the page asks for in a phase: words, the field, its action, and the button. */
const ASKED = {
  confirm: ["It enters a new region. There is no torque until you confirm.", "", "confirm", "Confirm the new region"],
  start: ["The bout waits for its start.", "", "start", "Start"],
  rate: ["The bout was walked. Its rate is wanted.", "rate", "rate", "Write the rate down"],
  done: ["The time of this bout is kept elsewhere.", "", "done", "It is done"],
  stopped: ["There is no torque.", "reason", "arm", "Arm the guard"],
  day: ["The day is over.", "", "day", "Begin the next day"],
};

const curve = new Chart("Torque (N·m/kg) over the stride; dashed: the law before", { x: "% of the stride", height: 170, zoom: false });
const breaths = new Chart("Metabolic rate (W/kg) of each breath, and the estimate with its standard error", { x: "s", height: 170, zoom: false });
$("curve").append(curve.figure);
$("breaths").append(breaths.figure);

let lease = "", held = false, phase = "", bouts = 0, logged = 0, lawBefore = "", law = "", drawn = null;

session(draw, (lines) => add("said", lines.map(([, line]) => line)));

/** Add lines to a list, which keeps the last ones. */
function add(id, lines) {
  const list = $(id);
  for (const line of lines) list.append(el("li", {}, line));
  while (list.children.length > 200) list.firstChild.remove();
  if (lines.length) list.scrollTop = list.scrollHeight;
}

function draw({ state, picture, engine }) {
  $("engine").hidden = engine.status !== "gone";
  if (!state) return;
  if (state.control) held = Boolean(lease);
  else if (held) lease = "", held = false; // a state from before the lease takes nothing away
  const { bout, guard } = state, seconds = left(state);
  say("participant", `participant ${state.participant}`);
  say("holder", lease ? "you have control" : state.control ? `in control: ${state.control}` : "no one has control");
  say("control", lease ? "Give control back" : state.control ? "Take over" : "Take control");
  say("label", bout ? `Bout ${bout.number}: ${bout.label}, ${bout.minutes} min` : "The session is over");
  say("left", seconds === null ? "–:––" : minutes(seconds));
  say("line", state.line || (bout ? bout.done : ""));
  say("guard", state.failed ? `THE LOG CANNOT BE WRITTEN: ${state.halted}` : guardWords(guard));
  wait(state);
  if (bout && bout.number !== bouts) [bouts, lawBefore] = [bout.number, law];
  law = bout ? bout.law.join("\n") : "";
  say("law", law || "not shown");
  say("before", lawBefore && `before:\n${lawBefore}`);
  if (state.phase !== phase) {
    phase = state.phase;
    $("value").value = "";
  }
  ask(state);
  count(state);
  if (picture !== drawn) drawPicture(drawn = picture);
}

function drawPicture(picture) {
  curve.draw(picture.stride ?? [], [
    { label: "this law", colour: "#0072B2", y: picture.curve },
    { label: "the law before", colour: "#D55E00", dashes: [2, 1], y: picture.curve_before },
  ].filter(({ y }) => y));
  const rows = picture.breaths ?? [], column = (i) => rows.map((row) => row[i]);
  const end = (sign) => rows.map(([, , rate, error]) => rate === null ? null : rate + sign * error);
  $("breaths").hidden = !rows.length;
  breaths.draw(column(0), [
    { label: "breaths", colour: "#666666", points: 4, y: column(1) },
    { label: "estimate", colour: "#0072B2", y: column(2), low: end(-1), high: end(1) },
  ]);
  say("gases", [
    picture.rer && `RER ${picture.rer.toFixed(2)}`, picture.heart_rate_bpm && `heart rate ${picture.heart_rate_bpm.toFixed(0)} bpm`,
  ].filter(Boolean).join(", "));
  const news = (picture.log ?? []).filter(([number]) => number > logged);
  add("events", news.map(([, at, kind, words]) => `${at ? clock(new Date(1000 * at)) : ""} ${kind}${words ? `: ${words}` : ""}`));
  logged = news.at(-1)?.[0] ?? logged;
  say("drift", picture.drift?.length
    ? `Reference law: ${picture.drift.map(([at, rate]) => `${rate.toFixed(2)} W/kg at ${at.toFixed(0)} min`).join(", ")}`
    : "");
}

function guardWords(guard) {
  if (!guard) return "no device: the laws are set elsewhere";
  const told = (guard.torque ?? []).map((each) => (each === null ? "–" : each.toFixed(2))).join(" and ");
  const limit = Number.isFinite(guard.highest) ? `, limit ${guard.highest.toFixed(2)} N·m/kg` : "";
  return `${guard.armed ? "guard armed" : `no torque: ${guard.why}`}${told ? `, told ${told} N·m/kg` : ""}${limit}`;
}

/** The bouts that were walked and whose results follow. */
function wait({ waiting = [] }) {
  const list = $("waiting"), text = JSON.stringify(waiting);
  if (list.dataset.drawn === text) return;
  list.dataset.drawn = text;
  list.hidden = !waiting.length;
  list.replaceChildren(...waiting.map(({ number, purpose, offer }) => {
    const row = el("li", {}, `Bout ${number} (${purpose}) has no result. ${offer?.doubt ?? ""}`);
    const button = (words, go) => {
      const made = el("button", { type: "button" }, words);
      made.dataset.needs = "live";
      made.addEventListener("click", go);
      row.append(made);
    };
    const bout = { bout: number };
    if (offer) {
      const sure = offer.doubt ? true : undefined;
      button(`Take ${offer.rate.toFixed(2)}`, () => run({ do: "take", sure, ...bout }));
    }
    button("Type it", () => open(`Bout ${number}`, "", ["rate"], (given) => run({ do: "rate", ...given, ...bout })));
    return row;
  }));
}

/** The form of what the session waits for. */
function ask(state) {
  const offer = state.offer;
  let [words, field, , button] = ASKED[state.phase] ?? ["", "", "", ""], second = "";
  if (offer) [words, field, button, second] =
    [`${offer.rate.toFixed(2)} W/kg. ${offer.doubt}`, "", "Take the estimate", "Do not take it"];
  else if (state.phase === "rate" && state.enter) second = state.enter.words.replace("Enter ", "");
  if (state.phase === "stopped") words += ` ${state.halted}`;
  say("asked", words);
  $("field").hidden = !field;
  const { name, unit } = state.objective ?? {};
  say("field-name", field === "rate" && name ? `${name}${unit ? ` (${unit})` : ""}` : FIELDS[field] ?? "");
  show("main", button);
  show("second", second);
}

function show(id, words) {
  const button = $(id);
  button.hidden = !words;
  say(id, words);
}

$("answer").addEventListener("submit", (event) => {
  event.preventDefault();
  const { state } = shown;
  if (!state) return;
  if (state.offer) return run({ do: "take", sure: state.offer.doubt ? true : undefined });
  const [, field, name] = ASKED[state.phase] ?? [];
  if (name) run({ do: name, ...(field ? { [field]: typed(field, $("value").value) } : {}) });
});

$("second").addEventListener("click", () => {
  const { state } = shown;
  if (state?.offer) run({ do: "drop" });
  else if (state?.enter) {
    const { words, ...message } = state.enter;
    run(message);
  }
});

const typed = (field, text) => {
  const number = Number(text.trim().replace(",", "."));
  return NUMBERS.includes(field) && text.trim() && Number.isFinite(number) ? number : text;
};

let busy = false;

/** Ask the engine, once at a time; what is doubtful is asked again. */
async function run(message) {
  if (busy) return null;
  busy = true;
  document.body.dataset.busy = "yes";
  allowSound();
  const { boot, version } = shown.state ?? {};
  const answer = await act({ lease, boot, version, ...message });
  busy = false;
  document.body.dataset.busy = "no";
  if (answer.doubt) {
    open("Is it meant?", answer.doubt, [], () => run({ ...message, sure: true }));
  } else {
    say("error", answer.code === 200 ? "" : answer.error);
    if (answer.code === 200 && message.do !== "control") $("value").value = "";
    if (answer.code === 423) lease = "";
  }
  return answer;
}

$("control").addEventListener("click", async () => {
  if (lease) return location.reload(); // the connection of a page that is closed has no control
  const answer = await run({ do: "control", page: shown.page, take: Boolean(shown.state?.control) });
  if (answer?.code === 200) lease = answer.lease;
  draw(shown);
});

$("engine").addEventListener("click", () => run({ do: "engine" }));

/** Ask for fields, and do it with what was typed. */
function open(title, words, fields, go) {
  say("dialog-title", title);
  say("dialog-words", words);
  $("dialog-fields").replaceChildren(...fields.map((name) => {
    const label = el("label", {}, FIELDS[name]);
    label.append(el("input", { name, autocomplete: "off", required: true }));
    return label;
  }));
  $("dialog-form").onsubmit = (event) => {
    event.preventDefault();
    $("dialog").close();
    go(Object.fromEntries(fields.map((name) => [name, typed(name, $("dialog-form").elements[name].value)])));
  };
  $("dialog").showModal();
}

$("dialog-leave").addEventListener("click", () => $("dialog").close());

for (const [name, [words, ...fields]] of Object.entries(ACTIONS)) {
  const button = el("button", { type: "button", id: `do-${name}` }, words);
  button.dataset.needs = "live";
  button.addEventListener("click", () => {
    const go = async (given = {}) => {
      const answer = await run({ do: name, ...given });
      if (answer?.text) {
        say("table", answer.text);
        $("table").hidden = false;
      }
    };
    if (name === "table") go();
    else open(words, fields.length ? "" : "This is written into the log.", fields, go);
  });
  $("actions").append(button);
}
if (new URLSearchParams(location.search).get("as") === "blind") for (const name of BLIND) $(`do-${name}`).remove();
