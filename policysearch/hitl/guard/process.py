"""The guard's process: it ticks the `TorqueGuard`, drives the device, and obeys its owner."""

import contextlib
import json
import math
import os
import signal
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.torque_profile import torque_and_slope_at
from policysearch.hitl.guard.device import Device
from policysearch.hitl.guard.torque_guard import GuardLimits, TorqueGuard
from policysearch.hitl.guard.wire import CHUNK, MAX_REASON, Status, line

_GARBAGE = "the guard was sent what it cannot read"
_torque_at = torque_and_slope_at.py_func  # in plain Python: 2 µs, and no compiling before the first tick


class _Server:
    """The loop of the guard's process."""

    def __init__(self, pipe: socket.socket, owner: int, device: Device, limits: GuardLimits) -> None:
        self.pipe, self.owner, self.device = pipe, owner, device
        self.guard = TorqueGuard(limits)
        self.law: Float[Array, "4"] | None = None
        self.ticks = 0
        self.leaving = ""  # why it ramps to zero and ends; empty while it continues
        self._unread = b""

    def leave(self, reason: str) -> None:
        """Ramp to zero, and then end."""
        self.leaving = self.leaving or reason

    def run(self, period: float) -> None:
        """Tick until the process is to end and the torque is zero."""
        due = time.monotonic()
        while True:
            if not self.leaving:
                self.hear()
            if self.leaving:
                self.guard.stop(self.leaving)
            stride = float(self.device.stride())
            torque = self.guard.tick(0.0 if self.law is None else _torque_at(self.law, stride, 0.0)[0])
            self.device.apply(torque)
            self.ticks += 1
            if self.leaving and torque == 0.0:
                return
            now = time.monotonic()
            due = max(due + period, now)
            time.sleep(due - now)

    def hear(self) -> None:
        """Do what the messages since the last tick say."""
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
        for text in lines:
            self.obey(text)
        if len(self._unread) > CHUNK:
            self._unread = b""
            self.guard.stop(_GARBAGE)

    def obey(self, text: bytes) -> None:
        """Do what a message says; stop if it cannot be read."""
        try:
            message = json.loads(text)
            if message != {"do": "beat"}:
                self.tell(int(message["number"]), self.refusal(message))
                return
            self.guard.beat()
        except Exception:  # whatever it was
            self.guard.stop(_GARBAGE)

    def refusal(self, message: Mapping[str, Any]) -> str:
        """Do what a message says; returns why, if that is refused."""
        try:
            match message:
                case {"do": "status"}:
                    pass
                case {"do": "law", "law": [_, _, _, _] as law}:
                    self.law = np.array(law, dtype=float)
                case {"do": "stop", "reason": reason}:
                    self.guard.stop(reason)
                case {"do": "rearm", "reason": reason}:
                    self.guard.rearm(reason)
                case {"do": "restrict", "limits": limits}:
                    self.guard.restrict(GuardLimits(**limits))
                case _:
                    raise TypeError(message)
        except ValueError as error:
            return str(error)
        return ""

    def tell(self, number: int, refused: str = "") -> None:
        """Answer, without waiting for the owner to read it."""
        status = Status(self.guard.torque, self.guard.stop_reason, self.guard.counts, self.ticks)
        _tell(self.pipe, number, status, refused)


def _tell(pipe: socket.socket, number: int, status: Status, refused: str = "") -> None:
    with contextlib.suppress(OSError):
        pipe.send(line({"number": number, "refused": refused, "status": asdict(status)}))


def _said(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()[:MAX_REASON]


def serve(
    *, pipe: int, owner: int, limits: dict[str, Any], period: float, device: str, options: dict[str, Any]
) -> NoReturn:
    """Run the guard's process from its start to its end."""
    for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTSTP"):  # the owner decides
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    ours = socket.socket(fileno=pipe)
    ours.setblocking(False)
    module, _, name = device.partition(":")
    try:
        opened = getattr(import_module(module), name)(**options)
        if not isinstance(opened, Device):
            raise TypeError(f"expected stride, apply and close, got {opened!r}")
    except BaseException as error:
        _tell(
            ours, 0, Status(0.0, f"the device {device} was not opened: {_said(error)}", {}, 0, running=False)
        )
        os._exit(1)
    server = _Server(ours, owner, opened, GuardLimits(**limits))
    signal.signal(signal.SIGTERM, lambda *_: server.leave("SIGTERM"))
    server.tell(0)
    torque, code = 0.0, 0
    try:
        server.run(period)
        reason = server.leaving
    except BaseException as error:  # the device's: it may raise anything
        torque, code, reason = math.nan, 1, f"the device raised {_said(error)}"
    try:
        opened.close()
    except BaseException as error:
        code, reason = 1, f"{reason}; closing it raised {_said(error)}"
    _tell(ours, 0, Status(torque, reason, server.guard.counts, server.ticks, running=False))
    os._exit(code)  # even if threads of the device still run
