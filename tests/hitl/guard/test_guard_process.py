"""The guard in its own process: when a process is stopped or killed, the torque in the device's log ramps to zero."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Array
from policysearch.hitl import guard as guard_package
from policysearch.hitl.guard.ceiling import Ceiling
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.ring import Ring, columns, record, shared_file, wait_for_zero
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.watch import WatchLimits

LIMITS = GuardLimits(highest=0.8, slope=8.0, stop_time=0.4, unit="N·m/kg", heartbeat=1.5)
PATIENT = replace(LIMITS, heartbeat=60.0)  # so that nothing here is the heartbeat's work
LAW = np.array([0.75, 50.0, 40.0, 15.0])
SETTINGS = GuardSettings(1.0, watch=WatchLimits(stall=1e3))  # for a device that stands still; N·m are N·m/kg
GARBAGE = "the guard was sent what it cannot read"
DEVICES = """
import time
from policysearch.hitl.guard.device import Description, SimulatedAnkle, Stride

class Still(SimulatedAnkle):  # swings, walks to the peak, and stays there
    def __init__(self, log, **options):
        super().__init__(log, sides=["left"], **options)
    def stride(self):
        percent = min(80.0 + 100.0 * (time.monotonic() - self._start) / self.stride_time, 150.0)
        return (Stride(percent % 100.0 if percent > 100.0 else percent, 0.0, self.stride_time),)
    def apply(self, torque):
        super().apply(torque)
        if torque[0] == 0.0 and self.stride()[0].percent == 50.0:
            self._start = time.monotonic()  # without torque there it walks on

class Hasty(SimulatedAnkle):  # strides are shorter than it says
    def stride(self):
        return tuple(stride._replace(stride_time=5.0) for stride in super().stride())

class Limited(SimulatedAnkle):
    dropped = {"bytes that belong to no frame": 3}
    def describe(self):
        return Description("17", "2.0", self.sides, highest=0.3, watchdog=0.05)

class Breaks(Still):  # the guard itself is broken as soon as there is torque
    def apply(self, torque):
        super().apply(torque)
        if torque[0] > 0.3:
            from policysearch.hitl.guard.control import Control
            Control.tick = lambda self, reading: 1 / 0

class Raises(Still):
    def __init__(self, log, at="", times=1e9):
        super().__init__(log)
        self.at, self.left = at, times
    def fail(self, at):
        if self.at == at and self._torque[0] > 0.3 and self.left > 0:
            self.left -= 1
            raise SystemExit("the cable is off") if at == "measured" else OSError("the cable is off")
    def stride(self):
        self.fail("stride")
        return "noon" if self.at == "noon" and self._torque[0] > 0.3 else super().stride()
    def measured(self):
        self.fail("measured")
        return super().measured()
    def apply(self, torque):
        self.fail("apply")
        super().apply(torque)
    def close(self):
        super().close()
        if self.at == "close":
            raise OSError("stuck")
"""
OWNER = """
import json, os, sys, time
import numpy as np
from policysearch.hitl.guard.ceiling import Ceiling
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.watch import WatchLimits

folder, limits, law, fork = json.loads(sys.argv[1])
sys.path.append(folder)
settings = GuardSettings(1.0, watch=WatchLimits(stall=1e3))
guard = GuardProcess(GuardLimits(**limits), "devices:Still", settings, {"log": folder + "/log"})
guard.arm("a test")
guard.set_law(np.array(law))
child = os.fork() if fork else 0
if fork and not child:
    time.sleep(60)
    os._exit(0)
print(guard.pid, child, flush=True)
said = ""
while True:
    guard.beat()
    time.sleep(0.01)
    if (reason := guard.status().stop_reason) != said:
        print(reason, flush=True)
        said = reason
