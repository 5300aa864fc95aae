"""The guard's process: it ticks the `Control`, drives the device, and obeys its owner."""

import contextlib
import json
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, NoReturn

from policysearch.hitl.guard import realtime
from policysearch.hitl.guard.ceiling import Ceiling
from policysearch.hitl.guard.control import Control, Reading, law_of
from policysearch.hitl.guard.device import Description, opened
from policysearch.hitl.guard.driver import Driver, said
from policysearch.hitl.guard.ring import Ring, columns
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.watch import WatchLimits
from policysearch.hitl.guard.wire import (
    BEAT,
    CHUNK,
    MAX_BEATS,
    MAX_LINE,
    MAX_MESSAGES,
    MAX_REASON,
    Status,
    line,
)

GARBAGE = "the guard was sent what it cannot read"
FLOOD = "the guard was sent more messages than it can read"
#: Signals that a terminal sends, which the owner decides about; and those that no program can or should catch.
_IGNORED = ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU")
_UNCAUGHT = (
    "SIGKILL",
    "SIGSTOP",
    "SIGSEGV",
    "SIGBUS",
    "SIGFPE",
    "SIGILL",
    "SIGCHLD",
    "SIGCONT",
    "SIGURG",
    "SIGWINCH",
)
_LIMITS = {field.name for field in fields(GuardLimits)}


class _Server:
    """The loop of the guard's process."""

    def __init__(
        self,
        pipe: socket.socket,
        owner: int,
        device: Description,
        *,
        control: Control,
        driver: Driver,
        ring: Ring,
    ) -> None:
        self.pipe, self.owner, self.control, self.driver, self.ring = pipe, owner, control, driver, ring
        self.description, self.most = asdict(device), control.limits.exceptions
        self.ticks, self.gaps, self.scheduling = 0, realtime.Gaps(), ""
        self.leaving = ""  # why it ramps to zero and ends; empty while it continues
        self._unread, self._marked, self._stops = b"", control.stop_reason, 0

    def leave(self, reason: str) -> None:
        """Ramp to zero, and then end."""
        self.leaving = self.leaving or reason

    def run(self, period: float) -> None:
        """Tick until the process is to end and the torque is zero."""
        due = last = time.monotonic()
        while True:
            try:
                torques = self.tick()
            except Exception as error:  # whatever it was, the torque ramps first
                self.leave(f"the guard raised {said(error)}")
                torques = self.control.ramp()
                self.driver.apply(torques)
            self.ticks += 1
            if self.leaving and not any(torques):
                return
            now = time.monotonic()
            due = max(due + period, now)
            time.sleep(due - now)
            now = time.monotonic()
            self.gaps.add(now - last)
            if now - last >= self.control.guards[0].limits.heartbeat:
                self.control.stop(f"a tick of the guard came {now - last:.2g} s after the one before")
            last = now

    def tick(self) -> tuple[float, ...]:
        """Hear the owner and the device, and tell the device its torques."""
        if not self.leaving:
            self.hear()
        reading = self.driver.read()
        if self.driver.in_a_row >= self.most:
            self.leave(f"the device raised {self.driver.error}, in {self.most} ticks in a row")
        if self.leaving:
            self.control.stop(self.leaving)
        torques = self.control.tick(reading)
        self.driver.apply(torques)
        self.note(reading, torques)
        return torques

    def note(self, reading: Reading, torques: tuple[float, ...]) -> None:
        """Write this tick into the ring."""
        if (reason := self.control.stop_reason) != self._marked:
            self._marked, self._stops = reason, self._stops + bool(reason)
            self.ring.mark(self._stops, reason)
        told = zip(reading.strides, torques, reading.measured, strict=True)
        sides = [n for stride, torque, measured in told for n in (*stride[:2], torque, measured)]
        self.ring.write([time.monotonic(), not reason, *sides])

    def hear(self) -> None:
        """Do what the messages since the last tick say, of which there may be only so many."""
        if os.getppid() != self.owner:  # a child of the owner may still hold the other end of the pipe
            self.leave("the process that owned the guard has ended")
        try:
            data = self.pipe.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.leave("the pipe to the guard is closed")
        *lines, self._unread = (self._unread + data).split(b"\n")
        messages = [text for text in lines if text != BEAT]
        if len(lines) > len(messages):
            self.control.beat()
        for text in messages[:MAX_MESSAGES]:
            self.obey(text)
        if len(messages) > MAX_MESSAGES or len(lines) - len(messages) > MAX_BEATS:
            self.control.stop(FLOOD)
        if len(self._unread) > MAX_LINE:
            self._unread = b""
            self.control.stop(GARBAGE)

    def obey(self, text: bytes) -> None:
        """Do what a message says; stop if it cannot be read."""
        try:
            if len(text) > MAX_LINE:
                raise ValueError(f"expected at most {MAX_LINE} bytes, got {len(text)}")
            message = json.loads(text)
            number = int(message["number"])
            act = self.action(message)
        except Exception:  # whatever it was
            self.control.stop(GARBAGE)
            return
        try:
            act()
            self.tell(number)
        except ValueError as error:
            self.tell(number, str(error))

    def action(self, message: Mapping[str, Any]) -> Callable[[], object]:
        """What a message asks for; every part of it has been looked at."""
        match message:
            case {"do": "status"}:
                return lambda: None
            case {"do": "law", "law": None}:
                return lambda: self.control.set_law(None)
            case {"do": "law", "law": law}:
                asked = law_of(law)
                return lambda: self.control.set_law(asked)
            case {"do": "stop", "reason": str(reason)}:
                return lambda: self.control.stop(reason[:MAX_REASON])
            case {"do": "arm", "reason": str(reason)}:
                return lambda: self.control.arm(reason[:MAX_REASON])
            case {"do": "restrict", "limits": {**limits}} if limits.keys() == _LIMITS:
                fields_of: dict[str, Any] = message["limits"]
                return lambda: self.control.restrict(GuardLimits(**fields_of))
        raise TypeError(message)

    def end(self, reason: str) -> None:
        """Say that the process ends, and why."""
        torques = [*self.control.torques] if self.driver.delivered else [math.nan] * self.driver.sides
        self.ring.mark(self._stops, reason, ended=True)
        tell(self.pipe, 0, replace(self.status(), stop_reason=reason, torque=torques, running=False))

    def tell(self, number: int, refused: str = "") -> None:
        """Answer, without waiting for the owner to read it."""
        tell(self.pipe, number, self.status(), refused)

    def status(self) -> Status:
        """The state of the guard now."""
        control, law = self.control, self.control.law
        return Status(
            control.stop_reason,
            torque=[*control.torques],
            measured=[*self.driver.measured],
            stride=[watch.percent for watch in control.watches],
            stride_time=[watch.stride_time for watch in control.watches],
            law=None if law is None else law.tolist(),
            waiting=control.waiting,
            refused=control.refused,
            highest=control.highest,
            counts=control.total() | self.driver.dropped(),
            ticks=self.ticks,
            gaps=self.gaps.counts,
            longest_gap=self.gaps.longest,
            scheduling=self.scheduling,
            device=self.description,
        )


