"""The guard in its own process: when a process is stopped or killed, the torque in the device's log ramps to zero."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Array
from policysearch.hitl import guard as guard_package
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.torque_guard import GuardLimits

LIMITS = GuardLimits(highest=0.8, slope=4.0, stop_time=0.4, unit="N·m/kg", heartbeat=1.5)
PATIENT = replace(LIMITS, heartbeat=60.0)  # so that nothing here is the heartbeat's work
STEEP = np.array([0.75, 50.0, 10.0, 5.0])  # falls by 0.225 N·m/kg per %, 20 per s: far above the slope
GARBAGE = "the guard was sent what it cannot read"
DEVICES = """
from policysearch.hitl.guard.device import SimulatedAnkle

class Still(SimulatedAnkle):
    def stride(self):
        return 50.0

class Raises(Still):
    def __init__(self, log, at="", after=0.3):
        super().__init__(log)
        self.at, self.after = at, after
    def stride(self):
        return "noon" if self.at == "stride" else 50.0
    def apply(self, torque):
        super().apply(torque)
        if torque > self.after:
            raise SystemExit("the cable is off") if self.at == "exit" else OSError("the cable is off")
    def close(self):
        super().close()
        if self.at == "close":
            raise OSError("stuck")
"""
OWNER = """
import json, os, sys, time
import numpy as np
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.torque_guard import GuardLimits

folder, limits, law, fork = json.loads(sys.argv[1])
sys.path.append(folder)
guard = GuardProcess(GuardLimits(**limits), "devices:Still", {"log": folder + "/log"})
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
    with GuardProcess(PATIENT, "devices:Still", {"log": str(tmp_path / "log")}) as made:
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
    after = ticks[ticks[:, 0] >= since]
    start, zero = after[0, 1], int(np.argmax(after[:, 1] == 0.0))
    assert start > 0.7
    assert after[-1, 1] == 0.0
    assert not after[zero:, 1].any()
    assert after[zero, 0] <= since + silence + LIMITS.stop_time + 1.0  # the last for a machine that is busy
    step = start / LIMITS.stop_time * LIMITS.longest_tick
    assert np.diff(after[:, 1]).max() <= 0.0
    assert np.abs(np.diff(after[:, 1])).max() <= step + 1e-9


def owned(folder: Path, limits: GuardLimits, fork: bool = False) -> tuple[Any, int, int]:
    """A process that owns a guard under torque, the guard's process, and a child that the owner has forked."""
    told = [str(folder), asdict(limits), STEEP.tolist(), fork]
    command = [sys.executable, "-c", OWNER, json.dumps(told)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, child = map(int, owner.stdout.readline().split())
    until(lambda: len(log(folder)[0]) > 0 and log(folder)[0][-1, 1] > 0.74)
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
    options = {"log": str(tmp_path / "log")}
    with GuardProcess(LIMITS, "policysearch.hitl.guard.device:SimulatedAnkle", options) as guard:
        for law in ([0.8, 50.0, 40.0, 15.0], [0.8, 35.0, 10.0, 5.0], STEEP):
            guard.set_law(np.array(law))
            tick(guard, 120)
        assert guard.status().stop_reason == ""
        low = replace(LIMITS, highest=0.2, slope=2.0)
        guard.restrict(low)
        assert guard.limits == low
        until(lambda: guard.status().torque <= 0.2, guard.beat)
        ticks = len(log(tmp_path)[0])
        tick(guard, 220)
        with pytest.raises(ValueError, match=r"highest: expected at most 0\.2, as limits only get narrower"):
            guard.restrict(LIMITS)
        with pytest.raises(ValueError, match=r"^law: peak torque: expected 0 to 0\.2 N·m/kg, got 0\.75$"):
            guard.set_law(STEEP)
        assert guard.limits == low
        assert guard.status().counts["torque: outside the limits"] > 0
    found, closed = log(tmp_path)
    assert closed
    check_slope(found)
    assert found[:, 1].max() > 0.5
    assert found[ticks:, 1].max() == 0.2
    check_slope(found[ticks:], low)


def test_an_infeasible_law_is_refused_and_the_previous_one_stays_in_force(guard: GuardProcess) -> None:
    guard.set_law(STEEP)
    until(lambda: guard.status().torque == 0.75)
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
    assert guard.status().torque == 0.75
    guard.set_law(np.array([0.75, 50.0, 10.0, 15.0 + 1e-14]))  # as the way from one law to another may round
    assert guard.status().stop_reason == ""


def test_a_stop_is_latched_until_an_operator_rearms_with_a_reason(
    tmp_path: Path, guard: GuardProcess
) -> None:
    assert guard.status().torque == 0.0  # without a law
    guard.set_law(STEEP)
    until(lambda: guard.status().torque == 0.75)
    since = time.monotonic()
    guard.stop("the operator pressed stop")
    guard.stop("again")
    with pytest.raises(ValueError, match=r"torque: expected 0 N·m/kg before re-arming, got 0\."):
        guard.rearm("too early")
    guard.set_law(np.array([0.7, 50.0, 10.0, 5.0]))
    until(lambda: guard.status().torque == 0.0)
    tick(guard, 20)
    check_ramp(log(tmp_path)[0], since)
    assert guard.status().stop_reason == "the operator pressed stop"
    with pytest.raises(ValueError, match="reason: expected the operator's words, got ' '"):
        guard.rearm(" ")
    guard.rearm("the strap is fixed")
    until(lambda: guard.status().torque == 0.7)
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
        guard._pipe.sendall(garbage)
        until(lambda: guard.status().stop_reason == GARBAGE)
        guard.rearm("a test")
        assert guard.status().stop_reason == ""
    # what was read before is no part of it: the law is still none
    assert guard.status().torque == 0.0


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("apply", "the device raised OSError: the cable is off"),
        ("exit", "the device raised SystemExit: the cable is off"),
        ("close", "the device raised OSError: the cable is off; closing it raised OSError: stuck"),
        ("stride", "the device raised ValueError: could not convert string to float: 'noon'"),
    ],
)
def test_when_the_device_raises_it_is_closed_and_the_guard_ends_and_says_why(
    tmp_path: Path, at: str, message: str
) -> None:
    with GuardProcess(PATIENT, "devices:Raises", {"log": str(tmp_path / "log"), "at": at}) as guard:
        if at != "stride":
            guard.set_law(STEEP)
        until(lambda: not guard.status().running)
        status = guard.status()
        assert status.stop_reason == message
        assert np.isnan(status.torque)
        for call in (guard.beat, lambda: guard.stop("too late"), lambda: guard.set_law(STEEP)):
            with pytest.raises(RuntimeError, match=f"^the guard process has ended: {message}$"):
                call()
        until(lambda: not alive(guard.pid))
    assert guard.status() == status
    assert log(tmp_path)[1]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("devices:Nothing", "AttributeError: module 'devices' has no attribute 'Nothing'"),
        ("builtins:dict", "TypeError: expected stride, apply and close, got {}"),
    ],
)
def test_a_device_that_cannot_be_opened_is_reported(device: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"the device {device} was not opened: {message}"):
        GuardProcess(LIMITS, device)


