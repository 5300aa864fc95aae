import { $, say } from "/static/shell.js";
import { left, minutes, session } from "/console/common.js";

const PHASES = {
  confirm: "waits for the operator", start: "waits for its start", walking: "is walked", rate: "waits for its rate",
  done: "is timed elsewhere", stopped: "stopped: no torque", over: "the session is over",
};

session(({ state }) => {
  if (!state) return;
  const { bout, guard, phase } = state, seconds = left(state);
  say("participant", `participant ${state.participant}`);
  say("what", bout ? `bout ${bout.number}, ${bout.minutes} min` : "no bout");
  say("phase", PHASES[phase] ?? phase);
  say("left", seconds === null ? "–:––" : minutes(seconds));
  say("guard", guard ? (guard.armed ? "guard armed" : `no torque: ${guard.why}`) : "no device");
  say("control", state.control ? `in control: ${state.control}` : "no page or terminal has control");
  $("left").dataset.phase = phase;
});
