"""Lab Streaming Layer: breaths and a number from other programs, markers and torques for them (pylsl, extra `lab`).

    in     a stream is known by its source_id; two with the same one are refused. It is not recovered in silence: if
           its sender is started again, the stream is connected anew, and the pause is in the log
    out    SOURCE_ID-markers: a text in JSON after every event of the log, with letters where conditions are blind;
           SOURCE_ID-torque: told and measured torque (N·m/kg) of every side, 5 times a second

A stream is open to everybody in the network: LSL cannot be bound to the loopback interface.
"""

import contextlib
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from policysearch.exoskeleton.breath_columns import HEART_RATE, VCO2, VO2
from policysearch.exoskeleton.breath_columns import UNITS as FILES
from policysearch.exoskeleton.respirometry import Estimate, brockway, mean_of
from policysearch.hitl.clocks import monotonic
from policysearch.hitl.engine.engine import Engine
from policysearch.hitl.options import LSL

WAIT = 5.0  # s for a stream at the start
FORGET = 1.0  # s after which a sender that is silent is no longer there
TORQUE_RATE = 5.0  # per s
#: Columns by the labels of channels in lower case; and what makes a column's unit of the units of channels.
LABELS = {"vo2": VO2, "vco2": VCO2, "hr": HEART_RATE}
UNITS = {VO2: FILES[VO2], VCO2: FILES[VCO2], HEART_RATE: {"bpm": 1.0, "1/min": 1.0}}

Sample = tuple[float, list[float]]  # s, values by channel


class Stream:
    """A stream that comes in.

    Args:
        source_id: of it.

    Attributes:
        pauses: for how long (s) it was not there, each time.

    Raises:
        ValueError: without the package, if no stream of this source_id is there, or several are.
    """

    def __init__(self, source_id: str) -> None:
        self._lsl, self._id, self.pauses = imported(), source_id, list[float]()
        self._resolver = self._lsl.ContinuousResolver(prop="source_id", value=source_id, forget_after=FORGET)
        self._inlet: Any = None
        self._uid, self._gone, self._since = (
            "",
            "",
            math.nan,
        )  # of the sender, of the last one, and when it was lost
        until = time.monotonic() + WAIT
        while not self._connected():
            if time.monotonic() > until:
                raise ValueError(
                    f"lsl: expected a stream whose source_id is {source_id!r}, got none in {WAIT:g} s"
                )
            time.sleep(0.1)

    def channels(self) -> list[tuple[str, str]]:
        """Label and unit of every channel, in lower case."""
        each, found = (
            self._inlet.info(WAIT).desc().child("channels").child("channel"),
            list[tuple[str, str]](),
        )
        while not each.empty():
            found.append(
                (each.child_value("label").strip().lower(), each.child_value("unit").strip().lower())
            )
            each = each.next_sibling()
        return found

    def samples(self) -> list[Sample]:
        """What came since the last call; nothing while the sender is not there."""
        if not self._connected():
            return []
        try:
            values, times = self._inlet.pull_chunk(timeout=0.0)
        except RuntimeError:  # its sender is lost
            self._inlet, self._gone, self._since = None, self._uid, time.monotonic()
            return []
        return list(zip(times, values, strict=True))

    def _connected(self) -> bool:
        if self._inlet is not None:
            return True
        found = [info for info in self._resolver.results() if info.uid() != self._gone]
        if len(found) > 1:
            places = ", ".join(sorted(info.hostname() for info in found))
            raise ValueError(
                f"lsl: expected one stream whose source_id is {self._id!r}, got {len(found)}, of {places}"
            )
        if found:
            inlet = self._lsl.StreamInlet(found[0], recover=False, processing_flags=self._lsl.proc_clocksync)
            inlet.open_stream(timeout=WAIT)
            self._inlet, self._uid = inlet, found[0].uid()
            if math.isfinite(self._since):
                self.pauses.append(time.monotonic() - self._since)
        return bool(found)


def imported() -> Any:
    """The package pylsl.

    Raises:
        ValueError: if it cannot be imported.
    """
    try:
        import pylsl  # noqa: PLC0415 - an extra
    except (ImportError, RuntimeError) as error:
        raise ValueError(f"lsl: {error}; install policysearch[lab]") from error
    return pylsl


class Breathing:
    """Breaths of a stream with the channels VO2 and VCO2 (mL/min or L/min), and perhaps HR; like a file that grows.

    Args:
        stream: of them.
        mass: of the body (kg).

    Attributes:
        gases: see `policysearch.exoskeleton.breath_file.BreathFile`, as the others.

    Raises:
        ValueError: for channels that are missing, or in other units.
    """

    doubt = ""

    def __init__(self, stream: Stream, mass: float) -> None:
        self.stream, self.mass_of_rates = stream, mass
        self._channels: dict[str, tuple[int, float]] = {}  # place and factor
        channels = stream.channels()
        for place, (label, unit) in enumerate(channels):
            if (name := LABELS.get(label.replace("'", ""))) is not None:
                if unit not in UNITS[name]:
                    raise ValueError(f"lsl: expected {label} in {' or '.join(UNITS[name])}, got {unit!r}")
                self._channels[name] = place, UNITS[name][unit]
        if not {VO2, VCO2} <= self._channels.keys():
            got = ", ".join(label for label, _ in channels) or "channels without labels"
            raise ValueError(f"lsl: expected the channels VO2 and VCO2, got {got}")
        self.columns = tuple(self._channels)
        self.gases: dict[float, tuple[float, ...]] = {}

    def new(self) -> list[tuple[float, float]]:
        """Time (s) and rate (W/kg) of the breaths since the last call."""
        found = list[tuple[float, float]]()
        for at, values in self.stream.samples():
            row = {name: values[place] * factor for name, (place, factor) in self._channels.items()}
            self.gases[at] = tuple(row.values())
            power = brockway(np.array([row[VO2]]), np.array([row[VCO2]]))
            found.append((at, float(power[0] / self.mass_of_rates)))
        return found