"""


@pytest.fixture(autouse=True)
def _devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devices.py").write_text(DEVICES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[GuardProcess]:
    with GuardProcess(PATIENT, "devices:Still", SETTINGS, {"log": str(tmp_path / "log")}) as made:
        made.arm("a test")
        yield made


def log(folder: Path) -> tuple[Array, bool]:
    """Time and torque of every tick, and whether the device was closed."""
    lines = (folder / "log").read_text(encoding="utf-8").split("\n")[:-1]
    closed = lines[-1:] == ["closed"]
    return np.array([line.split(",") for line in lines if line != "closed"], dtype=float), closed


def until(true: Callable[[], object], beat: Callable[[], None] = lambda: None) -> None:
    """Wait, and beat, until something is true."""
    end = time.monotonic() + 60.0
    while not true():
        assert time.monotonic() < end, "it never became true"
        beat()
        time.sleep(0.005)


def told(guard: GuardProcess) -> float:
    return guard.status().torque[0]


def tick(guard: GuardProcess, ticks: int) -> None:
    seen = guard.status().ticks
    until(lambda: guard.status().ticks >= seen + ticks, guard.beat)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_slope(ticks: Array, limits: GuardLimits = LIMITS) -> None:
    """Between any two lines of the log: a tick starts after the line before it, and counts the longest tick at most."""
    time, torque = ticks.T
    assert ((limits.lowest <= torque) & (torque <= limits.highest)).all()
    for i in range(len(ticks) - 1):
        allowed = limits.slope * (time[i + 1 :] - time[i] + limits.longest_tick)
        assert (np.abs(torque[i + 1 :] - torque[i]) <= allowed + 1e-9).all()
    assert np.abs(np.diff(torque)).max() <= limits.slope * limits.longest_tick + 1e-9


def check_ramp(ticks: Array, since: float, silence: float = 0.0) -> None:
    """From a torque to zero within the silence and the stop time, and in steps no larger than a stop's."""
    check_slope(ticks)
    first = int(np.searchsorted(ticks[:, 0], since))
    start, after = (
        ticks[first - 1, 1],
        ticks[first:],
    )  # the first tick from then on may be one of the ramp already
    zero = int(np.argmax(after[:, 1] == 0.0))
    assert start > 0.7
    assert after[-1, 1] == 0.0
    assert not after[zero:, 1].any()
    assert after[zero, 0] <= since + silence + LIMITS.stop_time + 1.0  # the last for a machine that is busy
    step = start / LIMITS.stop_time * LIMITS.longest_tick
    assert np.diff(after[:, 1]).max() <= 0.0
    assert np.abs(np.diff(after[:, 1])).max() <= step + 1e-9


