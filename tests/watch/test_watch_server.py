"""The pages of a study against the real server: what is asked for is answered, and nothing can be changed."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.sync.client import connect

from policysearch.compare import journal
from policysearch.compare.__main__ import main as compare
from policysearch.hitl import LOG
from policysearch.ledger import Ledger, read
from policysearch.tune import journal as tune_journal
from policysearch.watch import __main__ as command
from policysearch.watch import source
from policysearch.watch.command import site
from policysearch.watch.shell.address import Address
from policysearch.watch.shell.live import Page
from policysearch.watch.shell.roles import Roles
from policysearch.watch.shell.serve import server
from policysearch.watch.source import Watched, ledger_of

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
HOSTILE = "=<script>alert('x')</script>\x1b[2J"


class Served(NamedTuple):
    port: int
    token: str
    folder: Path

    def ask(
        self, path: str, method: str = "GET", cookie: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        given = {"Cookie": f"policysearch-{self.port}-viewer={self.token}"} if cookie else {}
        connection.request(method, path, headers=given | headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, blank_pictures: None) -> Iterator[Served]:
    """The pages of a study with a hostile label, served in a thread."""
    folder = tmp_path_factory.mktemp("served")
    study = folder / "study.in"
    study.write_text(
        f'rollouts = 40\nruns = 2\n[tasks.lqr]\n[optimizers.ars]\n[optimizers."{HOSTILE.encode("unicode_escape").decode().replace("x1b", "u001b")}"]\nmethod = "random-search"\n',
        encoding="utf-8",
    )
    study = study.rename(folder / "study.toml")
    assert compare([str(study), "--workers", "1", "--out", str(folder / "out")]) == 0
    watched = Watched(ledger_of(folder / "out"))
    listener, address = Address().bound()
    roles = Roles.new(["viewer"])
    web = server(site(watched), address, roles)
    thread = threading.Thread(target=lambda: web.run([listener]))
    thread.start()
    while not web.started:
        time.sleep(0.01)
    yield Served(address.port, roles.tokens["viewer"], folder / "out")
    web.should_exit = True
    thread.join()
    listener.close()


def first_parts(served: Served) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    headers = {
        "Cookie": f"policysearch-{served.port}-viewer={served.token}",
        "Origin": f"http://127.0.0.1:{served.port}",
    }
    with connect(f"ws://127.0.0.1:{served.port}/live", additional_headers=headers) as socket:
        while "task 0" not in parts:
            parts |= json.loads(socket.recv(timeout=20)).get("parts", {})
    return parts


@pytest.mark.parametrize(
    ("path", "method", "cookie", "status"),
    [
        ("/", "GET", True, 200),
        ("/", "GET", False, 401),
        ("/static/elements.js", "GET", True, 200),
        ("/static/uPlot.LICENSE", "GET", True, 200),
        ("/pages/watch.js", "GET", True, 200),
        ("/static/../../__main__.py", "GET", True, 404),
        ("/pages/%2e%2e/__main__.py", "GET", True, 404),
        ("/table/runs.csv", "GET", False, 401),
        ("/table/nothing.csv", "GET", True, 404),
        ("/table/..%2fledger.csv", "GET", True, 404),
        ("/run?task=lqr&method=ars&run=0", "GET", False, 401),
        ("/run?task=lqr&method=ars&run=9", "GET", True, 404),
        ("/run?task=lqr&method=ars&run=x", "GET", True, 404),
        ("/run", "GET", True, 404),
        ("/act", "GET", True, 404),
        *((path, method, True, 405) for path in ("/", "/run", "/table/runs.csv") for method in ("POST", "PUT", "DELETE", "OPTIONS")),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_answered_as_the_table_says(
    path: str, method: str, cookie: bool, status: int, served: Served
) -> None:
    first_parts(served)
    assert served.ask(path, method, cookie=cookie)[0] == status


def test_the_news_have_the_study_and_texts_are_texts(served: Served) -> None:
    before = (served.folder / "ledger.sqlite").read_bytes()
    parts = first_parts(served)
    label = next(label for label in parts["head"]["methods"] if label != "ars")
    assert label == HOSTILE
    assert parts["head"]["done"] == 4
    assert parts["head"]["writer"] is None
    assert parts["head"]["report"].endswith("report.html")
    status, headers, text = served.ask("/table/runs.csv")
    assert status == 200
    assert headers["content-type"].startswith("text/csv")
    assert "'=<script>" in text
    assert "\x1b" not in text
    assert ",=" not in text
    found = json.loads(served.ask("/run?task=lqr&method=ars&run=1")[2])
    assert found["title"] == "ars on lqr, run 1"
    assert "script-src 'self'" in headers["content-security-policy"]
    assert (served.folder / "ledger.sqlite").read_bytes() == before


def test_a_page_is_told_only_what_has_changed(tmp_path: Path, served: Served) -> None:
    events = read(served.folder / "ledger.sqlite")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        watched, page = Watched(ledger_of(tmp_path)), Page("viewer")
        told: list[set[str]] = []
        for event in events:
            ledger.append_text(event.kind, event.key, event.text)
            ledger.commit()
            watched.look()
            told.append({*(watched.news(page) or {"parts": {}})["parts"]})
            assert watched.news(page) is None
        assert watched.news(Page("viewer"))["parts"].keys() == {"head", "task 0", "failures"}  # type: ignore[index]
    for event, names in zip(events, told, strict=True):
        assert ("task 0" in names) == (event.kind in ("study", "generation", "run"))
    assert not watched.look() or watched.news(page)["parts"].keys() == {"head"}  # type: ignore[index]


def test_a_ledger_is_looked_at_while_a_page_is_open_and_the_rarer_the_more_that_costs(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, page, spent, slept = Watched(ledger_of(served.folder)), Page("viewer"), [0.0], list[float]()

    def look() -> bool:
        watched._parts = {"head": {}}
        spent[0] += 0.5
        return False

    async def sleep(seconds: float, *, really: Any = asyncio.sleep) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            watched.left(page)
        await really(0.0)

    async def run() -> None:
        task = asyncio.create_task(watched.run())
        for _ in range(20):
            await asyncio.sleep(0.0)
        assert not slept
        watched.joined(page)
        while len(slept) < 4:
            await asyncio.wait([task], timeout=0.01)
        await asyncio.wait([task], timeout=0.05)
        task.cancel()

    monkeypatch.setattr(watched, "look", look)
    monkeypatch.setattr(source, "sleep", sleep)
    monkeypatch.setattr(source, "process_time", lambda: spent[0])
    asyncio.run(run())
    assert spent == [1.0]
    assert slept == [source.PAUSE, -source.PAUSE, source.PAUSE, 0.5 * source.REST - source.PAUSE]
    assert source.REST >= 100.0  # a look and what it sends take at most 1 % of a processor


def test_the_ledgers_that_can_be_watched_have_the_names_of_those_that_are_written() -> None:
    assert [*source.KINDS] == [journal.NAME, tune_journal.NAME, LOG]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["no-such-folder"],
            "no-such-folder: expected the folder of a comparison, a tuning or a session (ledger.sqlite, ",
        ),
        ([".", "--port", "70000"], "--port: expected 0 to 65535, got 70000"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}")
    assert said.count("\n") == 1


def test_without_the_extra_it_says_what_to_install() -> None:
    without = "import sys; sys.modules['starlette'] = None; from policysearch.watch.__main__ import main; sys.exit(main(['.']))"
    ran = subprocess.run(
        [sys.executable, "-c", without], check=False, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: cannot import policysearch.watch.command: ModuleNotFoundError")
    assert ran.stderr.endswith("; pip install 'policysearch[lab]'\n")


def test_the_command_prints_a_link_and_ends_by_ctrl_c(served: Served) -> None:
    command = [sys.executable, "-m", "policysearch.watch", str(served.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as run:
        assert run.stdout is not None
        line = run.stdout.readline()
        port, token = line.rpartition("127.0.0.1:")[2].split("/enter?token=")
        served = Served(int(port), "", served.folder)
        status, headers, _ = served.ask(f"/enter?token={token.strip()}", cookie=False)
        assert (status, headers["location"]) == (303, "/?as=viewer")
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 130
