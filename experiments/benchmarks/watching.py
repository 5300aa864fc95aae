"""What it costs to watch a comparison of 18 methods while it runs.

    python experiments/benchmarks/watching.py --out results/benchmarks/watching.csv
    python experiments/benchmarks/watching.py --parts cheap page --studies FOLDER --out …     some of it

    share      processor time of `policysearch watch`, with a page open from begin to end, over that of the
               study with its workers
    ledger     time of `read_since` for what one second of the study writes, and for the whole ledger
    page       bytes that a browser loads, the first paint, and when the study is shown (Chromium with Playwright)
    update     time of a page for one update of a task, all its pictures and tables, and of the head
    memory     of a page after 10⁵ updates, or as many as a quarter of an hour has

The parts are `cheap` and `expensive`, which run a study, and the last three, which need one; a study stays in FOLDER.
What was measured takes its place in the table. Both studies roll out in compiled environments. The page has its
updates from a server of its own that sends the next one as soon as the page has taken the last.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from policysearch.ledger import Position, read_since
from policysearch.watch.routes import PAGES
from policysearch.watch.shell import live
from policysearch.watch.shell.address import Address
from policysearch.watch.shell.app import Site
from policysearch.watch.shell.live import Changes, Page
from policysearch.watch.shell.roles import Roles
from policysearch.watch.shell.serve import links, server

UPDATES = 100_000
MEMORY_SECONDS = 900.0  # after which no further 10,000 updates are begun
TASK_IN = 500  # updates for memory, one of which has a task with its pictures and tables
PARTS = ("cheap", "expensive", "page", "update", "memory")
#: Of the 18 methods, with 30 runs each.
STUDIES = {
    "cheap": "--tasks CartPole-v1 --rollouts 300 --runs 30 --workers 2",
    "expensive": "--tasks Acrobot-v1 --rollouts 1000 --runs 30 --workers 2",
}


def started(*arguments: str, **more: Any) -> "subprocess.Popen[str]":
    """A module as a process."""
    return subprocess.Popen([sys.executable, "-m", *arguments], text=True, start_new_session=True, **more)


class Processors:
    """Processor time of a process and of all that it has started, also of those that have ended since."""

    def __init__(self, pid: int) -> None:
        self._seconds = {pid: 0.0}

    def look(self) -> float:
        """User and system time so far, s."""
        found = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = place.read_text(encoding="utf-8").rpartition(")")[2].split()
                ticks = int(fields[11]) + int(fields[12])
                found[int(place.parent.name)] = int(fields[1]), ticks / os.sysconf("SC_CLK_TCK")
        while new := {pid for pid, (parent, _) in found.items() if parent in self._seconds} - {
            *self._seconds
        }:
            self._seconds |= dict.fromkeys(new, 0.0)
        self._seconds |= {pid: seconds for pid, (_, seconds) in found.items() if pid in self._seconds}
        return sum(self._seconds.values())


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    """A process that does not outlive what is done here."""
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def watching(folder: Path) -> Iterator[tuple[int, str, str]]:
    """The process of the pages of a folder, its address, and its token."""
    run = started("policysearch.watch", str(folder), stdout=subprocess.PIPE)
    try:
        said = run.stdout.readline() if run.stdout else ""
        host, token = re.findall(r"http://([\d.:]+)/enter\?token=(\S+)", said)[0]
        yield run.pid, host, token
    finally:
        run.terminate()
        run.wait()


def messages(host: str, token: str) -> Iterator[dict[str, Any] | None]:
    """What a page is told; None where a second passes without news."""
    cookie = f"policysearch-{host.rpartition(':')[2]}-viewer={token}"
    given: dict[str, Any] = {
        "additional_headers": {"Cookie": cookie, "Origin": f"http://{host}"},
        "max_size": None,
    }
    while True:
        # a busy computer loses the connection, and a page would begin again
        with contextlib.suppress(ConnectionClosed), connect(f"ws://{host}/live", **given) as socket:
            while True:
                yield json.loads(socket.recv(timeout=60)).get("parts")


def told_at_first(folder: Path) -> dict[str, Any]:
    """All that a page of a study is told when it is opened."""
    parts: dict[str, Any] = {}
    with watching(folder) as (_, host, token):
        for news in messages(host, token):
            parts |= news or {}
            if "task 0" in parts:
                break
    return parts


def share(name: str, folder: Path, rows: dict[str, float]) -> None:
    """Run a study and watch it."""
    began, told = time.monotonic(), 0
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    study = started("policysearch.compare", *STUDIES[name].split(), "--out", str(folder), **quiet)
    others = Processors(study.pid)
    while not (folder / "ledger.sqlite").is_file():
        time.sleep(0.1)
    with ended(study), watching(folder) as (process, host, token):
        own = Processors(process)
        for news in messages(host, token):
            told += len(json.dumps(news)) if news else 0
            used, spent = others.look(), own.look()
            rows.setdefault(f"{name}: watch at its start, processor s", spent)
            if study.poll() is not None:
                break
    rows[f"{name}: study, s"] = time.monotonic() - began
    rows[f"{name}: study, processor s"], rows[f"{name}: watch, processor s"] = used, spent
    rows[f"{name}: share, %"] = 100 * spent / used
    rows[f"{name}: told, kB"] = told / 1e3


def ledger(name: str, folder: Path, rows: dict[str, float]) -> None:
    """The time to read the ledger, and what is new of it."""
    path = folder / "ledger.sqlite"
    began = time.perf_counter()
    events, end = read_since(path, Position())
    rows[f"{name}: whole ledger, ms"] = 1e3 * (time.perf_counter() - began)
    rows[f"{name}: events"] = len(events)
    new = min(len(events) - 1, max(20, int(len(events) / rows[f"{name}: study, s"])))
    taken = []
    position = positions(path, len(events) - new)
    for _ in range(20):
        began = time.perf_counter()
        found, now = read_since(path, position)
        taken.append(time.perf_counter() - began)
        if (len(found), now) != (new, end):
            raise ValueError(f"expected {new} events, got {len(found)}")
    rows[f"{name}: new events of a second"], rows[f"{name}: reading them, ms"] = new, 1e3 * min(taken)


def positions(path: Path, number: int) -> Position:
    """The position behind an event."""
    import sqlite3  # noqa: PLC0415 - here only

    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return Position(
            number, bytes(db.execute("SELECT checksum FROM events WHERE number = ?", (number,)).fetchone()[0])
        )


class Updates:
    """A source of a page's news that has the next update whenever the page has taken the last one."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts, self.changes, self.last, self.every = parts, Changes(), 0, 1

    async def run(self) -> None:
        """Nothing has to be kept up to date."""

    def joined(self, page: Page) -> None:
        """A page has been opened."""

    def left(self, page: Page) -> None:
        """A page has been closed."""

    def news(self, page: Page) -> Mapping[str, Any] | None:
        """The first time all parts, then another count of rollouts, with a task in every so many of them."""
        number = page.seen.get("number", 0)
        if number == self.last:
            return None
        page.seen["number"] = number + 1
        head = {"head": self.parts["head"] | {"rollouts": 10**9 + number}}
        if not number:
            return {"parts": {**self.parts, **head}}
        return {"parts": head | ({"task 0": self.parts["task 0"]} if number % self.every == 0 else {})}

    def until(self, tab: Any, number: int, every: int) -> float:
        """Send updates up to a number; returns the seconds until the page shows the last."""
        began, self.every, self.last = time.perf_counter(), every, number
        shown(tab, f"{10**9 + number - 1:,} rollouts")
        return time.perf_counter() - began


