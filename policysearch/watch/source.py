"""What the pages of a folder show: the parts of its view, each sent to a page when it has changed."""

import asyncio
import threading
from asyncio import sleep
from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import Any

from policysearch.command_line import Refusal
from policysearch.ledger import holder
from policysearch.registry import imported
from policysearch.watch.follow import Follower
from policysearch.watch.shell.live import Changes, Page

#: The ledgers that can be watched: the view of each, which is imported if it is needed, its tables, and the file that
#: is written last.
KINDS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "ledger.sqlite": ("policysearch.watch.comparison:WatchedStudy", ("runs", "generations"), "report.html"),
    "tune.sqlite": ("policysearch.watch.tuning:WatchedTuning", ("candidates",), "result.json"),
    "session.sqlite": ("policysearch.watch.person:WatchedSession", ("bouts",), "report.html"),
}
#: Seconds between two looks at a ledger: at least the first, at most the second, and so many times what a look took.
PAUSE, MAX_PAUSE, REST = 1.0, 300.0, 200.0


def ledger_of(folder: Path) -> Path:
    """The ledger in a folder, or the one that is named itself.

    Raises:
        Refusal: if there is none.
    """
    for name in KINDS:
        for path in (folder / name, folder):
            if path.name == name and path.is_file():
                return path
    wanted = f"the folder of a comparison, a tuning or a session ({', '.join(KINDS)})"
    raise Refusal([f"{folder}: expected {wanted}, got none of these"])


class Watched:
    """The ledger of a folder; a `policysearch.watch.shell.live.Source`.

    It is read while a page is open only, and the longer a look and what it sends take, the longer is the pause after.

    Args:
        path: of the ledger.
    """

    def __init__(self, path: Path) -> None:
        view, self._tables, self._last = KINDS[path.name]
        begin = imported(view)
        self._path, self._follower = path, Follower(path, lambda: begin(path.parent))
        self.changes, self._open, self._pages = Changes(), asyncio.Event(), 0
        self._lock = threading.Lock()  # of the view, which is read in other threads
        self._parts: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}  # how often a part has changed

    async def run(self) -> None:
        """Look at the ledger as long as a page is open."""
        while True:
            await self._open.wait()
            first, began = not self._parts, process_time()
            if await asyncio.to_thread(self.look):
                self.changes.announce()
            await sleep(PAUSE)  # in which it is sent
            took = 0.0 if first else process_time() - began  # the first look reads all
            await sleep(min(MAX_PAUSE, REST * took) - PAUSE)

    def look(self) -> bool:
        """Take in what is new; returns whether a part has changed."""
        with self._lock:
            self._follower.update()
            parts = dict(self._follower.parts())
        parts["head"] = self._head(parts["head"])
        changed = [name for name, part in parts.items() if part != self._parts.get(name)]
        for name in changed:
            self._numbers[name] = self._numbers.get(name, 0) + 1
        self._parts = parts
        return bool(changed)

    def _head(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """The head, with what is known of the process and of the files."""
        writer, last = holder(self._path), self._path.parent / self._last
        over = head.get("over")
        return {
            **head,
            "over": (writer is None and last.is_file()) if over is None else over,
            "writer": writer,
            "left": head.get("left") if writer else None,
            "trouble": self._follower.trouble,
            "tables": list(self._tables),
            "report": str(last) if last.suffix == ".html" and last.is_file() else "",
        }

    def detail(self, key: tuple[str, ...]) -> dict[str, Any]:
        """What is shown of one run; KeyError or ValueError if there is none."""
        with self._lock:
            return self._follower.view.detail(key)

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table; KeyError if there is no such table."""
        with self._lock:
            return self._follower.view.table(name)

    def joined(self, page: Page) -> None:
        """A page has been opened."""
        self._pages += 1
        self._open.set()

    def left(self, page: Page) -> None:
        """A page has been closed."""
        self._pages -= 1
        if not self._pages:
            self._open.clear()

    def news(self, page: Page) -> Mapping[str, Any] | None:
        """The parts that have changed since the page was told them."""
        new = {name: part for name, part in self._parts.items() if page.seen.get(name) != self._numbers[name]}
        page.seen.update({name: self._numbers[name] for name in new})
        return {"parts": new} if new else None
