"""The gateway between pages and the engine: what pages are shown, and through which connection they act.

One connection brings the state. The control of a session ends with the connection that took it, so that a page which
takes control gets one of its own, which is closed with the page. Without an engine, it is looked for.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.command_line import Refusal
from policysearch.watch.console.link import EngineLink
from policysearch.watch.console.views import ANY_VERSION, OPERATORS, pictured, shown
from policysearch.watch.shell.live import Changes, Page

RETRY = 0.3  # s between two looks for an engine
LOOK = 1.0  # s between two pictures, which are the sign that the engine is alive
HUNG = 3.0  # s without one, after which it hangs
ANSWER_SECONDS, STOP_SECONDS = 35.0, 2.0  # that the engine may take
#: What an action may have, with the kinds that are passed on; the engine judges the values.
FIELDS = (
    "do", "key", "lease", "boot", "version", "sure", "rate", "bout", "path", "reason", "torque", "field", "value",
    "text", "take",
)  # fmt: skip
PHYSICAL = "use the physical stop"

Answer = dict[str, Any]


class Gateway:
    """What a console is shown, and asks.

    Args:
        folder: of the session.
        start: starts an engine there; a Refusal says why it cannot.

    Attributes:
        changes: of what is shown.
    """

    def __init__(self, folder: Path, start: Callable[[], object]) -> None:
        self._folder, self._start = folder, start
        self.changes = Changes()
        self._link: EngineLink | None = None
        self._pages: dict[str, Page] = {}
        self._own: dict[str, tuple[EngineLink, asyncio.Task[None]]] = {}  # connections of pages
        self._status, self._since, self._picture = "gone", time.time(), dict[str, Any]()
        self._starting = False

    # ------------------------------------------------------------------------------------------- what is shown

    async def run(self) -> None:
        """Follow the engine, whichever runs."""
        while True:
            with contextlib.suppress(OSError, ValueError):
                link = await EngineLink.to(self._folder, self.changes.announce)
                watch = asyncio.create_task(self._watch(link))
                try:
                    self._link = link
                    await link.follow()
                finally:
                    watch.cancel()
                    self._link = None
                    self._is("gone")
            await asyncio.sleep(RETRY)

    async def _watch(self, link: EngineLink) -> None:
        """Ask for a picture again and again; who does not answer hangs."""
        while True:
            with contextlib.suppress(ConnectionError):
                try:
                    answer = await link.ask({"do": "picture", "key": uuid.uuid4().hex}, HUNG)
                    self._picture = json.loads(answer.get("text", "{}"))
                    self._is("live")
                except TimeoutError:
                    self._is("hung")
            await asyncio.sleep(LOOK)

    def _is(self, status: str) -> None:
        if status != self._status:
            self._status, self._since = status, time.time()
        self.changes.announce()

    def joined(self, page: Page) -> None:
        """A page has been opened."""
        self._pages[page.name] = page

    def left(self, page: Page) -> None:
        """A page has been closed: it has control no longer."""
        del self._pages[page.name]
        if own := self._own.pop(page.name, None):
            own[0].close()

    def news(self, page: Page) -> Mapping[str, Any] | None:
        """What a page has not been told yet: `engine`, `state`, `picture`, and lines that were `said`."""
        state = self._link.state if self._link else {}
        told: dict[str, Any] = {"engine": {"status": self._status, "since": round(self._since, 1)}}
        if state:
            told["state"] = shown(page.role, state)
            if page.role in OPERATORS:
                told["picture"] = pictured(page.role, self._picture)
        new = {name: value for name, value in told.items() if page.seen.get(name) != value}
        page.seen |= new
        if state and page.role in OPERATORS:
            heard = page.seen.get("heard", ("", 0))
            last = heard[1] if heard[0] == state["boot"] else 0
            if lines := [line for line in state["said"] if line[0] > last]:
                page.seen["heard"] = state["boot"], lines[-1][0]
                new["said"] = lines
        return new or None

    # ---------------------------------------------------------------------------------------------- what is done

    async def act(self, who: str, message: Mapping[str, Any]) -> tuple[int, Answer]:
        """Code and answer to an action of a page.

        Args:
            who: for the log.
            message: with `do` and `key`; who takes control gives the name of its `page`.
        """
        do, link = message["do"], self._link
        if do == "engine":
            return await self._engine()
        if link is None or not link.state:
            return 503, {
                "error": f"the engine is gone, and the guard has let the torque go to zero: {PHYSICAL}"
            }
        if refusal := self._refusal(link.state, message):
            return refusal
        told = {name: message[name] for name in FIELDS if name in message} | {"who": who}
        if do in ANY_VERSION:
            told.pop("version", None)
        if "path" in told:
            told["path"] = str((self._folder / told["path"]).resolve())
        try:
            if do == "control":
                link = await self._own_link(message["page"])
            answer = await link.ask(told, STOP_SECONDS if do == "stop" else ANSWER_SECONDS)
        except TimeoutError:
            return 504, {"error": f"the engine does not answer: {PHYSICAL}"}
        except OSError:
            return 503, {"error": f"the engine is gone: {PHYSICAL}"}
        return int(answer.pop("code")), answer

    def _refusal(self, state: Mapping[str, Any], message: Mapping[str, Any]) -> tuple[int, Answer] | None:
        """Why an action is not passed on; None if it is."""
        do, path = message["do"], message.get("path", "")
        if do not in ANY_VERSION and message.get("boot") != state["boot"]:
            return 409, {"error": "the engine was started again since; look at its state"}
        if do not in ANY_VERSION and type(message.get("version")) is not int:
            return 400, {"error": f"version: expected a whole number, got {message.get('version')!r}"}
        if do == "control" and message.get("page") not in self._pages:
            return 422, {"error": "page: expected the name of a page that is open"}
        inside = isinstance(path, str) and "\0" not in path
        if not inside or not (self._folder / path).resolve().is_relative_to(self._folder.resolve()):
            return 422, {"error": f"path: expected a file in the folder of the session, got {path!r}"}
        return None

    async def _own_link(self, name: str) -> EngineLink:
        """The connection of a page."""
        if name in self._own and not self._own[name][1].done():
            return self._own[name][0]
        link = await EngineLink.to(self._folder, lambda: None)
        if name not in self._pages:  # it was closed meanwhile
            link.close()
        self._own[name] = link, asyncio.create_task(link.follow())
        return link

    async def _engine(self) -> tuple[int, Answer]:
        """Start an engine, if none runs."""
        if self._link is not None or self._starting:
            return 422, {"error": "engine: one runs already"}
        self._starting = True
        try:
            await asyncio.to_thread(self._start)
        except Refusal as error:
            return 422, {"error": str(error)}
        finally:
            self._starting = False
        return 200, {}
