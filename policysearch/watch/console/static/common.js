// What all pages of the console have: STOP, the countdown, and whether the engine is there.

import { $, act, follow, say } from "/static/shell.js";

export const shown = { engine: { status: "gone", since: 0 }, state: null, picture: {}, role: "", page: "" };

/** The time of day. */
export const clock = (date) => date.toLocaleTimeString([], { hour12: false });

/** Follow the session: `draw(shown)` after every message, `said(lines)` with new lines of the engine. */
export function session(draw, said = () => {}) {
  let connected = false;
  follow((told) => {
    for (const name of ["engine", "state", "picture", "role", "page"]) {
      if (name in told) shown[name] = told[name];
    }
    if (told.said) said(told.said);
    draw(shown);
  }, (is, since) => {
    if (connected && !is) draw(shown);
    connected = is;
    const { status, since: gone } = shown.engine;
    const live = is && status === "live";
    document.body.dataset.live = live ? "yes" : "no";
    say("age", live ? "live" : is
      ? `${status === "hung" ? "THE ENGINE DOES NOT ANSWER" : "THE ENGINE IS GONE"} since ${clock(new Date(1000 * gone))}`
      : `NOT CONNECTED since ${clock(since)}`);
    for (const each of document.querySelectorAll("[data-needs=live]")) each.disabled = !live || each.dataset.off === "yes";
  });
  $("stop").addEventListener("click", stop);
}

/** STOP: it is sent until an answer comes. */
async function stop() {
  say("stopped", "STOP is sent …");
  const answer = await act({ do: "stop", reason: "STOP on a page" }, 3, 4);
  say("stopped", answer.code === 200
    ? `STOPPED at ${clock(new Date())}`
    : `STOP WAS NOT CONFIRMED: use the physical stop (${answer.error})`);
}

/** Seconds that are left of the bout that is walked; null without one. */
export function left(state) {
  if (!state?.bout || state.phase !== "walking") return null;
  return Math.max(0, 60 * (state.bout.minutes - state.walked));
}

/** Seconds as m:ss. */
export function minutes(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

let audio = null, counted = null;

/** Sound needs a click first. */
export function allowSound() {
  audio ??= new AudioContext();
  audio.resume();
}

function beep(hertz, seconds) {
  if (!audio) return;
  const tone = audio.createOscillator(), volume = audio.createGain();
  volume.gain.value = 0.2;
  tone.frequency.value = hertz;
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + seconds);
}

/** Sounds at 3, 2, 1 and 0 s before the end of a bout. */
export function count(state) {
  const seconds = left(state), whole = seconds === null ? null : Math.ceil(seconds);
  if (whole !== counted) {
    if ([1, 2, 3].includes(whole)) beep(660, 0.12);
    if (whole === null && counted !== null) beep(990, 0.5);
  }
  counted = whole;
}