class Number:
    """A number of which a stream has samples: its first channel."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self._samples = stream, list[Sample]()

    def begin(self) -> None:
        """A bout begins; what came before is not its."""
        self.stream.samples()
        self._samples = []

    def look(self) -> None:
        """Take what has come."""
        self._samples += self.stream.samples()

    def mean(self, seconds: float) -> Estimate:
        """The mean of the last seconds, with its standard error.

        Raises:
            ValueError: without two numbers in that time.
        """
        last = [
            v[0] for at, v in self._samples if at > self._samples[-1][0] - seconds and math.isfinite(v[0])
        ]
        if len(last) < 2:
            raise ValueError(f"lsl: expected at least 2 numbers in the last {seconds:g} s, got {len(last)}")
        return mean_of(np.array(last))


def inlets(inlet: Mapping[str, Any], objective: str, mass: float) -> dict[str, Any]:
    """What an engine's `Inlet` has of streams that come in, if some begin with `lsl:`.

    Raises:
        ValueError: see `Stream` and `Breathing`.
    """
    imported()
    found, breaths = dict[str, Any](), inlet.get("breaths", "")
    if breaths.startswith(LSL):
        found["stream"] = Breathing(Stream(breaths.removeprefix(LSL)), mass)
    if objective.startswith(LSL):
        found["number"] = Number(Stream(objective.removeprefix(LSL)))
    return found


class Streams:
    """What an engine has to do for its streams at every tick.

    Args:
        engine: of the session.
        source_id: begins those of the streams that go out; none without one.
    """

    def __init__(self, engine: Engine, source_id: str = "") -> None:
        self._engine, self._id, self._count, self._said = engine, source_id, engine.count, ""
        self._sent, self._next, self._torques = len(engine.session.events), 0.0, None
        if source_id:
            self._lsl = imported()
            kind = ("Markers", 1, self._lsl.IRREGULAR_RATE, self._lsl.cf_string, f"{source_id}-markers")
            self._markers = self._lsl.StreamOutlet(self._lsl.StreamInfo("policysearch", *kind))

    def look(self) -> None:
        """Take numbers, log pauses, send what is new."""
        inlet, engine = self._engine.inlet, self._engine
        if inlet.number is not None:
            try:
                inlet.number.look() if engine.count is self._count else inlet.number.begin()
            except ValueError as error:
                if str(error) != self._said:
                    self._said = str(error)
                    engine.say(self._said)
        self._count = engine.count
        for stream in (each.stream for each in (inlet.number, inlet.stream) if each is not None):
            while stream.pauses and not engine.failed:
                bout = engine.session.next
                engine.session.tell("gap", seconds=stream.pauses.pop(0), item=bout.item if bout else "")
        if self._id:
            self._mark()
            if engine.drive is not None and monotonic() >= self._next:
                self._next = monotonic() + 1.0 / TORQUE_RATE
                self._send(engine.drive.state())

    def _mark(self) -> None:
        session = self._engine.session
        for number, (kind, body) in enumerate(session.events[self._sent :], self._sent + 1):
            marker = {"event": number, "kind": kind} | {k: body[k] for k in ("item", "purpose") if k in body}
            if kind == "started" and session.next is not None:
                marker["label"] = session.next.label  # it has letters while conditions are blind
            age = monotonic() - float(body.get("monotonic", monotonic()))
            self._markers.push_sample([json.dumps(marker, ensure_ascii=False)], self._lsl.local_clock() - age)
        self._sent = len(session.events)

    def _send(self, shown: Mapping[str, Any]) -> None:
        told, measured = (list(shown.get(name) or []) for name in ("torque", "measured"))
        labels = [f"told {i}" for i in range(len(told))] + [f"measured {i}" for i in range(len(measured))]
        if self._torques is None and labels:
            info = self._lsl.StreamInfo(
                "policysearch", "Torque", len(labels), TORQUE_RATE, self._lsl.cf_float32, f"{self._id}-torque"
            )
            channels = info.desc().append_child("channels")
            for label in labels:
                channel = channels.append_child("channel")
                channel.append_child_value("label", label)
                channel.append_child_value("unit", "N·m/kg")
            self._torques = self._lsl.StreamOutlet(info)
        if self._torques is not None:
            values = [math.nan if value is None else float(value) for value in (*told, *measured)]
            with contextlib.suppress(ValueError):  # another device has other sides
                self._torques.push_sample(values)
