"""A connection to the engine of a session; see the protocol in `policysearch.hitl.engine.server`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.files import read_bytes
from policysearch.hitl.engine.client import ADDRESS

MAX_LINE = 1 << 24  # bytes that the engine may send as one message


class EngineLink:
    """A connection. `follow` it, or nothing is heard.

    Args:
        reader: of the socket.
        writer: of the socket.
        changed: is called whenever there is another state.

    Attributes:
        state: as it was told last; empty before the first.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, changed: Callable[[], None]
    ) -> None:
        self._reader, self._writer, self._changed = reader, writer, changed
        self._asked: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.state: Mapping[str, Any] = {}

    @classmethod
    async def to(cls, folder: Path, changed: Callable[[], None]) -> "EngineLink":
        """A connection to the engine that runs in a folder.

        Raises:
            OSError, ValueError: if there is none.
        """
        place = json.loads(read_bytes(folder / ADDRESS, MAX_LINE))
        if not isinstance(place, dict) or not isinstance(path := place.get("socket"), str):
            raise ValueError(f"{folder / ADDRESS}: not the address of an engine")
        return cls(*await asyncio.open_unix_connection(path, limit=MAX_LINE), changed)

    async def follow(self) -> None:
        """Take in what the engine says, until it is gone."""
        try:
            while line := await self._reader.readline():
                told = json.loads(line, parse_constant=lambda _: None)  # pages know no NaN
                if "answer" in told:
                    asked = self._asked.pop(told.pop("answer"), None)
                    if asked is not None and not asked.done():
                        asked.set_result(told)
                else:
                    self.state = told["state"]
                    self._changed()
        except (OSError, ValueError):  # it died in the middle of a line
            pass
        finally:
            for each in self._asked.values():
                if not each.done():
                    each.set_exception(ConnectionError("the engine is gone"))
            self.close()

    async def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to an action that has a `key`.

        Raises:
            ConnectionError: if the engine is gone.
            TimeoutError: if it does not answer.
        """
        if self._writer.is_closing():
            raise ConnectionError("the engine is gone")
        key = message["key"]
        asked = self._asked.setdefault(key, asyncio.get_running_loop().create_future())
        self._writer.write(json.dumps(message).encode() + b"\n")
        async with asyncio.timeout(seconds):
            return dict(await asyncio.shield(asked))

    def close(self) -> None:
        """End the connection; the control that was taken through it ends with it."""
        self._writer.close()