def owned(folder: Path, limits: GuardLimits, fork: bool = False) -> tuple[Any, int, int]:
    """A process that owns a guard under torque, the guard's process, and a child that the owner has forked."""
    told = [str(folder), asdict(limits), LAW.tolist(), fork]
    command = [sys.executable, "-c", OWNER, json.dumps(told)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, child = map(int, owner.stdout.readline().split())
    until(lambda: len(log(folder)[0]) > 0 and log(folder)[0][-1, 1] == 0.75)
    return owner, pid, child


def test_the_torque_ramps_to_zero_when_the_owner_is_suspended_and_stays_there_when_it_continues(
    tmp_path: Path,
) -> None:
    owner, pid, _ = owned(tmp_path, LIMITS)
    try:
        since = time.monotonic()
        owner.send_signal(signal.SIGSTOP)
        until(lambda: log(tmp_path)[0][-1, 1] == 0.0)
        check_ramp(log(tmp_path)[0], since, LIMITS.heartbeat)
        owner.send_signal(signal.SIGCONT)
        assert owner.stdout.readline() == "no heartbeat for 1.5 s\n"
        seen = len(log(tmp_path)[0])
        until(lambda: len(log(tmp_path)[0]) > seen + 40)  # it beats, and has its law: the stop is latched
        ticks, closed = log(tmp_path)
        check_ramp(ticks, since, LIMITS.heartbeat)
        assert not closed
    finally:
        owner.kill()
        owner.communicate()
    until(lambda: not alive(pid))


@pytest.mark.parametrize("fork", [False, True], ids=["alone", "with a child that holds the pipe"])
def test_when_the_owner_is_killed_the_torque_ramps_to_zero_and_the_guard_closes_the_device_and_ends(
    tmp_path: Path, fork: bool
) -> None:
    owner, pid, child = owned(tmp_path, PATIENT, fork)
    try:
        since = time.monotonic()
        owner.kill()
        owner.wait()
        until(lambda: not alive(pid))
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
        owner.communicate()
    ticks, closed = log(tmp_path)
    assert closed
    check_ramp(ticks, since)


def test_whatever_the_law_and_its_changes_the_torque_keeps_limits_and_slope(tmp_path: Path) -> None:
    options = {"log": str(tmp_path / "log"), "stride_time": 0.5, "sides": ["left"]}
    with GuardProcess(LIMITS, "devices:Hasty", GuardSettings(1.0), options) as guard:
        guard.arm("a test")
        for law in ([0.8, 50.0, 40.0, 15.0], [0.8, 35.0, 10.0, 5.0], [0.75, 50.0, 10.0, 5.0]):
            guard.set_law(np.array(law))
            until(lambda law=law: guard.status().law == law, guard.beat)
            tick(guard, 120)
        assert guard.status().stop_reason == ""
        assert guard.status().counts["torque: held back by the slope"] > 0
        low = replace(LIMITS, highest=0.2, slope=6.0)
        until(lambda: told(guard) == 0.0, guard.beat)
        guard.restrict(low)
        assert guard.limits == low
        until(lambda: told(guard) <= 0.2, guard.beat)
        ticks = len(log(tmp_path)[0])
        tick(guard, 220)
        with pytest.raises(ValueError, match=r"highest: expected at most 0\.2, as limits only get narrower"):
            guard.restrict(LIMITS)
        with pytest.raises(ValueError, match=r"^law: peak torque: expected 0 to 0\.2 N·m/kg, got 0\.75$"):
            guard.set_law(LAW)
        assert guard.limits == low
        guard.lower(0.5)  # no lower one
        assert guard.limits == low
        assert guard.status().counts["torque: outside the limits"] > 0
    found, closed = log(tmp_path)
    assert closed
    check_slope(found)
    assert found[:, 1].max() > 0.5
    assert found[ticks:, 1].max() == 0.2
    check_slope(found[ticks:], low)


def test_an_infeasible_law_is_refused_and_the_previous_one_stays_in_force(guard: GuardProcess) -> None:
    guard.set_law(LAW)
    until(lambda: told(guard) == 0.75)
    for law, message in (
        ([np.nan, 50.0, 20.0, 10.0], "peak torque: expected 0 to 0.8 N·m/kg, got nan"),
        ([0.5, 50.0, 20.0, np.inf], "fall time: expected 5 to 20 % stride, got inf"),
        ([0.81, 50.0, 20.0, 10.0], "peak torque: expected 0 to 0.8 N·m/kg, got 0.81"),
        ([-0.1, 50.0, 20.0, 10.0], "peak torque: expected 0 to 0.8 N·m/kg, got -0.1"),
        ([0.5, 35.0, 36.0, 10.0], "onset: expected at least 0 % stride, got peak time"),
        ([0.5, 55.0, 20.0, 11.0], "end: expected at most 65 % stride, got peak time"),
        ([0.5, 50.0, 20.0], "expected 4 numbers, got shape (3,)"),
    ):
        with pytest.raises(ValueError, match=f"^law: {re.escape(message)}"):
            guard.set_law(np.array(law))
    tick(guard, 5)
    assert told(guard) == 0.75
    guard.set_law(np.array([0.75, 50.0, 40.0, 15.0 + 1e-14]))  # as the way from one law to another may round
    assert guard.status().stop_reason == ""


def test_a_stop_is_latched_until_an_operator_rearms_with_a_reason(
    tmp_path: Path, guard: GuardProcess
) -> None:
    assert told(guard) == 0.0  # without a law
    guard.set_law(LAW)
    until(lambda: told(guard) == 0.75)
    since = time.monotonic()
    guard.stop("the operator pressed stop")
    guard.stop("again")
    with pytest.raises(ValueError, match=r"torque: expected 0 N·m/kg before arming, got 0\."):
        guard.arm("too early")
    guard.set_law(np.array([0.7, 50.0, 40.0, 15.0]))
    until(lambda: told(guard) == 0.0)
    tick(guard, 20)
    check_ramp(log(tmp_path)[0], since)
    assert guard.status().stop_reason == "the operator pressed stop"
    with pytest.raises(ValueError, match="reason: expected the operator's words, got ' '"):
        guard.arm(" ")
    guard.arm("the strap is fixed")
    until(lambda: told(guard) == 0.7)
    assert guard.status().stop_reason == ""


def test_a_message_that_cannot_be_read_stops_the_guard(guard: GuardProcess) -> None:
    for garbage in (
        b"\xff\xfe\x00\n",
        b"\n",
        b"null\n",
        b"NaN\n",
        b'{"do": "status"}\n',
        b'{"do": "fly", "number": 1}\n',
        b'{"do": "law", "law": [0.5, 50.0], "number": 1}\n',
        b'{"do": "law", "law": [{}, 50.0, 20.0, 10.0], "number": 1}\n',
        b'{"do": "restrict", "limits": {"best": 1}, "number": 1}\n',
        b"[" * 60_000 + b"\n",
        b"x" * 140_000 + b"\n",
    ):
        guard._connection.pipe.sendall(garbage)
        until(lambda: guard.status().stop_reason == GARBAGE)
        guard.arm("a test")
        assert guard.status().stop_reason == ""
    # what was read before is no part of it: the law is still none
    assert told(guard) == 0.0


def test_whatever_raises_inside_the_guard_the_torque_ramps_first(tmp_path: Path) -> None:
    with GuardProcess(PATIENT, "devices:Breaks", SETTINGS, {"log": str(tmp_path / "log")}) as guard:
        guard.arm("a test")
        guard.set_law(LAW)
        until(lambda: not guard.status().running)
        status = guard.status()
        assert (status.stop_reason, status.torque) == (
            "the guard raised ZeroDivisionError: division by zero",
            [0.0],
        )
    ticks, closed = log(tmp_path)
    assert closed
    check_slope(ticks)
    assert ticks[:, 1].max() > 0.3
    assert ticks[-1, 1] == 0.0


@pytest.mark.parametrize(
    "flood",
    [b'{"do": "beat"}\n' * 60_000, b'{"do": "status", "number": 0}\n' * 20_000],
    ids=["beats", "questions"],
)
def test_a_flood_of_messages_is_a_stop_and_delays_no_tick(
    tmp_path: Path, guard: GuardProcess, flood: bytes
) -> None:
    guard.set_law(LAW)
    until(lambda: told(guard) == 0.75)
    since = time.monotonic()
    sender = threading.Thread(target=guard._connection.pipe.sendall, args=(flood,))
    sender.start()
    until(lambda: log(tmp_path)[0][-1, 1] == 0.0)
    ticks = log(tmp_path)[0]
    check_ramp(ticks, since)
    ours = guard._connection.pipe
    ours.settimeout(0.05)
    while sender.is_alive():
        with contextlib.suppress(TimeoutError):
            ours.recv(1 << 20)
    sender.join()
    assert np.median(np.diff(ticks[ticks[:, 0] > since][:, 0])) < 0.03
    guard._connection.ended = True  # what it has answered was thrown away


def test_a_tick_that_comes_late_stops_the_guard(tmp_path: Path) -> None:
    late = replace(LIMITS, heartbeat=0.3)
    with GuardProcess(late, "devices:Still", SETTINGS, {"log": str(tmp_path / "log")}) as guard:
        guard.arm("a test")
        os.kill(guard.pid, signal.SIGSTOP)
        for _ in range(50):
            guard.beat()
            time.sleep(0.01)
        os.kill(guard.pid, signal.SIGCONT)
        until(lambda: guard.status().stop_reason)
        assert re.match(
            r"a tick of the guard came 0\.[5-9]\d* s after the one before", guard.status().stop_reason
        )
        assert guard.status().longest_gap >= 0.5
        assert guard.status().gaps[-1] >= 1


def test_the_law_in_force_and_the_device_are_told_back(tmp_path: Path) -> None:
    options = {"log": str(tmp_path / "log"), "stride_time": 0.8}
    with GuardProcess(LIMITS, "devices:Limited", GuardSettings(60.0), options) as guard:
        status = guard.status()
        assert (status.stop_reason, status.law, status.waiting) == ("not armed yet", None, False)
        assert status.device["serial"] == "17"
        assert status.device["sides"] == ["left", "right"]
        assert status.highest == guard.limits.highest == 0.3 / 60.0  # the device's own limit
        assert status.counts == {"line: bytes that belong to no frame": 3}
        guard.lower(0.5)  # above it
        assert guard.status().highest == 0.3 / 60.0
        assert "SCHED_FIFO" in status.scheduling
        with pytest.raises(ValueError, match=r"peak torque: expected 0 to 0\.005 N·m/kg, got 0\.75"):
            guard.set_law(LAW)
        law = [0.004, 50.0, 40.0, 15.0]
        guard.arm("a test")
        guard.set_law(np.array(law))
        assert guard.status().waiting
        until(lambda: guard.status().law == law, guard.beat)
        names, rows = guard.recent()
        assert names[:4] == ["time_s", "armed", "left_percent", "left_age_s"]
        assert len(rows) > 20
        assert np.diff([row[0] for row in rows]).min() > 0.0
        assert guard.late_imports == []
        sys.modules["a_late_one"] = sys
        assert guard.late_imports == ["a_late_one"]
        del sys.modules["a_late_one"]
        guard.set_law(None)
        until(lambda: not guard.status().waiting, guard.beat)
        guard.lower(0.003)
        assert guard.status().highest == guard.limits.highest == 0.003
        with pytest.raises(ValueError, match="highest: expected a positive number, got 0"):
            guard.lower(0.0)
    assert max(log(tmp_path)[0][:, 1]) <= 0.3  # N·m


def test_the_last_seconds_before_each_stop_are_written_by_another_process(tmp_path: Path) -> None:
    options, folder = {"log": str(tmp_path / "log")}, tmp_path / "records"
    with GuardProcess(PATIENT, "devices:Still", replace(SETTINGS, records=folder), options) as guard:
        for stops in (1, 2):
            guard.arm("a test")
            guard.set_law(LAW)
            until(lambda: told(guard) == 0.75)
            guard.stop("the operator, naïvely")
            until(lambda: told(guard) == 0.0)
            until(lambda number=stops: (folder / f"guard-000{number}.csv").exists())
    for number in (1, 2):
        text = (folder / f"guard-000{number}.csv").read_text(encoding="utf-8").splitlines()
        assert text[0] == "# the operator, naïvely"
        assert text[2].split(",") == guard.recent()[0]
        rows = np.loadtxt(text[3:], delimiter=",")
        assert rows[:, 4].max() == 0.75
        assert rows[-1, 4] == 0.0
        assert rows[-1, 1] == 0.0
    assert not (folder / "guard-0003.csv").exists()  # it was closed in order, after a stop


def test_the_record_of_a_stop_has_its_reason_though_the_guard_is_armed_again_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "policysearch.hitl.guard.ring.signal.signal", lambda *_: None
    )  # this process keeps its own
    names, file, (alive, end) = columns(["left"]), shared_file(), os.pipe()
    ring = Ring(file, len(names), 100)
    ring.write([0.0] * len(names))
    ring.mark(1, "too steep")

    def armed_again() -> None:
        time.sleep(0.2)
        ring.mark(1, "")
        until((tmp_path / "guard-0001.csv").exists)
        os.close(end)  # the process ends, and not in order

    thread = threading.Thread(target=armed_again)
    thread.start()
    record(file=file, alive=alive, columns=names, size=100, after=0.4, folder=str(tmp_path))
    thread.join()
    said = [path.read_text(encoding="utf-8").splitlines()[0] for path in sorted(tmp_path.glob("guard-*.csv"))]
    assert said == ["# too steep", "# the guard's process was killed"]
    os.close(alive)


