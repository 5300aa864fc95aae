"""What `test_lsl.py` does in a network of its own: senders, inlets, outlets. It is no test file: liblsl is told first."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pylsl
import pytest

from policysearch.exoskeleton.respirometry import brockway
from policysearch.hitl import lsl
from policysearch.hitl.engine import actions
from policysearch.hitl.engine.course import Inlet
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session


def sender(source_id: str, *channels: tuple[str, str]) -> pylsl.StreamOutlet:
    info = pylsl.StreamInfo("test", "Test", len(channels), pylsl.IRREGULAR_RATE, pylsl.cf_double64, source_id)
    listed = info.desc().append_child("channels")
    for label, unit in channels:
        each = listed.append_child("channel")
        each.append_child_value("label", label)
        each.append_child_value("unit", unit)
    return pylsl.StreamOutlet(info)


def until(wanted: Callable[[], Any], seconds: float = 20.0) -> Any:
    limit = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


def a_stream_is_one_and_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsl, "WAIT", 1.0)
    with pytest.raises(ValueError, match="expected a stream whose source_id is 'cart', got none in 1 s"):
        lsl.Stream("cart")
    senders = [sender("cart", ("VO2", "mL/min")) for _ in range(2)]
    resolver = pylsl.ContinuousResolver(prop="source_id", value="cart")
    until(lambda: len(resolver.results()) == 2)
    monkeypatch.setattr(lsl, "WAIT", 5.0)
    monkeypatch.setattr(lsl.time, "sleep", lambda _, sleep=time.sleep: sleep(1.0))  # both have answered then
    with pytest.raises(ValueError, match="expected one stream whose source_id is 'cart', got 2, of"):
        until(lambda: lsl.Stream("cart") and False)
    del senders


def breaths_are_read_by_label_and_unit_and_a_sender_that_restarts_is_a_pause() -> None:
    for channels, message in (
        ([("VO2", "mL/min"), ("VCO2", "kg")], "expected vco2 in ml/min or l/min, got 'kg'"),
        ([("VO2", "mL/min"), ("RR", "")], "expected the channels VO2 and VCO2, got vo2, rr"),
    ):
        out = sender(f"wrong {len(message)}", *channels)
        with pytest.raises(ValueError, match=message):
            lsl.Breathing(lsl.Stream(f"wrong {len(message)}"), 70.0)
        del out
    channels = [("HR", "bpm"), ("V'O2", "L/min"), ("V'CO2", "mL/min")]
    out = sender("k5", *channels)
    breathing = lsl.Breathing(lsl.Stream("k5"), 70.0)
    until(out.have_consumers)
    out.push_sample([101.0, 1.2, 1000.0])
    ((at, rate),) = until(breathing.new)
    assert rate == float(brockway(np.array([1200.0]), np.array([1000.0]))[0] / 70.0)
    assert dict(zip(breathing.columns, breathing.gases[at], strict=True)) == {
        "heart_rate_bpm": 101.0, "vo2_ml_min": 1200.0, "vco2_ml_min": 1000.0,
    }  # fmt: skip
    del out
    until(lambda: breathing.new() or breathing.stream._inlet is None)
    assert breathing.new() == []
    time.sleep(0.5)
    again = sender("k5", *channels)

    def arrived() -> list[tuple[float, float]]:
        again.push_sample([99.0, 1.1, 900.0])
        return breathing.new()

    until(arrived)
    (pause,) = breathing.stream.pauses
    assert 0.4 < pause < 20.0


def markers_have_letters_and_a_number_is_the_mean_of_the_last_half() -> None:
    now = [0.0]
    plan = SessionPlan(
        objective="lsl:speed", measure="speed", unit="m/s", better="higher", bouts=8, minutes=1.0, baseline=0.0,
        validation=1.0, averaged=0.5, conditions="letters",
    )  # fmt: skip
    out = sender("speed", ("speed", "m/s"))
    session = Session.begin(plan)
    inlet = Inlet(now=lambda: (now[0], 1e9 + now[0]), **lsl.inlets({"markers": "lab"}, plan.objective, 70.0))
    engine = Engine(session, inlet)
    streams, before = lsl.Streams(engine, "lab"), len(session.events)
    (found,) = pylsl.resolve_byprop("source_id", "lab-markers", timeout=10.0)
    reader = pylsl.StreamInlet(found, recover=False)
    reader.open_stream(timeout=10.0)
    until(out.have_consumers)

    def walk(values: list[float]) -> None:
        if engine.phase == "confirm":
            actions.act(engine, {"do": "confirm"})
        if engine.phase == "start":
            actions.act(engine, {"do": "start"})
        out.push_sample([1e6])  # before the bout is seen
        time.sleep(0.05)
        streams.look()
        begun, first = pylsl.local_clock(), len(engine.inlet.number._samples)
        for place, value in enumerate(values):
            out.push_sample([value], begun + 60.0 * place / (len(values) - 1))
        until(lambda: streams.look() or len(engine.inlet.number._samples) == first + len(values))  # type: ignore[func-returns-value]
        for _ in range(61):
            now[0] += 1.0
            engine.tick()

    engine.going = False
    walk([5.0, 5.0, 1.0, 1.2, 1.4])  # at 0, 15, 30, 45 and 60 s
    assert session.entries[0].rate == pytest.approx(1.3)  # of those after 30 s
    while session.next is not None and session.next.purpose == "search":
        walk([2.0, 1.0, 2.0, 1.5])
    walk([1.0, 1.0, 1.0])
    streams.look()
    told: list[dict[str, Any]] = []

    def all_told() -> bool:
        told.extend(json.loads(text) for (text,) in reader.pull_chunk(timeout=0.1, max_samples=1000)[0])
        return len(told) == len(session.events) - before

    until(all_told)
    kinds = [marker["kind"] for marker in told]
    assert kinds == [kind for kind, _ in session.events[before:]]
    assert [marker["event"] for marker in told] == [*range(before + 1, len(session.events) + 1)]
    assert told[kinds.index("started")]["label"] == "generation 1, bout 1 of 8"
    text = json.dumps(
        [
            marker
            for marker in told
            if marker.get("purpose") == "validation" or "validation" in marker.get("label", "")
        ]
    )
    assert "validation, bout 1 of 6: A" in text
    assert not [name for name in plan.validated if name in text]
    engine.close()


def torques_are_sent_five_times_a_second() -> None:
    engine = Engine(Session.begin(SessionPlan()), Inlet())
    shown = {"torque": [0.25, None], "measured": [0.5, 0.75]}
    engine.drive = SimpleNamespace(state=lambda: shown)  # type: ignore[assignment]
    streams = lsl.Streams(engine, "exo")
    streams.look()
    (found,) = pylsl.resolve_byprop("source_id", "exo-torque", timeout=10.0)
    reader = pylsl.StreamInlet(found, recover=False)
    reader.open_stream(timeout=10.0)
    channel = reader.info(5.0).desc().child("channels").child("channel")
    assert (channel.child_value("label"), channel.child_value("unit")) == ("told 0", "N·m/kg")
    until(lambda: streams.look() or reader.samples_available())  # type: ignore[func-returns-value]
    reader.pull_chunk(timeout=0.0)
    began, seen = time.monotonic(), list[list[float]]()
    while (passed := time.monotonic() - began) < 2.0 or not seen:
        streams.look()
        seen += reader.pull_chunk(timeout=0.0)[0]
        time.sleep(0.01)
    assert len(seen) <= 5.0 * passed + 2.0
    assert seen[0][0] == 0.25
    assert np.isnan(seen[0][1])
    assert seen[0][2:] == [0.5, 0.75]


if __name__ == "__main__":
    assert Path("/proc/net/route").read_text().count("\n") <= 2  # a network of its own
    with pytest.MonkeyPatch.context() as patch:
        a_stream_is_one_and_is_there(patch)
    breaths_are_read_by_label_and_unit_and_a_sender_that_restarts_is_a_pause()
    markers_have_letters_and_a_number_is_the_mean_of_the_last_half()
    torques_are_sent_five_times_a_second()
    print("all of it")
