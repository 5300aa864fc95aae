// The page's side of the shell: news that come down a WebSocket, and whether they still come.

const STALE = 3000; // ms without a message, after which the page is not connected
const AGAIN = 700; // ms between two attempts to connect

/**
 * Follow the news. `hear(message)` gets each; `mood(connected, since)` is told whether they come, and since when not.
 * A computer that slept, and a socket that only seems open, are noticed by the age of the last message. If only the time of
 * day says so, the computer may have slept, or its clock was set: the next message decides, on the same connection.
 */
export function follow(hear, mood) {
  let last = -Infinity, wall = 0, since = new Date(), socket = null;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const open = () => {
    const own = socket = new WebSocket(`${scheme}://${location.host}/live${location.search}`);
    own.onmessage = (event) => {
      if (own !== socket) return;
      last = performance.now();
      wall = Date.now();
      since = null;
      hear(JSON.parse(event.data));
      mood(true, null);
    };
    own.onclose = () => { if (own === socket) setTimeout(open, AGAIN); };
  };
  const look = () => {
    const silent = performance.now() - last > STALE;
    if (!silent && Math.abs(Date.now() - wall) <= STALE) return;
    since ??= new Date(wall || Date.now());
    mood(false, since);
    if (silent && socket.readyState === WebSocket.OPEN && last > -Infinity) {
      last = -Infinity;
      socket.onclose = null;
      socket.close();
      open();
    }
  };
  setInterval(look, 500);
  document.addEventListener("visibilitychange", look);
  open();
}

/** The code and the answer to an action; 0 if there is none. A key that is sent again has the same answer. */
export async function act(message, seconds = 36, tries = 3) {
  const body = JSON.stringify({ key: crypto.randomUUID(), ...message });
  for (let i = 0; i < tries; i += 1) {
    try {
      const answer = await fetch(`/act${location.search}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
        signal: AbortSignal.timeout(1000 * seconds),
      });
      return { code: answer.status, ...await answer.json().catch(() => ({ error: "no words" })) };
    } catch {
      await new Promise((done) => setTimeout(done, 300));
    }
  }
  return { code: 0, error: "no answer came" };
}

/** The element of this id. */
export const $ = (id) => document.getElementById(id);

/** Put a text into the element of this id, if it is another one. */
export function say(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}
