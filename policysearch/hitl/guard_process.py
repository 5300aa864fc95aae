"""The torque guard in a process of its own, so that it runs on while everything else hangs, crashes or is killed.

**It replaces neither the device's firmware limits nor its physical stop.** It is a program on a computer that does
other things too: if its process is killed or suspended, the machine stands still, or the device does not return
from a call, nothing ramps, and the device has to act by itself.

Every period the process reads what it was told, asks the device for the moment of the stride, takes the torque of
the law there (zero while there is none), and gives the device what the `TorqueGuard` makes of it. It ramps to zero,
and stays there until re-armed, if

    no `beat` has come for `limits.heartbeat`     the one who tells it hangs, or is stopped (Ctrl-Z, SIGSTOP)
    a line cannot be read                         whatever came instead
    `stop` was called

If the one who tells it has ended, however it ended, or on SIGTERM, it ramps to zero, closes the device and ends. If
the device raises, no ramp is possible: it closes the device and ends, and `status` says why. It is a new program in
a session of its own: it shares no lock, file or memory with the one who started it, and a terminal cannot interrupt
or suspend it. Lines of JSON go both ways. It writes nothing to disk or terminal, so that neither can block it.
"""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.torque_profile import project, torque_and_slope_at, why_infeasible
from policysearch.hitl.guard import GuardLimits, TorqueGuard

START_SECONDS = 60.0  # s that the process may take to start and to open the device
ANSWER_SECONDS = 2.0  # s, then it hangs
CLOSE_SECONDS = 5.0  # s after the stop time, then it hangs
LONGEST_REASON = 500  # characters that are kept
_CHUNK = 65536  # bytes read per tick; a longer line is garbage
_ROUNDING = 1e-9  # N·m/kg and % stride
_GARBAGE = "the guard was sent what it cannot read"
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); " + (
    "from policysearch.hitl.guard_process import serve; serve(**json.loads(sys.argv[2]))"
)
_torque_at = torque_and_slope_at.py_func  # in plain Python: 2 µs, and no compiling before the first tick


@runtime_checkable
class Device(Protocol):
    """An exoskeleton. No call should take longer than a period."""

    def stride(self) -> float:
        """The moment of the stride now, in %."""

    def apply(self, torque: float) -> None:
        """Make this the torque until the next call, in N·m/kg."""

    def close(self) -> None:
        """Give the device back. Called once, also after it has raised."""


class SimulatedAnkle:
    """A device to try things out: walks with equal strides, and writes time (s) and torque (N·m/kg) to a CSV file.

    The time is that of `time.monotonic`. The last line is "closed".
    """

    def __init__(self, log: str, stride_time: float = 1.1) -> None:  # s
        self.stride_time, self._start = stride_time, time.monotonic()
        self._log = Path(log).open("w", buffering=1, encoding="utf-8")  # noqa: SIM115 - `close` does

    def stride(self) -> float:
        """The moment of the stride now, in %."""
        return 100.0 * ((time.monotonic() - self._start) / self.stride_time % 1.0)

    def apply(self, torque: float) -> None:
        """Write it down."""
        self._log.write(f"{time.monotonic()!r},{torque!r}\n")

    def close(self) -> None:
        """Write that down, too."""
        self._log.write("closed\n")
        self._log.close()


@dataclass(frozen=True)
class Status:
    """How the guard is."""

    torque: float  # N·m/kg, given to the device last; NaN after the process ended without a ramp
    stop_reason: str  # empty while it is armed
    counts: Mapping[str, int]  # how many ticks had something amiss, by what it was
    ticks: int
    running: bool = True


