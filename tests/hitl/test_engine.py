"""The engine: what follows what, when there is torque, who may act, and what is left when one of the processes dies."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jaxtyping import Float

from policysearch.core import Array
from policysearch.hitl.engine import actions, client, server
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.drive import Drive
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView

PLAN = SessionPlan(bouts=8, minutes=1.0, baseline=0.0, validation=0.0, options={"sigma": 0.01}, shuffle=False)


class Guard:
    """A guard that writes down what it is told; it dies when it is killed."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.beats, self.stopped, self.dead = 0, "not armed yet", ""

    def beat(self) -> None:
        self._live()
        self.beats += 1

    def set_law(self, law: Float[Array, "4"] | None) -> None:
        self._live()
        self.told.append(None if law is None else law.tolist())

    def stop(self, reason: str) -> None:
        self._live()
        self.told.append("stop")
        self.stopped = reason

    def arm(self, reason: str) -> None:
        self._live()
        if not reason:
            raise ValueError("reason: expected the operator's words, got ''")
        self.told.append("arm")
        self.stopped = ""

    def status(self) -> Any:
        return SimpleNamespace(
            running=not self.dead,
            stop_reason=self.dead or self.stopped,
            torque=[0.0],
            law=None,
            device={"serial": "7"},
        )

    def close(self) -> None:
        self.told.append("close")

    def _live(self) -> None:
        if self.dead:
            raise RuntimeError(f"the guard process has ended: {self.dead}")


