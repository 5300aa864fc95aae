"""Every row of the table of requests, against a server on a port; races with their counts."""

import json
import os
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from console_bench import Browser, Console, eventually
from websockets.exceptions import InvalidStatus

import policysearch.watch.console.act as act_module


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console on which nothing is done."""
    console = Console(tmp_path_factory.mktemp("still"))
    yield console
    assert (
        not console.engine.kinds("note") + console.engine.kinds("started") + console.engine.kinds("operator")
    )
    console.close()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    made.close()


NOTE = b'{"do": "note", "key": "k", "text": "t"}'


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "/", {"Cookie": None}, 401), ("POST", "/act", {"Cookie": None}, 401),
        ("GET", "/", {"Cookie": "policysearch-1-operator=x"}, 401), ("GET", "/static/shell.js", {"Cookie": None}, 401),
        ("GET", "/enter", {}, 401), ("GET", "/enter?token=wrong", {"Cookie": None}, 401),
        ("GET", "/enter?token=%C3%A4%00", {"Cookie": None}, 401), ("GET", "/?as=viewer", {}, 401),
        ("GET", "/", {"Host": "evil.example"}, 421), ("POST", "/act", {"Host": "evil.example:8620"}, 421),
        ("GET", "/", {"Host": "127.0.0.1"}, 421), ("GET", "/", {"Host": "127.0.0.1:1"}, 421),
        ("GET", "/enter?token=wrong", {"Host": "localhost.evil.example"}, 421), ("GET", "/", {"Host": None}, 400),
        ("GET", "/", {}, 200), ("GET", "/?as=operator", {}, 200), ("GET", "/static/shell.js", {}, 200),
        ("GET", "/act", {}, 405), ("PUT", "/act", {}, 405), ("OPTIONS", "/act", {}, 405), ("DELETE", "/act", {}, 405),
        ("GET", "/static/../gate.py", {}, 404), ("GET", "/static/%2e%2e/gate.py", {}, 404),
        ("GET", "/static/..%2fgate.py", {}, 404), ("GET", "/console//etc/passwd", {}, 404),
        ("GET", "/static/", {}, 404), ("GET", "/nothing", {}, 404), ("GET", "/live", {}, 404),
        ("POST", "/act", {"Origin": None}, 403), ("POST", "/act", {"Origin": "null"}, 403),
        ("POST", "/act", {"Origin": "http://127.0.0.1:1"}, 403), ("POST", "/act", {"Origin": "https://evil.example"}, 403),
        ("POST", "/act", {"Sec_Fetch_Site": "cross-site"}, 403), ("POST", "/act", {"Sec_Fetch_Site": "same-site"}, 403),
        ("POST", "/act", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/act", {"Content_Type": "text/plain"}, 415), ("POST", "/act", {"Content_Type": None}, 415),
    ],
)  # fmt: skip
def test_a_request_without_token_name_or_origin_changes_nothing(
    still: Console, method: str, path: str, headers: dict[str, Any], code: int
) -> None:
    found, sent, _ = Browser(still).request(method, path, NOTE if method == "POST" else None, **headers)
    assert found == code
    if headers.get("Host", "") is not None:  # else the server itself has answered
        assert sent["cache-control"] == "no-store"
        assert sent["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in sent["content-security-policy"]
        assert "frame-ancestors 'none'" in sent["content-security-policy"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 400), (b"[]", 400), (b"", 400), (b"null", 400), (b'"stop"', 400), (b"\xff", 400), (b"[" * 9000, 400),
        (b'{"do": "note", "text": "x"}', 400), (b'{"do": "note", "text": "x", "key": ""}', 400),
        (b'{"do": "note", "text": "x", "key": 7}', 400), (b'{"do": "rate", "key": "k", "rate": NaN}', 400),
        (b'{"do": "rate", "key": "k", "rate": Infinity}', 400), (b'{"do": "rate", "key": "k", "rate": -Infinity}', 400),
        (b'{"do": "strat", "key": "k"}', 400), (b'{"do": ["stop"], "key": "k"}', 400), (b'{"key": "k"}', 400),
        (b'{"do": "close", "key": "k"}', 400), (b'{"do": "picture", "key": "k"}', 400),
        (b'{"do": "note", "key": "k", "text": "' + b"x" * 2**20 + b'"}', 413),
        (b'{"do": "note", "key": "k", "text": "' + b"x" * 17_000 + b'"}', 413),
        (b'{"do": "note", "key": "k1", "text": "x"}', 423),  # without control
        (b'{"do": "start", "key": "k", "boot": "an earlier one", "version": 3}', 409),
        (b'{"do": "start", "key": "k"}', 409), (b'{"do": "control", "key": "k", "page": "no page"}', 422),
        (b'{"do": "file", "key": "k", "path": "../other.csv"}', 409),
    ],
)  # fmt: skip
def test_a_body_that_is_no_action_of_this_page_changes_nothing(
    still: Console, body: bytes, code: int
) -> None:
    assert Browser(still).request("POST", "/act", body)[0] == code


def test_every_role_may_do_what_it_may(still: Console) -> None:
    may = {"blind": {"note": 423, "unblind": 403, "table": 403}, "participant": {"note": 403, "answer": 422, "start": 403},
           "viewer": {"answer": 403, "start": 403, "control": 403}}  # fmt: skip
    for role, codes in may.items():
        for do, code in codes.items():
            assert Browser(still, role).act(do)[0] == code, (role, do)


def test_the_right_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_see(still: Console) -> None:
    for role, token in still.roles.tokens.items():
        code, sent, _ = Browser(still, role).request("GET", f"/enter?token={token}", Cookie=None)
        assert (code, sent["location"]) == (303, f"/?as={role}")
        assert {"httponly", "samesite=strict", "path=/"} <= set(sent["set-cookie"].lower().split("; "))
        page = Browser(still, role).request("GET", f"/?as={role}")[2]
        assert b"This is not the emergency stop" in page
    assert (still.folder / "console.json").stat().st_mode & 0o777 == 0o600


def test_a_request_without_any_host_and_one_that_never_ends(
    still: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_module, "BODY_SECONDS", 0.3)
    head = "".join(f"{name}: {value}\r\n" for name, value in Browser(still).headers().items())
    cases = {
        b"GET / HTTP/1.1\r\n\r\n": b"400", b"GET / HTTP/1.0\r\n\r\n": b"400", b"\x16\x03\x01\r\n\r\n": b"400",
        f"POST /act HTTP/1.1\r\n{head}Content-Length: 100\r\n\r\n{{".encode(): b"408",
    }  # fmt: skip
    for sent, code in cases.items():
        with socket.create_connection(("127.0.0.1", still.address.port), timeout=20) as raw:
            raw.sendall(sent)
            assert raw.recv(4096).split()[1] == code


def test_a_web_socket_of_another_origin_name_or_without_token_is_refused(still: Console) -> None:
    browser = Browser(still)
    for other, code in [
        ({"Origin": "http://127.0.0.1:1"}, 403), ({"Origin": "null"}, 403), ({"Origin": None}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403), ({"Cookie": None}, 401),
    ]:  # fmt: skip
        with pytest.raises(InvalidStatus) as refused, browser.page(**other):
            pass
        assert refused.value.response.status_code == code
    with socket.create_connection(("127.0.0.1", still.address.port), timeout=20) as raw:
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        raw.sendall(f"GET /live HTTP/1.1\r\nHost: evil.example\r\n{upgrade}{key}\r\n".encode())
        assert raw.recv(4096).split()[1] == b"421"


def test_a_session_by_requests(console: Console) -> None:
    operator, stack = console.begun()
    assert operator.act("start")[0] == 422  # not confirmed
    assert operator.act("rate", rate=4.0)[0] == 422  # nothing was walked
    assert operator.act("confirm", version=operator.seen()["version"] - 1)[0] == 409
    assert operator.act("confirm", boot="before the restart")[0] == 409
    assert operator.act("confirm")[0] == 200
    assert operator.act("start")[0] == 200
    assert operator.act("start")[0] == 422
    code, answer = operator.act("void", reason="0 minutes")
    assert (code, answer) == (200, {})
    assert console.engine.session.entries[0].minutes < 0.1
    operator.act("start")
    console.engine.walk(61)
    eventually(lambda: console.engine.engine.phase == "rate")
    for rate in ("4.2", True, None, 302, -1.0, [4.0]):
        assert operator.act("rate", rate=rate)[0] == 422, rate
    body = json.dumps({"do": "rate", "key": "big", "lease": operator.lease, **operator.seen(), "rate": 0})
    assert operator.request("POST", "/act", body.replace('"rate": 0', '"rate": 1e999').encode())[0] == 422
    seen = operator.seen()
    assert operator.act("rate", rate=4.2, key="once", **seen) == (200, {})
    events = len(console.engine.session.events)
    assert operator.act("rate", rate=4.2, key="once", **seen) == (200, {})
    assert len(console.engine.session.events) == events
    operator.act("void", reason="enough")
    for do, more in [
        ("amend", {"bout": 9, "rate": 4.0, "reason": "x"}), ("exclude", {"bout": 9, "reason": "x"}),
        ("limit", {"torque": 1.5, "reason": "x"}), ("limit", {"torque": 0.9, "reason": ""}),
        ("file", {"path": "../elsewhere.csv"}), ("file", {"path": "/etc/passwd"}), ("file", {"path": "a\0b"}),
        ("file", {"path": 7}),
    ]:  # fmt: skip
        code, answer = operator.act(do, **more)
        assert code == 422, do
        assert do != "file" or answer["error"].startswith(
            "path: expected a file in the folder of the session"
        )
    stack.close()


def test_control_is_held_by_one_page_taken_over_in_the_log_and_ends_with_the_page(console: Console) -> None:
    first, second = Browser(console), Browser(console)
    with first.page() as a, second.page() as b:
        assert first.act("note", text="x")[0] == 423
        assert first.take_control(a) == 200
        assert second.take_control(b) == 423
        assert first.act("note", text="x")[0] == 200
        assert second.take_control(b, take=True) == 200
        assert first.act("note", text="x")[0] == 423
        assert second.act("note", text="x")[0] == 200
        assert [body["who"] for body in console.engine.kinds("operator")] == [
            "the page of the operator on 127.0.0.1"
        ] * 2
        kept = console.gateway._own[b.name]  # with a name, so that no collection of garbage closes it
        b.socket.close()
        eventually(lambda: first.take_control(a) == 200)
        eventually(kept[1].done)
    eventually(lambda: not console.engine.server._who)


def test_stop_needs_the_token_and_the_host_only(console: Console) -> None:
    operator, stack = console.begun()
    operator.act("confirm")
    for number, (role, other) in enumerate(
        [
            ("viewer", {}), ("participant", {}), ("blind", {"Origin": None}), ("viewer", {"Origin": "https://evil.example"}),
            ("viewer", {"Sec_Fetch_Site": "cross-site", "Content_Type": "text/plain"}), ("operator", {"Origin": "null"}),
        ]
    ):  # fmt: skip
        assert operator.act("start")[0] == 200
        code = Browser(console, role).request("POST", f"/act?as={role}", b'{"do": "stop"}', **other)[0]
        assert code == 200
        assert [entry.status for entry in console.engine.session.entries] == ["void"] * (number + 1)
    assert Browser(console, "viewer").act("stop", version=1, boot="stale", lease="none")[0] == 200
    for other, code in [({"Cookie": None}, 401), ({"Host": "evil.example"}, 421)]:
        assert Browser(console).request("POST", "/act", b'{"do": "stop"}', **other)[0] == code
    assert len(console.engine.kinds("estop")) == 7
    stack.close()


def test_of_fifty_rates_at_once_one_is_written_and_a_hundred_with_one_key_are_one(console: Console) -> None:
    operator, stack = console.begun()
    operator.act("confirm")
    operator.act("start")
    console.engine.walk(61)
    eventually(lambda: console.engine.engine.phase == "rate")
    seen = operator.seen()
    with ThreadPoolExecutor(20) as pool:
        codes = Counter(pool.map(lambda i: operator.act("rate", rate=4.0 + i / 100, **seen)[0], range(50)))
        assert codes == {200: 1, 409: 49}
        assert len(console.engine.kinds("bout")) == 1
        same = [*pool.map(lambda _: operator.act("note", text="once", key="one"), range(100))]
        assert same == [(200, {})] * 100
        assert len(console.engine.kinds("note")) == 1
    stack.close()


def test_a_disk_that_is_full_is_said_and_recover_continues_with_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from policysearch.ledger import Ledger, LedgerError

    console = Console(tmp_path, log=tmp_path / "session.sqlite")
    operator, stack = console.begun()

    def full(*_: object) -> None:
        raise LedgerError("session.sqlite: cannot be written: No space left on device")

    with monkeypatch.context() as patched, Browser(console).page() as page:
        patched.setattr(Ledger, "commit", full)
        for do, message in (("note", {"text": "a cough"}), ("confirm", {}), ("recover", {})):
            code, answer = operator.act(do, **message)
            assert (code, "No space left" in answer["error"]) == (507, True)
        told = page.until(lambda told: told["state"].get("failed"))
        assert "No space left" in told["state"]["halted"]
    assert operator.act("recover") == (200, {})
    session = console.engine.engine.session
    assert [body["text"] for kind, body in session.events if kind == "note"] == ["a cough"]
    assert operator.act("confirm")[0] == 200
    stack.close()
    console.close()
    session.close()


@pytest.mark.nightly
def test_on_a_full_tmpfs_the_console_answers_507_and_recover_continues_with_nothing_lost(
    tmp_path: Path,
) -> None:
    from test_ledger_faults import mounted

    folder = tmp_path / "small"
    mounted(folder, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    try:
        console = Console(folder, log=folder / "session.sqlite")
        operator, stack = console.begun()
        with (folder / "rest").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 1024)
        os.truncate(folder / "rest", (folder / "rest").stat().st_size - 20_000)
        codes = [operator.act("note", text=f"{i} {'x' * 2000}")[0] for i in range(30)]
        written = codes.count(200)
        assert codes == [200] * written + [507] * (30 - written)
        assert 0 < written < 30
        assert operator.act("recover")[0] == 507
        (folder / "rest").unlink()
        assert operator.act("recover")[0] == 200
        session = console.engine.engine.session
        notes = [body["text"].split()[0] for kind, body in session.events if kind == "note"]
        assert notes == [str(i) for i in range(written + 1)]  # that which could not be written, too
        stack.close()
        console.close()
        session.close()
    finally:
        subprocess.run(["/bin/umount", "-l", str(folder)], check=True)


def test_twenty_pages_hear_of_a_bout_and_a_page_that_does_not_read_keeps_none_waiting(
    console: Console,
) -> None:
    operator, stack = console.begun()
    pages = [stack.enter_context(Browser(console, role).page()) for role in ("viewer", "blind") * 10]
    with socket.create_connection(("127.0.0.1", console.address.port)) as slow:  # it never reads
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head = "".join(f"{k}: {v}\r\n" for k, v in operator.headers().items() if k != "Content-Type")
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        slow.sendall(f"GET /live HTTP/1.1\r\n{head}{upgrade}{key}\r\n".encode())
        for i in range(60):
            assert operator.act("note", text=f"{i} " + "x" * 9000)[0] == 200
        operator.act("confirm")
        assert operator.act("start")[0] == 200
        for page in pages:
            page.until(lambda told: told.get("state", {}).get("phase") == "walking")
    stack.close()


def test_a_participant_and_a_viewer_see_no_law_and_no_result_and_a_blind_operator_no_law(
    console: Console,
) -> None:
    operator, stack = console.begun()
    operator.act("confirm")
    operator.act("start")
    told: dict[str, dict[str, Any]] = {}
    for role in ("operator", "blind", "participant", "viewer"):
        page = stack.enter_context(Browser(console, role).page())
        told[role] = page.until(
            lambda told: (
                told.get("state", {}).get("phase") == "walking"
                and (told["role"] not in ("operator", "blind") or "stride" in told["picture"])
            )
        )
    assert set(told["participant"]["state"]) == {"phase", "walked", "bout"}
    assert set(told["participant"]["state"]["bout"]) == {"number", "minutes", "purpose"}
    for role in ("participant", "viewer"):
        assert not told[role].keys() & {"picture", "said"}
        assert "N·m" not in json.dumps(told[role], ensure_ascii=False)
    assert len(told["operator"]["picture"]["curve"]) == 51
    assert told["operator"]["state"]["bout"]["law"]
    assert "curve" not in told["blind"]["picture"]
    assert told["blind"]["state"]["bout"]["law"] == told["blind"]["state"]["bout"]["path"] == []
    stack.close()


def test_what_a_person_answers_is_a_note_and_needs_no_control(console: Console) -> None:
    assert Browser(console, "participant").act("answer", text="comfort (0 to 10) 7")[0] == 200
    (note,) = console.engine.kinds("note")
    assert note["text"] == "the page of the participant on 127.0.0.1: comfort (0 to 10) 7"


def test_a_console_says_when_its_engine_dies_and_starts_another(tmp_path: Path) -> None:
    console = Console(tmp_path, log=tmp_path / "session.sqlite")
    operator, stack = console.begun()
    page = stack.enter_context(Browser(console).page())
    operator.act("confirm")
    operator.act("start")
    before = operator.seen()
    console.engine.close()
    page.until(lambda told: told["engine"]["status"] == "gone")
    for do in ("start", "stop"):
        code, answer = operator.act(do)
        assert (code, "use the physical stop" in answer["error"]) == (503, True)
    assert operator.act("engine")[0] == 200
    page.until(lambda told: told["engine"]["status"] == "live")
    assert operator.act("engine")[0] == 422
    assert [entry.status for entry in console.engine.session.entries] == ["void"]
    assert operator.act("start", **before)[0] == 409
    assert operator.act("start")[0] == 423  # control ended with the engine
    stack.close()
    console.close()


def test_an_engine_that_hangs_is_named_and_stop_says_so(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policysearch.watch.console.gateway.STOP_SECONDS", 0.5)
    monkeypatch.setattr("policysearch.watch.console.gateway.HUNG", 0.5)
    hangs = threading.Event()
    monkeypatch.setattr(console.engine.engine, "tick", lambda: hangs.wait(20))
    with Browser(console, "viewer").page() as page:
        page.until(lambda told: told["engine"]["status"] == "hung")
        code, answer = Browser(console, "viewer").act("stop")
        assert (code, answer["error"]) == (504, "the engine does not answer: use the physical stop")
        hangs.set()
        page.until(lambda told: told["engine"]["status"] == "live")
    eventually(lambda: console.engine.kinds("estop"))  # it is done when the engine wakes