@contextmanager
def serving(source: Updates) -> Iterator[str]:
    """The page with another source of its news; the link to it."""
    listener, address = Address().bound()
    roles = Roles.new(["viewer"])
    web = server(Site({"viewer": PAGES / "watch.html"}, source, (), {"pages": PAGES}), address, roles)
    thread = threading.Thread(target=web.run, args=([listener],))
    thread.start()
    try:
        yield links(address, roles)["viewer"]
    finally:
        web.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - optional

    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    arguments = ["--no-sandbox", "--enable-precise-memory-info"]
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


def page(folder: Path, chromium: Any, rows: dict[str, float]) -> None:
    """What a browser loads, and how fast; the least of three times."""
    paints, all_shown = [], []
    with watching(folder) as (_, host, token):
        for _ in range(3):
            tab = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
            loaded: list[int] = []
            tab.on("response", partial(_count, loaded))
            tab.goto(f"http://{host}/enter?token={token}")
            shown(tab, "runs")
            all_shown.append(tab.evaluate("performance.now()"))
            first = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            paints.append(tab.evaluate(first))
            rows["page, kB"] = sum(loaded) / 1e3
            tab.context.close()
    rows["first paint, ms"], rows["study shown after, ms"] = min(paints), min(all_shown)


def _count(loaded: list[int], answer: Any) -> None:
    if answer.status == 200:
        loaded.append(len(answer.body()))