class Bench:
    """An engine with clocks that are set by hand, and a guard or none."""

    def __init__(self, plan: SessionPlan = PLAN, *, driven: bool = False, breaths: str = "") -> None:
        self.now, self.guards = 0.0, list[Guard]()
        self.session = Session.begin(plan)
        inlet = Inlet(breaths, True, lambda: (self.now, 1e9 + self.now))
        self.engine = Engine(self.session, inlet, Drive(self._guard) if driven else None)

    @property
    def phase(self) -> str:
        return self.engine.phase

    def _guard(self) -> Guard:
        self.guards.append(Guard())
        return self.guards[-1]

    def act(self, do: str, **arguments: Any) -> dict[str, Any]:
        return actions.act(self.engine, {"do": do} | arguments)

    def walk(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.now += 1.0
            self.engine.tick()


def begun(**options: Any) -> Bench:
    """A bench whose first bout is walked."""
    bench = Bench(**options)
    if bench.engine.drive is not None:
        assert bench.act("arm", reason="ready")["code"] == 200
    for do in ("confirm", "start"):
        assert bench.act(do) == {"code": 200}
    assert bench.phase == "walking"
    return bench


# --------------------------------------------------------------------------------------------------- the course


def test_a_bout_follows_the_other_by_itself_once_its_rate_is_written() -> None:
    bench = begun()
    for number in range(1, 8):
        bench.walk(60)
        assert bench.phase == "rate"
        assert bench.act("rate", rate=4.0 + 0.01 * number) == {"code": 200}
        assert bench.phase == "walking"
    bench.walk(60)
    bench.act("rate", rate=4.1)
    assert bench.phase == "over"
    kinds = [kind for kind, _ in bench.session.events]
    assert (kinds.count("confirm"), kinds.count("started"), kinds.count("ended")) == (1, 8, 8)


def test_a_new_region_and_a_client_that_is_gone_end_the_sequence() -> None:
    bench = begun(plan=replace(PLAN, options={"sigma": 0.5}))
    bench.walk(60)
    bench.act("rate", rate=4.0)
    assert bench.phase == "confirm"
    assert bench.act("start")["code"] == 422
    bench.act("confirm")
    assert bench.phase == "walking"  # the sequence continues
    alone = begun()
    alone.walk(30)
    alone.engine.attended = False
    alone.walk(30)
    alone.act("rate", rate=4.0)
    assert alone.phase == "start"


def test_what_is_typed_meanwhile_touches_neither_the_clock_nor_the_bout() -> None:
    bench = begun()
    bench.walk(20)
    for do, arguments in (("note", {"text": "a cough"}), ("adverse", {"text": "a blister"}), ("table", {})):
        assert bench.act(do, **arguments)["code"] == 200
    for do in ("skip", "undo", "retest", "day", "end"):
        assert "walked and has no rate yet" in bench.act(do, reason="x")["error"]
    bench.walk(40)
    assert bench.phase == "rate"
    assert bench.engine.walked == 1.0


def test_a_breath_file_is_looked_at_before_the_bout(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    path.write_text("time,watts\n")
    bench = Bench(breaths=str(path))
    bench.act("confirm")
    assert "expected the columns time_s" in bench.act("start")["error"]
    assert bench.phase == "start"
    path.write_text("time_s,power_W_per_kg\n")
    assert bench.act("start") == {"code": 200}
    path.write_text("")
    bench.walk(1)  # it has become shorter
    assert bench.phase == "rate"
    assert bench.act("void", reason="the file")["code"] == 200
    assert bench.session.entries[0].status == "void"


def test_breaths_with_a_gap_are_taken_with_a_word_and_hash_and_a_gap_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    path.write_text("time_s,power_W_per_kg,heart_rate_bpm\n")
    bench = begun(plan=replace(PLAN, minutes=2.0), breaths=str(path))
    for second in range(3, 121, 3):
        bench.walk(3)
        if not 50 < second < 68:
            with path.open("a") as file:
                file.write(f"{second},{4.0 + 0.1 * (-1) ** second},95\n")
    bench.walk(1)
    entry = bench.session.entries[0]
    assert entry.status == "measured"
    assert entry.breaths is not None
    assert entry.breaths.gases["heart_rate_bpm"][0] == 95.0
    told = {kind: body for kind, body in bench.session.events if kind in ("gap", "file")}
    assert told["gap"]["seconds"] == 21.0
    assert told["file"]["name"] == str(path)
    assert len(told["file"]["sha256"]) == 64
    assert any("no breath for 21 s" in line for _, line in bench.engine.said)


def test_a_rate_of_a_bout_that_was_broken_off_says_so_in_the_log() -> None:
    bench = begun()
    bench.walk(20)
    bench.now += 100.0
    bench.engine.tick()
    assert bench.phase == "rate"
    bench.act("rate", rate=4.0)
    entry = bench.session.entries[0]
    assert entry.status == "measured"
    assert entry.reason == "void: 100 s passed between two looks at the clock: the computer slept or hung; its rate was given all the same"  # fmt: skip


def test_a_wall_clock_that_is_set_during_a_bout_is_a_note() -> None:
    bench = begun()
    steps = iter([0.0, -7200.0])
    bench.engine.count._now = lambda: (bench.now, 1e9 + bench.now + next(steps, -7200.0))  # type: ignore[union-attr]
    bench.walk(3)
    assert bench.phase == "walking"
    notes = [body["text"] for kind, body in bench.session.events if kind == "note"]
    assert notes == ["the wall clock advanced by -7199 s in 1 s: it was set"]


@pytest.mark.parametrize(
    ("do", "arguments", "code"),
    [
        ("strat", {}, 400), (7, {}, 400), ("start", {}, 422), ("rate", {"rate": "4.2"}, 422), ("rate", {"rate": True}, 422),
        ("rate", {"rate": float("inf")}, 422), ("rate", {"rate": 302.0}, 422), ("rate", {"rate": 4.0}, 422),
        ("amend", {"bout": 7, "rate": 4.0, "reason": "x"}, 422), ("exclude", {"bout": 1.5, "reason": "x"}, 422),
        ("limit", {"torque": 0.9, "reason": ""}, 422), ("limit", {"torque": 2.0, "reason": "x"}, 422),
        ("note", {"text": " "}, 422), ("note", {"text": 5}, 422), ("void", {"reason": "x"}, 422), ("take", {}, 422),
        ("arm", {"reason": "x"}, 422), ("file", {"path": "/nowhere"}, 422),
    ],
)  # fmt: skip
def test_what_cannot_be_done_gets_a_code_and_changes_nothing(
    do: Any, arguments: dict[str, Any], code: int
) -> None:
    bench = Bench()
    events = bench.session.events
    assert bench.act(do, **arguments)["code"] == code
    assert bench.session.events == events


# ------------------------------------------------------------------------------------------------------- torque


def test_there_is_torque_in_bouts_only_and_the_log_has_every_law_in_force() -> None:
    bench = Bench(driven=True)
    assert bench.phase == "stopped"
    assert bench.act("confirm")["code"] == 422
    bench = begun(driven=True)
    (guard,) = bench.guards
    law = bench.session.next.law.tolist() if bench.session.next else None
    bench.walk(60)
    assert guard.told[-2:] == [law, None]
    bench.act("rate", rate=4.0)
    assert guard.told[-1] == bench.session.next.law.tolist()  # type: ignore[union-attr]
    laws = [body["law"] for kind, body in bench.session.events if kind == "law in force"]
    assert laws == [told for told in guard.told if told not in ("arm", "stop")]
    assert ("device", "7") in [(kind, body.get("serial")) for kind, body in bench.session.events]


def test_a_stop_reaches_the_guard_first_voids_the_bout_and_stays_until_it_is_armed() -> None:
    bench = begun(driven=True)
    bench.walk(15)
    assert bench.act("stop", who="the page", reason="it hurts")["code"] == 200
    assert bench.guards[0].told[-1] == "stop"
    (entry,) = bench.session.entries
    assert (entry.status, entry.minutes, entry.reason) == ("void", 0.25, "it hurts")
    assert ("estop", "the page") in [(kind, body.get("who")) for kind, body in bench.session.events]
    assert bench.phase == "stopped"
    bench.walk(60)
    assert bench.act("start")["code"] == 422
    assert bench.guards[0].told[-1] == "stop"
    bench.act("arm", reason="it does not any more")
    assert bench.phase == "start"


def test_a_guard_that_stops_or_dies_voids_the_bout_and_another_is_armed() -> None:
    for how in ("stopped", "dead"):
        bench = begun(driven=True)
        bench.walk(15)
        setattr(bench.guards[0], how, "no heartbeat for 0.1 s")
        bench.walk(1)
        assert bench.phase == "stopped"
        assert bench.session.entries[0].reason == "no heartbeat for 0.1 s"
        bench.act("arm", reason="again")
        assert len(bench.guards) == (2 if how == "dead" else 1)
        assert bench.act("start") == {"code": 200}


def test_the_heart_beats_through_a_slow_engine_and_not_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policysearch.hitl.engine.drive.LAPSE", 0.3)
    guard = Guard()
    drive = Drive(lambda: guard)
    drive.alive()
    drive.arm("ready")
    time.sleep(0.15)
    assert guard.beats >= 2
    time.sleep(0.5)
    beats = guard.beats
    time.sleep(0.2)
    assert guard.beats == beats
    drive.close()


# ------------------------------------------------------------------------------------------- clients and processes


class Line:
    """A client that sends what it likes."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")
        self.state = json.loads(self.file.readline())["state"]

    def ask(self, **message: Any) -> dict[str, Any]:
        message.setdefault("key", os.urandom(8).hex())
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            told: dict[str, Any] = json.loads(self.file.readline())
            self.state = told.get("state", self.state)
            if "answer" in told:
                return told

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, Bench]]:
    bench = Bench()
    path = tmp_path / "s"
    each = server.Server(bench.engine, path)
    thread = threading.Thread(target=each.run)
    thread.start()
    yield path, bench
    each.leaving = True
    thread.join()
    each.close()


def test_one_client_has_control_and_every_other_may_stop(served: tuple[Path, Bench]) -> None:
    first, second = Line(served[0]), Line(served[0])
    assert second.ask(do="note", text="x")["code"] == 423
    lease = first.ask(do="control", who="the first")["lease"]
    refused = second.ask(do="control", who="the second", key="k")
    assert refused == {"answer": "k", "code": 423, "error": "the first has control"}
    assert second.ask(do="note", text="x", lease="made up")["code"] == 423
    assert second.ask(do="stop", who="the second", reason="stop")["code"] == 200
    assert second.ask(do="table")["code"] == 200
    taken = second.ask(do="control", who="the second", take=True)["lease"]
    assert first.ask(do="note", text="x", lease=lease)["code"] == 423
    assert second.ask(do="note", text="x", lease=taken)["code"] == 200
    second.close()
    while first.ask(do="control", who="the first")["code"] == 423:
        time.sleep(0.01)
    first.close()


def test_a_key_is_done_once_and_a_stale_version_or_boot_is_refused(served: tuple[Path, Bench]) -> None:
    line, (_, bench) = Line(served[0]), served
    lease = line.ask(do="control", who="one")["lease"]
    answers = [line.ask(do="note", text="once", key="k", lease=lease) for _ in range(20)]
    assert len({json.dumps(answer) for answer in answers}) == 1
    assert [kind for kind, _ in bench.session.events].count("note") == 1
    stale = line.state["version"] - 1
    assert line.ask(do="confirm", lease=lease, version=stale)["code"] == 409
    assert line.ask(do="confirm", lease=lease, boot="another")["code"] == 409
    assert line.ask(do="confirm", lease=lease, version=line.state["version"])["code"] == 200
    for garbage in (b"{\n", b"[]\n", b'{"do": "note"}\n', b'{"key": 7}\n', b"\xff\n"):
        line.socket.sendall(garbage)
        while "answer" not in (told := json.loads(line.file.readline())):
            pass
        assert told["code"] == 400
    line.close()


def test_a_client_that_does_not_read_keeps_the_engine_waiting_for_nothing_and_gets_the_last_state(
    served: tuple[Path, Bench],
) -> None:
    deaf, line = Line(served[0]), Line(served[0])
    lease = line.ask(do="control", who="one")["lease"]
    deaf.socket.sendall(b'{"do": "table", "key": "t"}\n')
    served[1].engine.say("x" * 4000)
    for _ in range(200):  # more states than the socket holds
        assert line.ask(do="note", text="x", lease=lease)["code"] == 200
    told = [json.loads(deaf.file.readline())]
    while told[-1].get("state", {}).get("version") != line.state["version"]:
        told.append(json.loads(deaf.file.readline()))
    assert len(told) < 150
    assert [each["answer"] for each in told if "answer" in each] == ["t"]
    deaf.close()
    line.close()


def test_what_a_person_answers_and_what_pages_draw_need_no_control(served: tuple[Path, Bench]) -> None:
    line, (_, bench) = Line(served[0]), served
    assert line.ask(do="answer", who="the person", text=" ")["code"] == 422
    assert line.ask(do="answer", who="the person", text="comfort 7")["code"] == 200
    assert [body["text"] for kind, body in bench.session.events if kind == "note"] == [
        "the person: comfort 7"
    ]
    drawn = json.loads(line.ask(do="picture", key="p")["text"])
    assert (len(drawn["curve"]), drawn["log"][-1][2]) == (51, "note")
    assert 0.5 < max(drawn["curve"]) < 0.53
    line.ask(do="answer", text="again")
    assert json.loads(line.ask(do="picture", key="p")["text"])["log"][-1][0] > drawn["log"][-1][0]
    line.close()


def laws(path: Path) -> list[tuple[str, list[float]]]:
    return [(entry.item, entry.law.tolist()) for entry in SessionView.of(path).entries]


def started(folder: Path, **inlet: Any) -> client.StartedEngine:
    arguments = {"log": str(folder / "session.sqlite"), "plan": None, "inlet": inlet, "device": {}}
    if not (folder / "session.sqlite").exists():
        arguments["plan"] = PLAN.document()
    return client.started(arguments)


def test_killed_engine_and_killed_client_lose_nothing_and_the_api_walks_the_laws_of_the_terminal(
    tmp_path: Path,
) -> None:
    # the engine is killed in a bout: the next one finds it void
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(client.EngineConnection(started(tmp_path)))
        pid = json.loads((tmp_path / client.ADDRESS).read_text())["pid"]
        assert connection.act("confirm")["code"] == 200
        assert connection.act("start")["code"] == 200
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Exception, match="the engine has ended"):
            connection.wait(30)
    assert client.there(tmp_path) is None
    connection = client.EngineConnection(started(tmp_path, timed=False))
    assert [entry.status for entry in SessionView.of(tmp_path / "session.sqlite").entries] == ["void"]
    # the client is killed: the engine ends by itself, and its session continues
    connection._socket.close()
    assert connection._process is not None
    connection._process.wait(30)
    limit = time.monotonic() + 30
    while (tmp_path / client.ADDRESS).exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    with client.EngineConnection(started(tmp_path, timed=False)) as connection:
        while connection.state["phase"] != "over":
            if connection.state["phase"] == "confirm":
                assert connection.act("confirm")["code"] == 200
            else:
                assert (
                    connection.act("rate", rate=4.0 + 0.01 * connection.state["bout"]["number"])["code"]
                    == 200
                )
    typed = Session.begin(PLAN)
    typed.confirm()
    typed.void("killed", 0.0)
    for number in range(2, 10):
        if typed.entering:
            typed.confirm()
        typed.measured(4.0 + 0.01 * number)
    assert laws(tmp_path / "session.sqlite") == [(e.item, e.law.tolist()) for e in typed.entries]


@pytest.mark.nightly
def test_nothing_is_imported_between_arming_and_the_end(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from policysearch.hitl.engine import actions, server\n"
        "from test_engine import PLAN\n"
        "engine = server.opened(sys.argv[1], PLAN.document(), {'timed': False}, {})\n"
        "actions.state(engine)\n"
        "before = {*sys.modules}\n"
        "while engine.session.next:\n"
        "    actions.act(engine, {'do': 'confirm'})\n"
        "    actions.act(engine, {'do': 'rate', 'rate': 4.0})\n"
        "    actions.state(engine)\n"
        "print(sorted({*sys.modules} - before))\n"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent.parent}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.sqlite")],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def torques(path: Path) -> list[float]:
    """The larger torque of the two sides at every tick so far, in N·m."""
    rows = [line.split(",")[1:] for line in path.read_text().splitlines() if line[:1].isdigit()]
    return [max(map(float, row)) for row in rows]


def eventually(holds: Any, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.nightly  # real time, on processors that nothing else loads
@pytest.mark.parametrize("dies", ["engine", "client", "guard"])
def test_torque_is_zero_soon_after_engine_client_or_guard_dies(dies: str, tmp_path: Path) -> None:
    log = tmp_path / "ankle.csv"
    device = {
        "device": "policysearch.hitl.guard.device:SimulatedAnkle", "slope": 20.0, "stop_time": 0.3,
        "options": {"log": str(log), "stride_time": 1.0}, "records": str(tmp_path / "records"),
    }  # fmt: skip
    arguments = {
        "log": str(tmp_path / "session.sqlite"),
        "plan": PLAN.document(),
        "inlet": {},
        "device": device,
    }
    connection = client.EngineConnection(client.started(arguments))
    engine = json.loads((tmp_path / client.ADDRESS).read_text())["pid"]
    for do in ("arm", "confirm", "start"):
        answer = connection.act(do, reason="ready")
        assert answer["code"] == 200, answer
    eventually(lambda: max(torques(log), default=0.0) > 10.0)
    if dies == "engine":
        os.kill(engine, signal.SIGKILL)
    elif dies == "guard":
        children = Path(f"/proc/{engine}/task/{engine}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
    else:
        connection._socket.close()
        bystander = Line(client.there(tmp_path).socket)  # type: ignore[union-attr]
        assert bystander.state["phase"] == "walking"  # to its end
        assert bystander.ask(do="stop", who="a bystander", reason="enough")["code"] == 200
        bystander.close()
    ended = (lambda: log.read_text().endswith("closed\n")) if dies != "client" else (lambda: True)
    eventually(lambda: ended() and not any(torques(log)[-1 if dies != "client" else -20 :]))
    highest = max(torques(log))
    assert highest <= PLAN.upper_torque * PLAN.mass
    if dies == "guard":
        connection.wait(0.5)
        assert connection.state["phase"] == "stopped"
    if dies == "client":
        assert connection._process is not None
        connection._process.wait(30)  # it ends by itself
    else:
        connection.close()
    with Session.resume(tmp_path / "session.sqlite") as session:
        assert [entry.status for entry in session.entries] == ["void"]
