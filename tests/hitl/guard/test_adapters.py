"""Devices behind a line: frames, their ages, and an emulated firmware with limits and a watchdog."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Array
from policysearch.hitl.guard.adapters import Age, FramedDevice, Serial, Udp
from policysearch.hitl.guard.emulated import Firmware
from policysearch.hitl.guard.frames import ANSWER, ASK, COMMAND, TELEMETRY, Frames, frame
from policysearch.hitl.guard.owner import GuardProcess
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits

LIMITS = GuardLimits(highest=0.8, slope=12.0, stop_time=0.3, unit="N·m/kg", heartbeat=1.0)
MASS = 50.0
LAW = np.array([0.5, 52.0, 30.0, 13.0])
STALE = "duplicate or reordered frames"
NO_FRAME = "bytes that belong to no frame"


def numbers(frames: Frames, data: bytes) -> list[int]:
    return [number for _, number, _ in frames.read(data)]


def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut() -> None:
    sent = [(COMMAND, 1, (0.5, -0.25)), (ASK, 2, ()), (TELEMETRY, 3, (7, *map(float, range(6)), 1, 0))]
    data = b"".join(frame(kind, number, *content) for kind, number, content in sent)
    for size in (1, 7, 1000):
        frames = Frames()
        found = [one for i in range(0, len(data), size) for one in frames.read(data[i : i + size])]
        assert found == sent
        assert not frames.counts


def test_a_frame_with_any_byte_changed_is_dropped_and_the_next_one_is_taken() -> None:
    good = frame(COMMAND, 1, 0.5, 0.5)
    for i in range(len(good)):
        frames = Frames()
        bad = good[:i] + bytes([good[i] ^ 0x10]) + good[i + 1 :]
        assert numbers(frames, bad + b"".join(frame(COMMAND, n, 0.0, 0.0) for n in range(2, 8))) == [
            *range(2, 8)
        ]
        assert frames.counts[NO_FRAME] > 0


def test_garbage_between_frames_is_skipped() -> None:
    garbage = bytes(np.random.Generator(np.random.PCG64(0)).integers(256, size=5000, dtype=np.uint8))
    data = b"".join(garbage[i * 9 : i * 9 + i % 9] + frame(COMMAND, i + 1, 1.0, 1.0) for i in range(500))
    assert numbers(Frames(), data[:3000]) == [*range(1, len(numbers(Frames(), data[:3000])) + 1)]


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ([1, 2, 2, 3], [1, 2, 3]),
        ([1, 3, 2, 4], [1, 3, 4]),
        ([5, 1], [5]),
        ([2**32 - 1, 2**32, 2**32 + 1], [2**32 - 1, 0, 1]),
    ],
)
def test_duplicate_and_reordered_frames_are_dropped_and_counted(sent: list[int], taken: list[int]) -> None:
    frames = Frames()
    assert numbers(frames, b"".join(frame(COMMAND, n, 0.0, 0.0) for n in sent)) == taken
    assert frames.counts[STALE] == len(sent) - len(taken)


def test_a_program_that_asks_anew_begins_with_low_numbers() -> None:
    frames = Frames()
    data = frame(COMMAND, 900, 0.0, 0.0) + frame(ASK, 1) + frame(COMMAND, 2, 0.0, 0.0)
    assert numbers(frames, data) == [900, 1, 2]


def test_a_reading_that_was_on_its_way_for_long_is_old() -> None:
    age = Age()
    start = 2**32 - 3000  # ms: the clock begins again meanwhile
    for i in range(5000):
        assert age.of((start + 2 * i) % 2**32, 50.0 + 0.002 * i) <= 1e-3
    assert age.of((start + 10000) % 2**32, 60.5) == pytest.approx(0.5, abs=2e-3)
    for i in range(20000):  # a clock that is slower by 50 ppm ages nothing
        assert age.of((start + 10000 + 2 * i) % 2**32, 60.0 + 0.002 * i * 1.00005) <= 2e-3


@contextmanager
def emulated(folder: Path, *options: str, **firmware: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An emulated device in a process of its own, and the name of its line."""
    command = [sys.executable, "-m", "policysearch.hitl.guard.emulated", *options]
    command += [str(folder / "torque"), json.dumps(firmware)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def applied(folder: Path) -> Array:
    """Time (s) and torques (N·m) that the emulated device had."""
    lines = (folder / "torque").read_text(encoding="utf-8").split("\n")[:-1]
    return np.array([line.split(",") for line in lines], dtype=float)


@contextmanager
def guarded(line: str, **settings: Any) -> Iterator[GuardProcess]:
    options = {"path": line}
    guard = GuardProcess(
        LIMITS, "policysearch.hitl.guard.adapters:Serial", GuardSettings(MASS, **settings), options
    )
    try:
        guard.arm("a test")
        guard.set_law(LAW)
        yield guard
    finally:
        with suppress(RuntimeError):  # it was killed
            guard.close()


def until(true: Callable[[], object], guard: GuardProcess | None = None) -> None:
    end = time.monotonic() + 30.0
    while not true():
        assert time.monotonic() < end, "it never became true"
        if guard:
            guard.beat()
        time.sleep(0.005)


def under_torque(guard: GuardProcess, least: float = 0.4) -> None:
    until(lambda: max(guard.status().torque) > least, guard)


@pytest.mark.parametrize("kind", ["serial", "udp"])
def test_a_guard_drives_a_device_behind_a_line_as_the_law_says(tmp_path: Path, kind: str) -> None:
    with emulated(tmp_path, *(["--udp"] if kind == "udp" else []), highest=20.0) as (_, line):
        device = Serial(line) if kind == "serial" else Udp("127.0.0.1", int(line))
        described = device.describe()
        assert (described.serial, described.firmware, described.sides) == (
            "emulated-1",
            "1.0",
            ("left", "right"),
        )
        assert (described.highest, described.watchdog) == (20.0, pytest.approx(0.05))
        seen = []
        for torque in np.linspace(0.0, 15.0, 60):
            device.apply((float(torque), 2.0))
            time.sleep(0.005)
            seen.append(device.stride()[0])
            assert device.measured()[0] == pytest.approx(torque, abs=2.0)
        assert all(0.0 <= stride.percent <= 100.0 for stride in seen)
        assert min(stride.age for stride in seen) < 0.02
        assert (device.fault(), device.estop(), device.dropped) == ("", False, {})
        for _ in range(20):
            device.apply((1000.0, 0.0))
            time.sleep(0.005)
        assert device.stride()
        assert device.measured()[0] == pytest.approx(20.0)  # the firmware's own limit
        device.close()
        until(lambda: applied(tmp_path)[-1, 1] == 0.0)


def test_a_device_that_does_not_answer_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policysearch.hitl.guard.adapters.ASK_SECONDS", 0.3)
    ours, theirs = os.openpty()
    try:
        with pytest.raises(
            TimeoutError, match=r"has not answered for 0\.3 s: is it on, and is this its line"
        ):
            Serial(os.ttyname(theirs))
    finally:
        os.close(ours)
        os.close(theirs)
    with pytest.raises(ValueError, match="baud: expected a rate of the system such as 115200, got 7"):
        Serial("/dev/null", baud=7)


def test_when_the_guard_is_killed_the_devices_watchdog_lets_the_torque_go(tmp_path: Path) -> None:
    # a long stride: the torque lasts until the kill also where this process has to wait for a processor
    with (
        emulated(tmp_path, stride_time=4.0) as (_, line),
        guarded(line, records=tmp_path / "records") as guard,
    ):
        under_torque(guard)
        since = time.monotonic()
        os.kill(guard.pid, signal.SIGKILL)
        until(lambda: applied(tmp_path)[-1, 0] > since + 1.0)
        ticks = applied(tmp_path)
        after = ticks[ticks[:, 0] >= since]
        assert after[0, 1:].max() > 0.3 * MASS
        at = int(np.argmax((after[:, 1:] == 0.0).all(axis=1)))
        zero, passed = after[at, 0], np.minimum(np.diff(after[: at + 1, 0]), 0.01).sum()
        assert (
            passed < 0.15
        )  # s that the device was awake: 50 ms of the watchdog, 25 ms of its ramp, and twice that
        assert not after[after[:, 0] > zero, 1:].any()
        until(lambda: [*(tmp_path / "records").glob("guard-0001.csv")])
    text = (tmp_path / "records" / "guard-0001.csv").read_text(encoding="utf-8")
    assert text.startswith("# the guard's process was killed\n")
    rows = np.loadtxt(text.splitlines()[3:], delimiter=",")
    assert rows[-1, [4, 8]].max() > 0.4  # N·m/kg told on one of the sides


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR1, signal.SIGALRM])
def test_on_a_signal_the_guard_ramps_or_the_watchdog_acts(tmp_path: Path, number: signal.Signals) -> None:
    with emulated(tmp_path) as (_, line), guarded(line) as guard:
        under_torque(guard)
        since = time.monotonic()
        os.kill(guard.pid, number)
        until(lambda: not guard.status().running)
        until(lambda: applied(tmp_path)[-1, 0] > since + LIMITS.stop_time + 0.5)
        status, ticks = guard.status(), applied(tmp_path)
        assert not ticks[-1, 1:].any()
        if number == signal.SIGSEGV:
            assert (status.stop_reason, np.isnan(status.torque).all()) == ("exit code -11", True)
        else:
            assert (status.stop_reason, status.torque) == (number.name, [0.0, 0.0])
            names, rows = guard.recent()
            told = np.array(rows)[:, [i for i, name in enumerate(names) if "told" in name]]
            assert not told[-1].any()
            assert np.abs(np.diff(told, axis=0)).max() <= LIMITS.slope * LIMITS.longest_tick + 1e-9