def updates(parts: dict[str, Any], chromium: Any, rows: dict[str, float]) -> None:
    """What an update costs a page."""
    rows["first news, kB"] = len(json.dumps(parts, separators=(",", ":"))) / 1e3
    with updated(parts, chromium) as (tab, source):
        rows["update of a task, ms"] = 1e3 * source.until(tab, 101, 1) / 100
        rows["update of the head, ms"] = 1e3 * source.until(tab, 2101, 10**9) / 2000


def memory(parts: dict[str, Any], chromium: Any, rows: dict[str, float]) -> None:
    """What a page holds after many updates."""
    end = time.monotonic() + MEMORY_SECONDS
    with updated(parts, chromium) as (tab, source):
        session = tab.context.new_cdp_session(tab)
        source.until(tab, 101, 1)
        for done in range(0, UPDATES + 1, 10_000):
            source.until(tab, 102 + done, TASK_IN)
            session.send("HeapProfiler.collectGarbage")
            rows[f"memory after {done:,} updates, MB"] = (
                tab.evaluate("performance.memory.usedJSHeapSize") / 1e6
            )
            print(f"{done} updates: {rows[f'memory after {done:,} updates, MB']:.2f} MB", flush=True)
            if time.monotonic() > end:
                break


@contextmanager
def updated(parts: dict[str, Any], chromium: Any) -> Iterator[tuple[Any, Updates]]:
    """A page that has its first update, and the source of the next ones."""
    live.PAUSE, source = 0.0, Updates(parts)
    with serving(source) as link:
        tab = chromium.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(link)
        source.until(tab, 1, 1)
        yield tab, source


def shown(tab: Any, text: str) -> None:
    """Wait for a text in the line of the progress."""
    while text not in tab.inner_text("#progress"):
        tab.wait_for_timeout(20)


def measured(part: str, studies: Path, rows: dict[str, float]) -> None:
    """Measure a part."""
    if part in STUDIES:
        shutil.rmtree(studies / part, ignore_errors=True)
        share(part, studies / part, rows)
        ledger(part, studies / part, rows)
        return
    folder = next(studies / name for name in STUDIES if (studies / name / "ledger.sqlite").is_file())
    with browser() as chromium:
        if part == "page":
            page(folder, chromium, rows)
        else:
            {"update": updates, "memory": memory}[part](told_at_first(folder), chromium, rows)


def kept(path: Path | None) -> dict[str, float]:
    """The rows of a table that is there."""
    if path is None or not path.exists():
        return {}
    return dict(pd.read_csv(path).itertuples(index=False, name=None))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--studies", type=Path, help="a folder in which the studies stay")
    chosen = parser.parse_args()
    rows = kept(chosen.out)
    with tempfile.TemporaryDirectory() as place:
        for part in chosen.parts:
            new: dict[str, float] = {}
            try:
                measured(part, chosen.studies or Path(place), new)
            finally:
                print(new)
            rows |= {name: float(f"{value:.4g}") for name, value in new.items()}
    table = pd.DataFrame({"quantity": [*rows], "value": [*rows.values()]})
    print(table.to_string(index=False))
    if chosen.out:
        table.to_csv(chosen.out, index=False)


if __name__ == "__main__":
    main()
