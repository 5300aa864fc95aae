import { el } from "/static/elements.js";
import { $, act, say } from "/static/shell.js";
import { allowSound, count, left, minutes, session } from "/console/common.js";

const SOON = 10; // s before a change that is announced

session(({ state }) => {
  if (!state) return;
  const { bout, phase } = state, seconds = left(state);
  const stands = bout && ["rest", "standing"].includes(bout.purpose);
  let words = phase === "over" ? "The session is over" : "Please wait";
  if (phase === "walking") words = stands ? "Stand still" : "Walk";
  if (phase === "stopped") words = "Stopped";
  say("what", words);
  say("left", seconds === null ? "" : minutes(seconds));
  say("soon", seconds !== null && seconds <= SOON ? `A change in ${Math.ceil(seconds)} s` : "");
  $("bar").max = bout ? 60 * bout.minutes : 1;
  $("bar").value = seconds === null ? 0 : 60 * bout.minutes - seconds;
  $("asked").hidden = phase === "walking" || phase === "over";
  count(state);
});

/** Buttons for the answers to a question: what is on each, and what is written down. */
function scale(name, answers, words) {
  for (const [label, text] of answers) {
    const button = el("button", { type: "button" }, label);
    button.dataset.needs = "live";
    button.addEventListener("click", async () => {
      button.disabled = true;
      const answer = await act({ do: "answer", text: `${words} ${text}` });
      say("thanks", answer.code === 200 ? `Written down: ${words} ${text}` : `Not written down: ${answer.error}`);
      button.disabled = false;
    });
    $(name).append(button);
  }
}

const from = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => [String(first + i), first + i]);

scale("borg", from(6, 20), "exertion (Borg, 6 to 20)");
scale("comfort", from(0, 10), "comfort (0 to 10)");
scale("preference", [["A: the one before", "A"], ["No difference", "none"], ["B: the last one", "B"]], "preferred of the last two (B is the last)");
$("ready").addEventListener("click", () => { allowSound(); $("ready").hidden = true; });