def test_the_record_of_a_stop_waits_for_zero_however_late_it_comes() -> None:
    names, file, (alive, end) = columns(["left"]), shared_file(), os.pipe()
    ring = Ring(file, len(names), 100)

    def ramp() -> None:
        for torque in (0.4, 0.3, 0.2, 0.1, 0.0, 0.0):
            ring.write([0.0, 0.0, 50.0, 0.0, torque, torque])
            time.sleep(0.05)

    thread = threading.Thread(target=ramp)
    thread.start()
    until(lambda: len(ring.rows()) > 1)
    assert not wait_for_zero(ring, names, alive)
    assert ring.rows()[-1][4] == 0.0
    thread.join()
    for torque in (0.4, 0.4):
        ring.write([0.0, 0.0, 50.0, 0.0, torque, torque])
    os.close(end)
    assert wait_for_zero(ring, names, alive)  # the process has ended under torque
    os.close(alive)
    os.close(file)


ROW = ", in 3 ticks in a row"


@pytest.mark.parametrize(
    ("at", "message", "kind"),
    [
        ("apply", "OSError: the cable is off" + ROW, "device: apply raised OSError"),
        ("stride", "OSError: the cable is off" + ROW, "device: stride raised OSError"),
        ("measured", "SystemExit: the cable is off" + ROW, "device: measured raised SystemExit"),
        ("noon", "ValueError: expected 1 sides, got 4" + ROW, "device: stride raised ValueError"),
    ],
)
def test_a_device_that_raises_in_some_ticks_in_a_row_is_ramped_and_closed_and_the_guard_says_why(
    tmp_path: Path, at: str, message: str, kind: str
) -> None:
    with GuardProcess(PATIENT, "devices:Raises", SETTINGS, {"log": str(tmp_path / "log"), "at": at}) as guard:
        guard.arm("a test")
        guard.set_law(LAW)
        until(lambda: not guard.status().running, lambda: None)
        status = guard.status()
        assert status.stop_reason == f"the device raised {message}"
        assert status.counts[kind] >= 3
        assert np.isnan(status.torque[0]) == (at == "apply")  # else it took the ramp
        for call in (guard.beat, lambda: guard.stop("too late"), lambda: guard.set_law(LAW)):
            with pytest.raises(RuntimeError, match=r"^the guard process has ended: the device raised .*"):
                call()
        until(lambda: not alive(guard.pid))
    assert guard.status() == status or np.isnan(status.torque[0])
    ticks, closed = log(tmp_path)
    assert closed
    check_slope(ticks)
    if at != "apply":
        assert ticks[-1, 1] == 0.0