def test_the_guard_survives_a_terminals_signals_and_shares_no_file_with_its_owner(
    tmp_path: Path, guard: GuardProcess
) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        os.kill(guard.pid, number)
        tick(guard, 2)
    assert guard.status().stop_reason == ""
    assert os.getsid(guard.pid) == guard.pid
    files = {str(path.resolve()) for path in Path(f"/proc/{guard.pid}/fd").iterdir()}
    assert {name for name in files if name.startswith("/") and "socket:" not in name} == {
        "/dev/null",
        str(tmp_path / "log"),
    }


def test_on_sigterm_the_guard_ramps_closes_the_device_and_ends(tmp_path: Path, guard: GuardProcess) -> None:
    guard.set_law(STEEP)
    until(lambda: guard.status().torque == 0.75)
    since = time.monotonic()
    os.kill(guard.pid, signal.SIGTERM)
    until(lambda: not guard.status().running)
    assert (guard.status().stop_reason, guard.status().torque) == ("SIGTERM", 0.0)
    ticks, closed = log(tmp_path)
    check_ramp(ticks, since)
    assert closed


def test_closing_ramps_too(tmp_path: Path, guard: GuardProcess) -> None:
    guard.set_law(STEEP)
    until(lambda: guard.status().torque == 0.75)
    since = time.monotonic()
    guard.close()
    ticks, closed = log(tmp_path)
    check_ramp(ticks, since)
    assert closed
    assert not alive(guard.pid)
    assert (guard.status().stop_reason, guard.status().torque, guard.status().running) == (
        "closed",
        0.0,
        False,
    )
    with pytest.raises(RuntimeError, match="the guard process has ended: closed"):
        guard.beat()


def test_the_torque_of_a_guard_that_was_killed_is_unknown(tmp_path: Path) -> None:
    guard = GuardProcess(LIMITS, "devices:Still", {"log": str(tmp_path / "log")})
    os.kill(guard.pid, signal.SIGKILL)
    until(lambda: not guard.status().running)
    assert guard.status().stop_reason == "exit code -9"
    assert np.isnan(guard.status().torque)
    with pytest.raises(RuntimeError, match="was killed: the device may still be under torque"):
        guard.close()


def test_an_owner_is_told_that_the_guard_hangs(guard: GuardProcess) -> None:
    guard._pipe.settimeout(0.2)
    os.kill(guard.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RuntimeError, match=r"has not answered for 0\.2 s: use the physical stop"):
            guard.stop("a test")
    finally:
        os.kill(guard.pid, signal.SIGCONT)
    until(lambda: guard.status().stop_reason == "a test")
    with pytest.raises(ValueError, match="reason: expected the operator's words"):
        guard.rearm(" ")  # its own answer, not the one to the stop, which came too late


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limits": replace(LIMITS, unit="N·m")}, "limits: expected N·m/kg, as laws are, got N·m"),
        ({"device": "ankle"}, "device: expected 'module:name', got 'ankle'"),
        (
            {"period": 0.021},
            "period: expected a positive number of s up to the longest tick, 0.02, got 0.021",
        ),
        ({"period": float("nan")}, "period: expected a positive number of s up to the longest tick"),
    ],
)
def test_invalid_arguments_of_a_guard_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GuardProcess(
            **{"limits": LIMITS, "device": "devices:Still", "options": {"log": "/dev/null"}, **change}
        )


def test_the_documentation_says_that_the_process_replaces_neither_firmware_nor_stop() -> None:
    said = "replaces neither the device's firmware limits nor its physical stop"
    assert said in (guard_package.__doc__ or "")
