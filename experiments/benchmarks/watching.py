"""What it costs to watch a comparison of 18 methods while it runs.

    python experiments/benchmarks/watching.py --out results/benchmarks/watching.csv

    share      processor time of `policysearch watch`, with a page open from begin to end, over that of the
               study, without workers that are in a session of their own
    ledger     time of `read_since` for what one second of the study writes, and for the whole ledger
    page       bytes that a browser loads, and the first paint (Chromium, driven by Playwright)
    update     time of a page for one update of a task, all its pictures and tables, and memory after 10⁵ updates

The page is given its updates by a stand-in for the server, so that they come as fast as it takes them.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from websockets.sync.client import connect

from policysearch.ledger import Position, read_since

UPDATES = 100_000
STUDY = "--tasks CartPole-v1 --rollouts 300 --runs 30 --workers 2"


def started(*arguments: str, **more: Any) -> "subprocess.Popen[str]":
    """A module as a process."""
    return subprocess.Popen([sys.executable, "-m", *arguments], text=True, start_new_session=True, **more)


def processor_seconds(session: int, known: dict[int, float]) -> float:
    """User and system time of all processes that a process has started, with those that have ended since."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session:
                known[int(place.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(known.values())


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
    with connect(
        f"ws://{host}/live", additional_headers={"Cookie": cookie, "Origin": f"http://{host}"}, max_size=None
    ) as socket:
        while True:
            message = json.loads(socket.recv(timeout=30))
            yield message.get("parts")


def share(folder: Path, rows: dict[str, float]) -> dict[str, Any]:
    """Run the study and watch it; returns the last of what the page was told."""
    began, parts, told = time.monotonic(), dict[str, Any](), 0
    study = started(
        "policysearch.compare",
        *STUDY.split(),
        "--out",
        str(folder),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not (folder / "ledger.sqlite").is_file():
        time.sleep(0.1)
    with watching(folder) as (process, host, token):
        own, others = dict[int, float](), dict[int, float]()
        for news in messages(host, token):
            parts |= news or {}
            told += len(json.dumps(news)) if news else 0
            rows["study, processor s"] = processor_seconds(study.pid, others)
            rows["watch, processor s"] = processor_seconds(process, own)
            if study.poll() is not None:
                break
    rows["study, s"] = time.monotonic() - began
    rows["share, %"] = 100 * rows["watch, processor s"] / rows["study, processor s"]
    rows["told, kB"] = told / 1e3
    return parts


def ledger(folder: Path, seconds: float, rows: dict[str, float]) -> None:
    """The time to read the ledger, and what is new of it."""
    path = folder / "ledger.sqlite"
    began = time.perf_counter()
    events, end = read_since(path, Position())
    rows["whole ledger, ms"] = 1e3 * (time.perf_counter() - began)
    rows["events"] = len(events)
    new = min(len(events) - 1, max(20, int(len(events) / seconds)))
    taken = []
    position = positions(path, len(events) - new)
    for _ in range(20):
        began = time.perf_counter()
        found, now = read_since(path, position)
        taken.append(time.perf_counter() - began)
        if (len(found), now) != (new, end):
            raise ValueError(f"expected {new} events, got {len(found)}")
    rows["new events"], rows["new events, ms"] = new, 1e3 * min(taken)


def positions(path: Path, number: int) -> Position:
    """The position behind an event."""
    import sqlite3  # noqa: PLC0415 - here only

    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return Position(
            number, bytes(db.execute("SELECT checksum FROM events WHERE number = ?", (number,)).fetchone()[0])
        )


def page(folder: Path, parts: dict[str, Any], rows: dict[str, float]) -> None:
    """What a browser loads and how fast, then how it takes updates."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - optional

    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with watching(folder) as (_, host, token), sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        loaded: list[int] = []
        tab.on("response", lambda answer: loaded.append(len(answer.body())) if answer.status == 200 else None)
        tab.goto(f"http://{host}/enter?token={token}")
        shown(tab, "runs")
        rows["page, kB"] = sum(loaded) / 1e3
        rows["first news, kB"] = len(json.dumps(parts)) / 1e3
        rows["first paint, ms"] = tab.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        )
        tab.close()
        updates(
            browser.new_page(viewport={"width": 1280, "height": 900}),
            f"http://{host}/enter?token={token}",
            parts,
            rows,
        )
        browser.close()


def updates(tab: Any, link: str, parts: dict[str, Any], rows: dict[str, float]) -> None:
    """Send updates to a page in place of its server."""
    sockets: list[Any] = []
    tab.set_default_timeout(600_000)  # ms
    tab.route_web_socket(re.compile("/live"), lambda socket: sockets.append(socket))  # noqa: PLW0108 - it is marked
    tab.goto(link)
    while not sockets:
        tab.wait_for_timeout(50)
    send = sockets[-1].send
    send(json.dumps({"parts": parts}))
    task, head = parts["task 0"], parts["head"]
    for name, count, part in (
        ("update of a task, ms", 100, ("task 0", task)),
        ("update of the head, ms", 2000, None),
    ):
        began = time.perf_counter()
        for i in range(count):
            send(json.dumps({"parts": dict([part or ("head", head | {"rollouts": i})])}))
        send(json.dumps({"parts": {"head": head | {"rollouts": 10**9 + count}}}))
        shown(tab, f"{10**9 + count:,}")
        rows[name] = 1e3 * (time.perf_counter() - began) / count
    session = tab.context.new_cdp_session(tab)
    sizes = []
    for i in range(UPDATES + 1):
        send(
            json.dumps(
                {"parts": {"head": head | {"rollouts": i}, **({"task 0": task} if i % 100 == 0 else {})}}
            )
        )
        if i % (UPDATES // 10) == 0:
            shown(tab, f"{i:,} rollouts")
            session.send("HeapProfiler.collectGarbage")
            sizes.append(tab.evaluate("performance.memory.usedJSHeapSize") / 1e6)
    rows["memory at first, MB"], rows["memory after a tenth, MB"], rows["memory after 1e5 updates, MB"] = (
        sizes[0],
        sizes[1],
        sizes[-1],
    )


def shown(tab: Any, text: str) -> None:
    """Wait for a text in the line of the progress."""
    while text not in tab.inner_text("#progress"):
        tab.wait_for_timeout(20)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    chosen = parser.parse_args()
    rows: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "study"
        try:
            parts = share(folder, rows)
            ledger(folder, rows["study, s"], rows)
            page(folder, parts, rows)
        finally:
            print(rows)
    table = pd.DataFrame({"quantity": [*rows], "value": [float(f"{value:.4g}") for value in rows.values()]})
    print(table.to_string(index=False))
    if chosen.out:
        table.to_csv(chosen.out, index=False)


if __name__ == "__main__":
    main()