def tell(pipe: socket.socket, number: int, status: Status, refused: str = "") -> None:
    """Send an answer, or none if the owner does not read."""
    with contextlib.suppress(OSError):
        pipe.send(line({"number": number, "refused": refused, "status": asdict(status)}))


def serve(
    *,
    pipe: int,
    owner: int,
    device: str,
    options: dict[str, Any],
    settings: dict[str, Any],
    ring: tuple[int, int],
) -> NoReturn:
    """Run the guard's process from its start to its end.

    Args:
        pipe: the end of a socket to the owner.
        owner: its process.
        device: what makes the device, as "module:name".
        options: its arguments.
        settings: limits, watch, ceiling, mass (kg) and period (s).
        ring: file and rows of the ring.
    """
    for name in _IGNORED:  # the owner decides
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    ours = socket.socket(fileno=pipe)
    ours.setblocking(False)
    scheduling = realtime.ask()  # before there are threads of the device
    try:
        driven = opened(device, options)
        described = driven.describe()
        control = _control(described, settings)
        driver = Driver(driven, len(described.sides), settings["mass"], control.count)
        kept = Ring(ring[0], len(columns(described.sides)), ring[1])
        server = _Server(ours, owner, described, control=control, driver=driver, ring=kept)
    except BaseException as error:
        reason = f"the device {device} was not opened: {said(error)}"
        tell(ours, 0, Status(reason, running=False))
        os._exit(1)
    server.scheduling = scheduling
    _catch_signals(server)
    server.tell(0)
    server.run(settings["period"])
    os._exit(_ended(server))  # even if threads of the device still run


def _control(described: Description, settings: dict[str, Any]) -> Control:
    limits = GuardLimits(**settings["limits"]).within(described.highest, settings["mass"])
    rising = Ceiling(**settings["ceiling"]) if settings["ceiling"] else None
    return Control(limits, described.sides, WatchLimits(**settings["watch"]), rising)


def _catch_signals(server: _Server) -> None:
    """Whatever signal would end the process lets it ramp first, unless it is one that cannot be caught."""

    def leave(number: int, _: object) -> None:
        server.leave(signal.Signals(number).name if number in [*signal.Signals] else f"signal {number}")

    for number in signal.valid_signals() - {getattr(signal, name, 0) for name in _UNCAUGHT}:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, leave)


def _ended(server: _Server) -> int:
    """Close the device and say why; returns the exit code."""
    reason, code = server.leaving, int(not server.driver.delivered)
    try:
        server.driver.device.close()
    except BaseException as error:
        code, reason = 1, f"{reason}; closing it raised {said(error)}"
    server.end(reason)
    return code