@pytest.mark.parametrize("at", ["apply", "stride", "measured"])
def test_a_device_that_raises_once_is_counted_and_nothing_else_happens(tmp_path: Path, at: str) -> None:
    options = {"log": str(tmp_path / "log"), "at": at, "times": 2}
    with GuardProcess(PATIENT, "devices:Raises", SETTINGS, options) as guard:
        guard.arm("a test")
        guard.set_law(LAW)
        until(lambda: told(guard) == 0.75)
        status = guard.status()
        assert (status.stop_reason, status.running) == ("", True)
        assert sum(n for kind, n in status.counts.items() if kind.startswith(f"device: {at}")) == 2


def test_an_error_when_the_device_is_closed_is_reported(tmp_path: Path) -> None:
    options = {"log": str(tmp_path / "log"), "at": "close"}
    with GuardProcess(PATIENT, "devices:Raises", SETTINGS, options) as guard:
        os.kill(guard.pid, signal.SIGTERM)
        until(lambda: not guard.status().running)
        assert guard.status().stop_reason == "SIGTERM; closing it raised OSError: stuck"


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("devices:Nothing", "AttributeError: module 'devices' has no attribute 'Nothing'"),
        (
            "builtins:dict",
            "TypeError: expected describe, stride, apply, measured, fault, estop and close, got {}",
        ),
    ],
)
def test_a_device_that_cannot_be_opened_is_reported(device: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"the device {device} was not opened: {message}"):
        GuardProcess(LIMITS, device, SETTINGS)