def test_when_the_firmware_stands_still_the_torque_told_is_zero_and_the_guard_has_stopped(
    tmp_path: Path,
) -> None:
    with emulated(tmp_path) as (device, line), guarded(line) as guard:
        under_torque(guard)
        device.send_signal(signal.SIGSTOP)
        until(lambda: guard.status().stop_reason, guard)
        assert "the reading of the stride is 0.1" in guard.status().stop_reason
        until(lambda: not any(guard.status().torque), guard)
        device.send_signal(signal.SIGCONT)
        until(lambda: guard.status().measured == [0.0, 0.0], guard)
        assert not any(guard.status().torque)


class Flipping:
    """A line between a device and a firmware in this process, on which one byte in 500 is changed."""

    def __init__(self) -> None:
        self.rng, self.firmware, self.to, self.back = (
            np.random.Generator(np.random.PCG64(1)),
            Firmware(),
            b"",
            b"",
        )

    def flip(self, data: bytes) -> bytes:
        odd = self.rng.random(len(data)) < 1 / 500
        return bytes(b ^ int(self.rng.integers(1, 256)) if o else b for b, o in zip(data, odd, strict=True))

    def write(self, data: bytes) -> int:
        self.to += self.flip(data)
        self.back += self.flip(self.firmware.step(self.to, time.monotonic(), 0.005))
        self.to = b""
        return len(data)

    def read(self) -> bytes:
        data, self.back = self.back, b""
        return data