class GuardProcess:
    """A guard that runs, seen from the one who tells it what to do, who has to `beat` more often than the heartbeat.

    Use it as a context manager, or call `close`. Threads may share it. It starts armed, without a law.

    Args:
        limits: in N·m/kg, as laws are.
        device: what makes the `Device`, as "module:name". It is imported and called in the guard's process.
        options: its arguments, as JSON can carry them.
        period: s between ticks.

    Raises:
        ValueError: for limits in another unit, a device that is not "module:name", or a period that is not
            positive or above the longest tick.
        RuntimeError: if the device cannot be opened.
    """

    def __init__(
        self,
        limits: GuardLimits,
        device: str,
        options: Mapping[str, Any] | None = None,
        *,
        period: float = 0.005,
    ) -> None:
        if limits.unit != "N·m/kg":
            raise ValueError(
                f"limits: expected N·m/kg, as laws are, got {limits.unit}; let the device convert"
            )
        if not all(device.partition(":")):
            raise ValueError(f"device: expected 'module:name', got {device!r}")
        if not 0.0 < period <= limits.longest_tick:
            raise ValueError(
                f"period: expected a positive number of s up to the longest tick, {limits.longest_tick:g}, "
                f"got {period}"
            )
        self._limits, self._lock, self._asked, self._unread = limits, threading.Lock(), 0, b""
        self._last, self._ended = Status(0.0, "", {}, 0), False
        self._pipe, theirs = socket.socketpair()
        told = {"pipe": theirs.fileno(), "owner": os.getpid(), "limits": asdict(limits), "period": period}
        told |= {"device": device, "options": dict(options or {})}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path), json.dumps(told)],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._pipe.settimeout(START_SECONDS)
        try:
            self._answer(0)
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._pipe.close()
            raise
        self._pipe.settimeout(ANSWER_SECONDS)

    def __enter__(self) -> "GuardProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def limits(self) -> GuardLimits:
        """The limits in force."""
        return self._limits

    def beat(self) -> None:
        """Tell the guard that the one who tells it is alive.

        Raises:
            RuntimeError: if the process has ended or hangs, as all methods do that tell it something.
        """
        with self._lock:
            self._send({"do": "beat"})

    def set_law(self, law: Float[Array, "d"]) -> None:
        """Follow this law: peak torque (N·m/kg), peak time, rise time and fall time (% stride).

        Raises:
            ValueError: for a law that is not feasible, but for rounding, with the highest torque in force.
        """
        if law.shape != (4,):
            raise ValueError(f"law: expected 4 numbers, got shape {law.shape}")
        feasible = project(law, self._limits.highest)
        if not (np.abs(feasible - law) <= _ROUNDING).all():
            raise ValueError(f"law: {why_infeasible(law, self._limits.highest)}")
        self._ask("law", law=feasible.tolist())

    def stop(self, reason: str) -> None:
        """Stop: the torque goes to zero and stays there. Only the first reason is kept."""
        self._ask("stop", reason=reason[:LONGEST_REASON])

    def rearm(self, reason: str) -> None:
        """Let torque through again; the law that it had goes on.

        Raises:
            ValueError: without a reason, or while the torque is not yet zero.
        """
        self._ask("rearm", reason=reason[:LONGEST_REASON])

    def restrict(self, limits: GuardLimits) -> None:
        """Lower the limits; see `TorqueGuard.restrict`. What a law has above the highest torque is cut off."""
        self._ask("restrict", limits=asdict(limits))
        self._limits = limits

    def status(self) -> Status:
        """How the guard is, or was when it ended.

        Raises:
            RuntimeError: if it hangs.
        """
        with contextlib.suppress(_EndedError):
            self._ask("status")
        return self._last

    def close(self) -> None:
        """Have the guard ramp to zero, close the device and end.

        Raises:
            RuntimeError: if it was killed, by somebody or because it hung.
        """
        with self._lock:
            self._pipe.close()
            try:
                code = self._process.wait(self._limits.stop_time + CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            if not self._ended:
                self._end(f"exit code {code}" if code else "closed", math.nan if code else 0.0)
            if code == -signal.SIGKILL:
                raise RuntimeError("the guard process was killed: the device may still be under torque")

    def _ask(self, do: str, **rest: object) -> None:
        with self._lock:
            self._asked += 1
            self._send({"do": do, "number": self._asked, **rest})
            answer = self._answer(self._asked)
        if answer["refused"]:
            raise ValueError(answer["refused"])

    def _send(self, message: Mapping[str, object]) -> None:
        if self._ended:
            raise _EndedError(self._last.stop_reason)
        try:
            self._pipe.sendall(_line(message))
        except TimeoutError:
            raise self._hangs() from None
        except OSError:  # it has ended, and its last line says why
            self._answer(-1)

    def _answer(self, number: int) -> dict[str, Any]:
        """The answer of this number; those to older questions came too late and are dropped."""
        while True:
            line, end, rest = self._unread.partition(b"\n")
            if not end:
                self._unread += self._more()
                continue
            self._unread = rest
            answer: dict[str, Any] = json.loads(line)
            self._last = Status(**answer["status"])
            if not self._last.running:
                self._ended = True
                raise _EndedError(self._last.stop_reason)
            if answer["number"] == number:
                return answer

    def _more(self) -> bytes:
        try:
            if data := self._pipe.recv(_CHUNK):
                return data
        except TimeoutError:
            raise self._hangs() from None
        except OSError:
            pass
        self._end(f"exit code {self._process.wait(CLOSE_SECONDS)}", math.nan)
        raise _EndedError(self._last.stop_reason)

    def _end(self, reason: str, torque: float) -> None:
        self._ended, self._last = True, replace(self._last, stop_reason=reason, torque=torque, running=False)

    def _hangs(self) -> RuntimeError:
        return RuntimeError(
            f"the guard process has not answered for {self._pipe.gettimeout():g} s: use the physical stop"
        )


class _EndedError(RuntimeError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the guard process has ended: {reason}")


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


class _Server:
    """What runs in the guard's process."""

    def __init__(self, pipe: socket.socket, owner: int, device: Device, limits: GuardLimits) -> None:
        self.pipe, self.owner, self.device = pipe, owner, device
        self.guard = TorqueGuard(limits)
        self.law: Float[Array, "4"] | None = None
        self.ticks = 0
        self.leaving = ""  # why it ramps to zero for the last time
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
        """Do what has been told since the last tick."""
        if os.getppid() != self.owner:  # a child of the owner may still hold the other end of the pipe
            self.leave("the process that owned the guard has ended")
        try:
            data = self.pipe.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.leave("the pipe to the guard is closed")
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self.obey(line)
        if len(self._unread) > _CHUNK:
            self._unread = b""
            self.guard.stop(_GARBAGE)

    def obey(self, line: bytes) -> None:
        """Do what a line says, and stop if nobody can tell what that is."""
        try:
            message = json.loads(line)
            if message != {"do": "beat"}:
                self.tell(int(message["number"]), self.refusal(message))
                return
            self.guard.beat()
        except Exception:  # whatever it was
            self.guard.stop(_GARBAGE)

    def refusal(self, message: Mapping[str, Any]) -> str:
        """Do what a message says; returns why not, if it is not done."""
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
        """Answer, without waiting for anybody to listen."""
        status = Status(self.guard.torque, self.guard.stop_reason, self.guard.counts, self.ticks)
        _tell(self.pipe, number, status, refused)


def _tell(pipe: socket.socket, number: int, status: Status, refused: str = "") -> None:
    with contextlib.suppress(OSError):
        pipe.send(_line({"number": number, "refused": refused, "status": asdict(status)}))


def _said(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()[:LONGEST_REASON]


def serve(
    *, pipe: int, owner: int, limits: dict[str, Any], period: float, device: str, options: dict[str, Any]
) -> NoReturn:
    """What the guard's process does from its start to its end."""
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
    os._exit(code)  # whatever threads the device has left