def test_the_guard_survives_a_terminals_signals_and_shares_no_file_with_its_owner(
    tmp_path: Path, guard: GuardProcess
) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        os.kill(guard.pid, number)
        tick(guard, 2)
    assert guard.status().stop_reason == ""
    assert os.getsid(guard.pid) == guard.pid
    files = {str(path.resolve()) for path in Path(f"/proc/{guard.pid}/fd").iterdir()}
    assert {
        name for name in files if name.startswith("/") and "socket:" not in name and "pipe:" not in name
    } == {
        "/dev/null",
        "/memfd:guard (deleted)",
        str(tmp_path / "log"),
    }


def test_on_sigterm_the_guard_ramps_closes_the_device_and_ends(tmp_path: Path, guard: GuardProcess) -> None:
    guard.set_law(LAW)
    until(lambda: told(guard) == 0.75)
    since = time.monotonic()
    os.kill(guard.pid, signal.SIGTERM)
    until(lambda: not guard.status().running)
    assert (guard.status().stop_reason, guard.status().torque) == ("SIGTERM", [0.0])
    ticks, closed = log(tmp_path)
    check_ramp(ticks, since)
    assert closed


def test_closing_ramps_too(tmp_path: Path, guard: GuardProcess) -> None:
    guard.set_law(LAW)
    until(lambda: told(guard) == 0.75)
    since = time.monotonic()
    guard.close()
    ticks, closed = log(tmp_path)
    check_ramp(ticks, since)
    assert closed
    assert not alive(guard.pid)
    assert (guard.status().stop_reason, guard.status().torque, guard.status().running) == (
        "closed",
        [0.0],
        False,
    )
    with pytest.raises(RuntimeError, match="the guard process has ended: closed"):
        guard.beat()