def test_with_one_byte_in_500_changed_no_torque_is_above_what_was_told() -> None:
    line = Flipping()
    ours, theirs = socket.socketpair()
    theirs.send(b"x")  # always ready to be read
    device = FramedDevice(ours.detach(), line.read, line.write)
    for i in range(3000):
        torque = 10.0 + 10.0 * np.sin(i / 100)
        device.apply((torque, torque))
        device.stride()
        assert max(line.firmware.torque) <= 20.0
        assert all(0.0 <= measured <= 20.0 for measured in device.measured())
    assert line.firmware.frames.counts[NO_FRAME] > 100
    assert device.dropped[NO_FRAME] > 100
    device.close()
    theirs.close()


def test_the_firmware_takes_no_number_that_is_none() -> None:
    firmware = Firmware(highest=10.0, slope=1e9)
    for i, (told, torque) in enumerate(
        [(5.0, 5.0), (np.nan, 0.0), (np.inf, 0.0), (-1e30, -10.0), (11.0, 10.0)]
    ):
        firmware.step(frame(COMMAND, i + 1, told, told), i * 0.01, 0.01)
        assert firmware.torque == [torque, torque]
    firmware.step(b"", 0.2, 0.01)  # no command for 50 ms
    assert firmware.torque == [0.0, 0.0]


def test_an_answer_names_the_device() -> None:
    _, _, content = Frames().read(Firmware(highest=12.5).step(frame(ASK, 1), 0.0, 0.0))[0]
    assert content == (b"emulated-1".ljust(16, b"\0"), b"1.0".ljust(16, b"\0"), 2, 12.5, pytest.approx(0.05))
    assert ANSWER == 4
