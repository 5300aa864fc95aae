"""A WebSocket per page: news go down, as JSON; what a page sends is not read.

    first of all    {"page": a name of this page, "role": …}
    then            what `Source.news` has for the page, whenever it has something
    otherwise       {"beat": seconds} about every second, so that the page knows that it is connected

A page that reads slowly gets fewer and newer news, as they are asked for when the last ones have gone out.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from policysearch.watch.shell.gate import ROLE

MAX_PAGES = 64
BEAT = 1.0  # s between messages, at most
PAUSE = 0.2  # s between messages, at least
SLOW = 10.0  # s that a message may take to be taken
#: What ends the connection of a page.
CLOSED = (asyncio.CancelledError, TimeoutError, RuntimeError, WebSocketDisconnect)


@dataclass(eq=False)
class Page:
    """A page that is open.

    Attributes:
        role: who looks at it.
        query: with which it has asked for its news.
        name: of this page.
        seen: what its source keeps of it.
    """

    role: str
    query: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    seen: dict[str, Any] = field(default_factory=dict)


class Changes:
    """Something that changes, and can be waited for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def announce(self) -> None:
        """Tell all who wait that it has changed."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a change, or for some seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)


class Source(Protocol):
    """What pages are shown.

    Attributes:
        changes: are announced when there are news.
    """

    changes: Changes

    async def run(self) -> None:
        """Keep what is shown up to date, until it is cancelled."""

    def joined(self, page: Page) -> None:
        """A page has been opened."""

    def news(self, page: Page) -> Mapping[str, Any] | None:
        """What a page has not been told yet, as plain data; None if there is nothing."""

    def left(self, page: Page) -> None:
        """A page has been closed."""


class Live:
    """The end of the WebSockets of all pages.

    Args:
        source: of the news.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._pages, self._broken = source, set[Page](), False

    async def run(self) -> None:
        """Run the source; if it fails, no page is connected any more."""
        try:
            await self._source.run()
        except Exception:
            self._broken = True
            logging.getLogger(__name__).exception("what the pages show is no longer kept up to date")

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve a page until it is closed."""
        if self._broken or len(self._pages) >= MAX_PAGES:
            why = "no news come any more" if self._broken else f"{MAX_PAGES} pages are open already"
            await PlainTextResponse(why, 503)(websocket.scope, websocket.receive, websocket.send)
            return
        await websocket.accept()
        page = Page(websocket.scope[ROLE], websocket.query_params)
        self._pages.add(page)
        self._source.joined(page)
        sender = asyncio.create_task(self._send(websocket, page))
        reader = asyncio.create_task(_until_closed(websocket))
        try:
            await asyncio.wait((sender, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, reader):
                task.cancel()
            ends = await asyncio.gather(sender, reader, return_exceptions=True)
            self._pages.remove(page)
            self._source.left(page)
            with contextlib.suppress(*CLOSED):
                await websocket.close()
        for error in ends:
            if isinstance(error, BaseException) and not isinstance(error, CLOSED):
                raise error

    async def _send(self, websocket: WebSocket, page: Page) -> None:
        message: Mapping[str, Any] | None = {"page": page.name, "role": page.role}
        while not self._broken:
            told = {"beat": round(time.monotonic(), 3)} if message is None else message
            async with asyncio.timeout(SLOW):
                await websocket.send_text(json.dumps(told, separators=(",", ":")))
            await asyncio.sleep(PAUSE)
            if (message := self._source.news(page)) is None:
                await self._source.changes.wait(BEAT - PAUSE)
                message = self._source.news(page)


async def _until_closed(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
