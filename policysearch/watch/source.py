"""What the pages of a folder show: the parts of its view, each sent to a page when it has changed."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.command_line import Refusal
from policysearch.compare import journal
from policysearch.hitl import LOG
from policysearch.ledger import holder
from policysearch.tune import journal as tune_journal
from policysearch.watch.comparison import WatchedStudy
from policysearch.watch.follow import Follower, View
from policysearch.watch.person import WatchedSession
from policysearch.watch.shell.live import Changes, Page
from policysearch.watch.tuning import WatchedTuning

#: The ledgers that can be watched, the view of each, its tables, and the file that is written last.
KINDS: Mapping[str, tuple[Callable[[Path], View], tuple[str, ...], str]] = {
    journal.NAME: (WatchedStudy, ("runs", "generations"), "report.html"),
    tune_journal.NAME: (WatchedTuning, ("candidates",), "result.json"),
    LOG: (WatchedSession, ("bouts",), "report.html"),
}
#: Seconds between two looks at a ledger: at least the first, at most the second, and so many times what a look took.
PAUSE, MAX_PAUSE, REST = 1.0, 60.0, 50.0


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

    It is read while a page is open only, and the longer a look takes, the longer is the pause after it.

    Args:
        path: of the ledger.
    """

    def __init__(self, path: Path) -> None:
        begin, self._tables, self._last = KINDS[path.name]
        self._path, self._follower = path, Follower(path, lambda: begin(path.parent))
        self.changes, self._open, self._pages = Changes(), asyncio.Event(), 0
        self._lock = threading.Lock()  # of the view, which is read in other threads
        self._parts: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}  # how often a part has changed

    async def run(self) -> None:
        """Look at the ledger as long as a page is open."""
        took = 0.0  # the first look, which reads all, is not counted
        while True:
            await self._open.wait()
            await asyncio.sleep(min(MAX_PAUSE, max(PAUSE, REST * took)) if self._parts else 0.0)
            first = not self._parts
            changed, took = await asyncio.to_thread(self.look)
            took = 0.0 if first else took
            if changed:
                self.changes.announce()

    def look(self) -> tuple[bool, float]:
        """Take in what is new; returns whether a part has changed, and the seconds of processor time that it took."""
        began = time.thread_time()
        with self._lock:
            self._follower.update()
            parts = dict(self._follower.parts())
        parts["head"] = self._head(parts["head"])
        changed = [name for name, part in parts.items() if part != self._parts.get(name)]
        for name in changed:
            self._numbers[name] = self._numbers.get(name, 0) + 1
        self._parts = parts
        return bool(changed), time.thread_time() - began

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
