"""The engine: what follows what, when there is torque, who may act, and what is left when one of the processes dies."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
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
from policysearch.ledger import LedgerError

PLAN = SessionPlan(bouts=8, minutes=1.0, baseline=0.0, validation=0.0, options={"sigma": 0.01}, shuffle=False)


class Guard:
    """A guard that writes down what it is told; it dies when it is killed. Swing comes when it is set."""

    def __init__(self, highest: float, mass: float) -> None:
        self.told: list[Any] = []
        self.beats, self.stopped, self.dead, self.refused = 0, "not armed yet", "", ""
        self.highest, self.mass, self.swing = highest, mass, True
        self.asked: list[float] | None = None
        self.law: list[float] | None = None
        self.counts: dict[str, int] = {}

    def beat(self) -> None:
        self._live()
        self.beats += 1

    def set_law(self, law: Float[Array, "4"] | None) -> None:
        self._live()
        self.asked, self.refused = None if law is None else law.tolist(), ""
        self.told.append(self.asked)

    def lower(self, highest: float) -> None:
        self._live()
        self.told.append(("lower", highest))
        self.highest = highest

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
        stopped = self.dead or self.stopped
        self.law = None if stopped else self.asked if self.swing else self.law
        return SimpleNamespace(
            running=not self.dead,
            stop_reason=stopped,
            torque=[0.0],
            measured=[0.0],
            law=self.law if self.law == self.asked else None,  # between two laws, on some sides only
            waiting=self.law != self.asked,
            refused=self.refused,
            highest=self.highest,
            counts=dict(self.counts),
            device={"serial": "7"},
        )

    def close(self) -> None:
        self.told.append("close")

    def _live(self) -> None:
        if self.dead:
            raise RuntimeError(f"the guard process has ended: {self.dead}")


class Bench:
    """An engine with clocks that are set by hand, and a guard or none."""

    def __init__(
        self,
        plan: SessionPlan = PLAN,
        *,
        driven: bool = False,
        breaths: str = "",
        path: Path | None = None,
        walk_on: bool = False,
        delay: float = 0.0,
    ) -> None:
        self.now, self.guards = 0.0, list[Guard]()
        self.session = Session.begin(plan, path)
        inlet = Inlet(breaths, walk_on=walk_on, now=lambda: (self.now, 1e9 + self.now), delay=delay)
        self.engine = Engine(self.session, inlet, Drive(self._guard) if driven else None)

    @property
    def phase(self) -> str:
        return self.engine.phase

    @property
    def laws_in_force(self) -> list[list[float] | None]:
        return [body["law"] for kind, body in self.engine.session.events if kind == "law in force"]

    def _guard(self, highest: float, mass: float) -> Guard:
        self.guards.append(Guard(highest, mass))
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


def test_the_recording_of_the_whole_session_is_cut_for_every_bout_and_a_bout_is_taken_once(
    tmp_path: Path,
) -> None:
    path, ten = tmp_path / "cart.csv", datetime(2026, 3, 5, 10).timestamp()
    rows = [f"{t},{900 + t % 7},{800 + t % 5}" for t in range(3, 600, 3)]
    path.write_text(
        "\n".join(["Test time,10:00:00", "Weight (kg),80", "t,VO2,VCO2", "s,mL/min,mL/min", *rows])
    )
    bench = Bench(replace(PLAN, mass=72.0))
    bench.session._clock = lambda: ten + 100.0 + bench.now
    bench.engine.inlet = replace(bench.engine.inlet, delay=10.0)
    for number in (1, 2):
        for do in ("confirm", "start"):
            bench.act(do)
        bench.walk(60)
        assert bench.act("file", path=str(path)) == {"code": 200}
        assert "the file is of a body of 80 kg, the plan 72 kg" in bench.act("take")["doubt"]
        assert bench.act("take", sure=True) == {"code": 200}
        found = bench.session.entries[number - 1].breaths
        assert found is not None
        assert found.time[[0, -1]].tolist() == [60 * number + 51.0, 60 * number + 108.0]
    told = [body for kind, body in bench.session.events if kind == "file"]
    assert [body["delay"] for body in told] == [10.0, 10.0]
    assert bench.act("void", reason="the clock was set") == {"code": 200}
    bench.session._clock = lambda: ten + 100.0 + bench.now - 30.0
    for do in ("confirm", "start"):
        bench.act(do)
    bench.walk(60)
    assert "bout 2 has some of these breaths" in bench.act("file", path=str(path))["error"]


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


def test_a_rate_that_is_no_number_is_refused_as_that_where_one_is_wanted() -> None:
    bench = begun(driven=True)
    bench.walk(60)
    assert bench.phase == "rate"
    events = bench.session.events
    for rate in ("4.2", True, None, float("inf"), float("nan")):
        expected = {"code": 422, "error": f"rate: expected a number, got {rate!r}"}
        assert bench.act("rate", rate=rate) == expected
    assert bench.session.events == events


def test_a_rate_and_a_file_are_refused_before_the_bout_is_walked(tmp_path: Path) -> None:
    bench = Bench()
    bench.act("confirm")
    events = bench.session.events
    for do, arguments in (("rate", {"rate": 4.0, "sure": True}), ("file", {"path": str(tmp_path / "b.csv")})):
        expected = f"{do}: expected a bout that was walked and wants a rate, got the phase 'start'"
        assert bench.act(do, **arguments) == {"code": 422, "error": expected}
    assert bench.session.events == events


# ------------------------------------------------------------------------------------- results that follow


def test_the_law_changes_when_the_time_is_up_and_the_rate_follows_while_the_person_walks_on() -> None:
    bench, slow = begun(driven=True, walk_on=True), begun(driven=True)
    for number in range(1, 9):
        law = bench.session.next.law.tolist()  # type: ignore[union-attr]
        bench.walk(30)
        assert bench.guards[0].law == law
        if number > 1:
            assert bench.act("rate", rate=4.0 + 0.01 * (number - 1)) == {"code": 200}
        bench.walk(30)
        assert bench.phase == ("walking" if number < 8 else "rate")
        slow.walk(60)
        slow.act("rate", rate=4.0 + 0.01 * number)
    shown = actions.state(bench.engine)
    assert [late["number"] for late in shown["waiting"]] == [8]
    assert (shown["bout"]["number"], shown["bout"]["measured"]) == (8, True)
    assert bench.guards[0].law is None
    assert bench.act("rate", rate=4.08) == {"code": 200}
    assert bench.phase == slow.phase == "over"
    walked = [(entry.item, entry.law.tolist(), entry.rate, entry.minutes) for entry in bench.session.entries]
    assert walked == [(e.item, e.law.tolist(), e.rate, e.minutes) for e in slow.session.entries]


def test_a_rate_that_follows_may_be_doubtful_and_of_any_bout_that_waits() -> None:
    bench = begun(walk_on=True)
    bench.walk(130)
    shown = actions.state(bench.engine)
    assert [late["number"] for late in shown["waiting"]] == [1, 2]
    assert shown["line"].endswith("; without a rate: bout 1, 2")
    assert "not mL/kg/min" in bench.act("rate", rate=12.8)["doubt"]
    assert bench.act("rate", bout=2, rate=4.1) == {"code": 200}
    assert "has no rate yet" in bench.act("exclude", bout=1, reason="the mask")["error"]  # bout 3 is walked
    assert "one that waits for its rate (1), got 2" in bench.act("rate", bout=2, rate=4.1)["error"]
    assert bench.act("rate", rate=40.0, sure=True) == {"code": 200}
    assert [entry.rate for entry in bench.session.entries] == [40.0, 4.1]
    assert "has no rate yet" in bench.act("skip", reason="tired")["error"]
    assert "got the phase 'walking'" in bench.act("rate", rate=4.0)["error"]


def test_the_last_rate_of_a_generation_begins_the_next_one_or_its_bout_is_taken_out() -> None:
    bench = begun(walk_on=True, plan=replace(PLAN, bouts=16))
    for _ in range(7):
        bench.walk(60)
        bench.act("rate", rate=4.0)
    bench.walk(60)
    assert bench.phase == "rate"
    assert bench.act("undo", reason="nothing was wrong")["code"] == 200  # the last walk; it comes again
    assert bench.phase == "start"
    bench.act("start")
    bench.walk(60)
    assert bench.act("void", reason="the mask leaked") == {"code": 200}
    assert bench.session.entries[-1].status == "excluded"
    assert bench.session.next is not None
    assert bench.session.next.generation == 1


def test_a_doubtful_estimate_waits_while_the_person_walks_on(tmp_path: Path) -> None:
    path = tmp_path / "breaths.csv"
    path.write_text("time_s,power_W_per_kg\n")
    bench = begun(breaths=str(path), walk_on=True)
    for second in range(3, 64, 3):
        bench.walk(3)
        with path.open("a") as file:
            file.write(f"{second},{12.8 + 0.1 * (-1) ** second}\n")
    assert bench.phase == "walking"
    (late,) = actions.state(bench.engine)["waiting"]
    assert late["offer"]["rate"] == pytest.approx(12.8, abs=0.1)
    assert "not mL/kg/min" in late["offer"]["doubt"]
    assert "not mL/kg/min" in bench.act("take")["doubt"]
    assert bench.act("take", sure=True) == {"code": 200}
    entry = bench.session.entries[0]
    assert (entry.status, entry.rate) == ("measured", pytest.approx(12.8, abs=0.1))
    assert entry.breaths is not None
    assert "nothing is offered" in bench.act("take")["error"]


@pytest.mark.parametrize("walk_on", [True, False])
def test_breaths_that_come_by_the_carts_delay_after_a_bout_are_its_last(
    walk_on: bool, tmp_path: Path
) -> None:
    path = tmp_path / "breaths.csv"
    path.write_text("time_s,power_W_per_kg\n")
    bench = begun(breaths=str(path), walk_on=walk_on, delay=12.0)
    for second in range(3, 79, 3):  # a breath is of the bout from 12 s after its start to 12 s after its end
        bench.walk(3)
        with path.open("a") as file:
            file.write(f"{second},{(4.0 if 12 <= second < 72 else 9.0) + 0.1 * (-1) ** second}\n")
    bench.walk(1)
    entry = bench.session.entries[0]
    assert entry.status == "measured"
    assert entry.breaths is not None
    assert entry.breaths.time[[0, -1]].tolist() == [12.0, 69.0]  # each row is read within a second
    assert entry.rate == pytest.approx(4.0, abs=0.1)
    assert entry.minutes == 1.0
    started = [body["item"] for kind, body in bench.session.events if kind == "started"]
    assert len(started) == 2
    before = [kind for kind, _ in bench.session.events].index("result" if walk_on else "bout")
    assert (started[1] in [body.get("item") for _, body in bench.session.events[:before]]) == walk_on


def test_a_bout_that_waits_or_was_measured_takes_a_file(tmp_path: Path) -> None:
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    for path, rate in ((first, 4.0), (second, 3.5)):
        rows = [f"{3 * i},{rate + 0.1 * (-1) ** i}" for i in range(21)]
        path.write_text("\n".join(["time_s,power_W_per_kg", *rows]) + "\n")
    bench = begun(walk_on=True)
    bench.walk(70)
    assert bench.act("file", path=str(tmp_path / "none.csv"))["code"] == 422
    assert bench.act("file", path=str(first)) == {"code": 200}
    bench.walk(60)
    assert "bout 1 has " in bench.act("file", path=str(first))["error"]
    bench.act("void", reason="enough")
    bench.act("rate", rate=4.1)
    assert bench.act("amend", bout=1, path=str(second), reason="the right file")["code"] == 200
    entry = bench.session.entries[0]
    assert (entry.status, entry.rate) == ("amended", pytest.approx(3.5, abs=0.1))
    assert entry.breaths is not None
    assert entry.breaths.rate[0] == 3.6
    files = [body["name"] for kind, body in bench.session.events if kind == "file"]
    assert files == [str(first), str(second)]
    assert bench.act("amend", bout=9, path=str(second), reason="x")["code"] == 422


# ------------------------------------------------------------------------------------------------------- torque


def test_there_is_torque_in_bouts_only() -> None:
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
    bench.walk(5)
    assert bench.guards[0].law is None  # that of the bout which was stopped does not come back


def test_the_log_has_the_laws_that_the_device_followed_and_when() -> None:
    bench = begun(driven=True)
    (guard,), first = bench.guards, bench.session.next.law.tolist()  # type: ignore[union-attr]
    guard.swing = False
    bench.walk(5)
    assert bench.laws_in_force == []  # it waits for swing
    guard.swing = True
    bench.walk(55)
    assert bench.laws_in_force == [first]
    bench.walk(1)
    assert bench.laws_in_force == [first, None]
    guard.swing = False
    bench.act("rate", rate=4.0)
    bench.walk(3)
    assert bench.laws_in_force == [first, None]
    guard.swing = True
    bench.walk(1)
    second = bench.session.next.law.tolist()  # type: ignore[union-attr]
    guard.swing, guard.asked = False, first
    bench.walk(1)
    assert bench.laws_in_force == [first, None, second]  # between two laws none is followed on every side
    guard.stopped = "no heartbeat for 0.1 s"
    bench.walk(1)
    assert bench.laws_in_force == [first, None, second, None]


def test_a_law_that_the_guard_refuses_in_swing_voids_its_bout() -> None:
    bench = begun(driven=True)
    bench.guards[0].swing, bench.guards[0].refused = False, "law: expected at most 7.6 N·m/kg per s"
    bench.walk(1)
    assert bench.phase == "stopped"
    assert bench.session.entries[0].reason == "law: expected at most 7.6 N·m/kg per s"
    bench.act("arm", reason="longer strides")
    bench.walk(1)
    assert bench.phase == "start"


def test_a_lower_limit_is_in_the_guard_before_it_is_in_the_log_and_a_bout_with_more_is_void() -> None:
    bench = begun(driven=True, plan=replace(PLAN, start=(0.5, 50.0, 25.0, 10.0)))
    (guard,), torque = bench.guards, bench.session.next.law[0]  # type: ignore[union-attr]
    assert guard.highest == 1.0
    bench.walk(10)
    assert bench.act("limit", torque=0.9, reason="a precaution") == {"code": 200}
    assert (guard.highest, bench.phase) == (0.9, "walking")
    assert torque < 0.9
    assert bench.act("limit", torque=0.3, reason="it hurts") == {"code": 200}
    assert guard.told[-2:] == [("lower", 0.3), None]
    (entry,) = bench.session.entries
    assert (entry.status, entry.minutes) == ("void", pytest.approx(1 / 6))
    assert entry.reason == "the torque was limited to 0.3 N·m/kg: it hurts"
    assert bench.session.next is not None
    assert bench.session.next.law[0] == 0.3
    for refused, message in ((0.5, "at most 0.3"), (-1.0, "above 0"), (0.2, "a few words")):
        told = [*guard.told]
        assert message in bench.act("limit", torque=refused, reason=" " if refused == 0.2 else "x")["error"]
        assert guard.told == told
    bench.act("start")
    bench.walk(60)
    assert "walked with more torque" in bench.act("limit", torque=0.2, reason="it hurts")["error"]
    assert bench.act("rate", rate=4.0) == {"code": 200}


def test_a_corrected_mass_needs_another_guard() -> None:
    bench = Bench(replace(PLAN, upper_newton_metres=35.0), driven=True)
    bench.act("arm", reason="ready")
    assert (bench.guards[0].highest, bench.guards[0].mass) == (0.5, 70.0)
    assert bench.act("correct", field="standing_rate", value="1.3", reason="again")["code"] == 200
    assert len(bench.guards) == 1
    assert bench.act("correct", field="mass", value="50", reason="the scales")["code"] == 200
    assert (bench.phase, bench.guards[0].told[-1]) == ("stopped", "close")
    bench.act("arm", reason="ready")
    assert (bench.guards[1].highest, bench.guards[1].mass) == (0.7, 50.0)


def test_neither_law_nor_torque_of_a_blind_validation_is_shown() -> None:
    bench = Bench(replace(PLAN, validation=0.5, averaged=0.5, conditions="letters"), driven=True)
    bench.act("arm", reason="ready")
    while bench.session.next is not None and bench.session.next.purpose == "search":
        bench.act("confirm")
        bench.session.measured(4.0)
    seen = set()
    for _ in range(3):
        bench.act("confirm")
        bench.act("start")
        bench.walk(5)
        shown = actions.state(bench.engine)
        assert shown["bout"]["label"][:-1] == f"validation, bout {shown['bout']['number'] - 8} of 6: "
        seen.add((str(shown["bout"]["law"]), str(shown["bout"]["path"]), str(shown["guard"]["law"]), len(shown["guard"]["torque"])))  # fmt: skip
        bench.walk(25)
        bench.act("rate", rate=4.0)
    assert seen == {("[]", "[]", "None", 0)}


def test_what_the_guard_has_counted_in_a_bout_is_said_after_it() -> None:
    bench = begun(driven=True)
    bench.guards[0].counts = {"line: bytes that belong to no frame": 3}
    bench.walk(60)
    bench.act("rate", rate=4.0)
    bench.walk(60)
    said = [line for _, line in bench.engine.said if "counted" in line]
    assert said == ["the guard counted 3 × line: bytes that belong to no frame"]
    assert actions.state(bench.engine)["guard"]["counts"] == bench.guards[0].counts


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
    guard = Guard(1.0, 70.0)
    drive = Drive(lambda highest, mass: guard)
    drive.alive()
    drive.arm("ready", 1.0, 70.0)
    time.sleep(0.15)
    assert guard.beats >= 2
    time.sleep(0.5)
    beats = guard.beats
    time.sleep(0.2)
    assert guard.beats == beats
    drive.close()


# ------------------------------------------------------------------------------------------------- a full disk


@pytest.mark.parametrize(("seconds", "status"), [(20, "void"), (60, "measured")])
def test_a_full_disk_stops_torque_and_the_same_engine_continues_with_nothing_lost(
    seconds: int, status: str, tmp_path: Path
) -> None:
    path = tmp_path / "session.sqlite"
    bench = begun(driven=True, path=path)
    bench.walk(seconds)
    pages = bench.session._log._ledger._db  # type: ignore[union-attr]
    pages.execute("PRAGMA max_page_count = 1")  # no more than there are
    notes = 0
    while (answer := bench.act("note", text="x" * 500))["code"] == 200:
        notes += 1
    assert answer["code"] == 507
    assert "everything committed before is kept: make room" in answer["error"]
    assert (bench.phase, bench.guards[0].told[-1]) == ("stopped", "stop")
    bench.walk(3)
    assert bench.act("rate", rate=4.0)["code"] == 507
    shown = actions.state(bench.engine)
    assert (shown["failed"], shown["halted"]) == (True, answer["error"])
    assert [line for _, line in shown["said"]].count(answer["error"]) == 1
    pages.execute("PRAGMA max_page_count = 1000000")
    assert bench.act("rate", rate=4.0)["code"] == 409  # it is looked at first
    assert bench.act("arm", reason="there is room")["code"] == 200
    if status == "measured":
        assert bench.act("rate", rate=4.0) == {"code": 200}
    bench.engine.close()
    bench.engine.session.close()
    kept = SessionView.of(path)
    assert kept.entries[0].status == status
    assert [kind for kind, _ in kept.events].count(
        "note"
    ) == notes + 1  # that which could not be written, too
    if status == "void":
        assert kept.entries[0].reason == "the log could not be written while it was walked"


def test_an_engine_whose_log_fails_at_its_end_still_ends_the_guard(tmp_path: Path) -> None:
    bench = begun(driven=True, path=tmp_path / "session.sqlite")
    bench.session._log._failed = True
    with pytest.raises(LedgerError):
        bench.engine.close()
    assert bench.guards[0].told[-2:] == ["stop", "close"]


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
    seen = line.state["version"]
    for _ in range(2):  # a note moves nothing
        assert line.ask(do="note", text="another", lease=lease, version=seen)["code"] == 200
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
    while told[-1].get("state", {}).get("events") != line.state["events"]:
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


@pytest.mark.nightly
def test_the_process_of_an_engine_survives_a_full_disk(tmp_path: Path) -> None:
    connection = client.EngineConnection(started(tmp_path))
    told = json.loads((tmp_path / client.ADDRESS).read_text())
    for do in ("confirm", "start"):
        assert connection.act(do)["code"] == 200
    size = (tmp_path / "session.sqlite-wal").stat().st_size
    unlimited = resource.prlimit(told["pid"], resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    assert connection.act("note", text="a cough")["code"] == 507
    assert connection.act("rate", rate=4.0)["code"] == 507
    assert connection.state["phase"] == "stopped"
    connection.wait(1.0)
    resource.prlimit(told["pid"], resource.RLIMIT_FSIZE, unlimited)
    assert connection.act("recover")["code"] == 200
    assert connection.state["phase"] == "start"
    connection.close()
    kept = SessionView.of(tmp_path / "session.sqlite")
    assert [entry.status for entry in kept.entries] == ["void"]
    assert ("note", "a cough") in [(kind, body.get("text")) for kind, body in kept.events]


def torques(path: Path) -> list[float]:
    """The larger torque of the two sides at every tick so far, in N·m."""
    rows = [line.split(",")[1:] for line in path.read_text().splitlines() if line[:1].isdigit()]
    return [max(map(float, row)) for row in rows]


def eventually(holds: Any, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.nightly  # real time
def test_a_limit_binds_in_the_running_guard_and_the_log_has_what_the_device_followed(tmp_path: Path) -> None:
    log = tmp_path / "ankle.csv"
    device = {
        "device": "policysearch.hitl.guard.device:SimulatedAnkle", "slope": 20.0, "stop_time": 0.3,
        "options": {"log": str(log), "stride_time": 1.0}, "records": str(tmp_path / "records"),
    }  # fmt: skip
    arguments = {"log": str(tmp_path / "session.sqlite"), "plan": PLAN.document(), "device": device}
    with client.EngineConnection(client.started(arguments | {"inlet": {"walk_on": True}})) as connection:
        for do in ("arm", "confirm", "start"):
            assert connection.act(do, reason="ready")["code"] == 200
        eventually(lambda: max(torques(log), default=0.0) > 10.0)  # the law in force is logged meanwhile
        law = [
            float(text) for text in SessionView.of(tmp_path / "session.sqlite").events[-1][1].get("law") or []
        ]
        assert connection.act("limit", torque=0.05, reason="it hurts")["code"] == 200
        seen = len(torques(log))
        eventually(lambda: len(torques(log)) > seen + 200)
        assert max(torques(log)[seen + 100 :]) <= 0.05 * PLAN.mass
        connection.wait(0.2)
        assert connection.state["guard"]["highest"] == 0.05
        assert connection.state["phase"] == "start"
        assert connection.act("start")["code"] == 200
        eventually(lambda: max(torques(log)[-100:]) > 0.04 * PLAN.mass)
        connection.wait(0.2)
    session = SessionView.of(tmp_path / "session.sqlite")
    followed = [body["law"] for kind, body in session.events if kind == "law in force"]
    assert followed[0] == pytest.approx(law)
    assert followed[1] is None
    assert followed[2][0] == 0.05
    assert [entry.status for entry in session.entries] == ["void", "void"]


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