def test_the_torque_of_a_guard_that_was_killed_is_unknown(tmp_path: Path) -> None:
    guard = GuardProcess(LIMITS, "devices:Still", SETTINGS, {"log": str(tmp_path / "log")})
    os.kill(guard.pid, signal.SIGKILL)
    until(lambda: not guard.status().running)
    assert guard.status().stop_reason == "exit code -9"
    assert np.isnan(guard.status().torque[0])
    with pytest.raises(RuntimeError, match="was killed: the device may still be under torque"):
        guard.close()


def test_an_owner_is_told_that_the_guard_hangs(guard: GuardProcess) -> None:
    guard._connection.pipe.settimeout(0.2)
    os.kill(guard.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RuntimeError, match=r"has not answered for 0\.2 s: use the physical stop"):
            guard.stop("a test")
    finally:
        os.kill(guard.pid, signal.SIGCONT)
    until(lambda: guard.status().stop_reason == "a test")
    with pytest.raises(ValueError, match="reason: expected the operator's words"):
        guard.arm(" ")  # its own answer, not the one to the stop, which came too late


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limits": replace(LIMITS, unit="N·m")}, "limits: expected N·m/kg, as laws are, got N·m"),
        ({"device": "ankle"}, "device: expected 'module:name', got 'ankle'"),
        (
            {"settings": replace(SETTINGS, period=0.021)},
            "period: expected at most the longest tick, 0.02 s, got 0.021",
        ),
    ],
)
def test_invalid_arguments_of_a_guard_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GuardProcess(
            **{"limits": LIMITS, "device": "devices:Still", "settings": SETTINGS, **change},
            options={"log": "/dev/null"},
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GuardSettings(0.0), "mass: expected a positive number, got 0.0"),
        (lambda: GuardSettings(72.0, period=float("nan")), "period: expected a positive number, got nan"),
        (lambda: WatchLimits(stall=0.0), "stall: expected a positive number, got 0.0"),
        (lambda: WatchLimits(exceptions=True), "exceptions: expected a positive number, got True"),
        (lambda: Ceiling(0.0, 0.1), "first: expected a positive number, got 0.0"),
        (lambda: Ceiling(0.3, float("inf")), "step: expected zero or a positive number, got inf"),
        (lambda: LIMITS.within(0.0, 72.0), "newton_metres: expected a positive number, got 0.0"),
        (lambda: LIMITS.within(50.0, float("nan")), "mass: expected a positive number, got nan"),
        (lambda: replace(LIMITS, unit="N·m").within(50.0, 72.0), "unit: expected N·m/kg, got N·m"),
    ],
)
def test_invalid_settings_of_a_guard_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_the_documentation_says_that_the_process_replaces_neither_firmware_nor_stop() -> None:
    said = "replaces neither the device's firmware limits nor its physical stop"
    assert said in (guard_package.__doc__ or "")
