"""The owner's side of a guard: `GuardProcess` starts the process, and tells it what to do."""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.torque_profile import project, why_infeasible
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.wire import CHUNK, MAX_REASON, Status, line

START_SECONDS = 60.0  # that the process may take to start and to open the device
ANSWER_SECONDS = 2.0  # that it may take to answer; later it counts as hanging
CLOSE_SECONDS = 5.0  # that it may take to end after the stop time; later it counts as hanging
_ROUNDING = 1e-9  # N·m/kg and % stride
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); " + (
    "from policysearch.hitl.guard.process import serve; serve(**json.loads(sys.argv[2]))"
)


class GuardProcess:
    """A running guard, seen from its owner, which has to `beat` more often than the heartbeat.

    Use it as a context manager, or call `close`. Threads may share it. The guard starts armed, without a law.

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
        """The identifier of the process."""
        return self._process.pid

    @property
    def limits(self) -> GuardLimits:
        """The limits in force."""
        return self._limits

    def beat(self) -> None:
        """Tell the guard that its owner is alive.

        Raises:
            RuntimeError: if the process has ended or hangs; so do all methods that send a message.
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
        self._ask("stop", reason=reason[:MAX_REASON])

    def rearm(self, reason: str) -> None:
        """Let torque through again, with the law as before.

        Raises:
            ValueError: without a reason, or while the torque is not yet zero.
        """
        self._ask("rearm", reason=reason[:MAX_REASON])

    def restrict(self, limits: GuardLimits) -> None:
        """Lower the limits; see `TorqueGuard.restrict`. A law above the highest torque is clipped to it."""
        self._ask("restrict", limits=asdict(limits))
        self._limits = limits

    def status(self) -> Status:
        """The state of the guard, the last one if it has ended.

        Raises:
            RuntimeError: if it hangs.
        """
        with contextlib.suppress(_EndedError):
            self._ask("status")
        return self._last

    def close(self) -> None:
        """Make the guard ramp to zero, close the device and end.

        Raises:
            RuntimeError: if it was killed, also by this method because it hung.
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
            self._pipe.sendall(line(message))
        except TimeoutError:
            raise self._hangs() from None
        except OSError:  # it has ended, and its last line says why
            self._answer(-1)

    def _answer(self, number: int) -> dict[str, Any]:
        """The answer with this number; answers to older messages came too late and are dropped."""
        while True:
            text, end, rest = self._unread.partition(b"\n")
            if not end:
                self._unread += self._more()
                continue
            self._unread = rest
            answer: dict[str, Any] = json.loads(text)
            self._last = Status(**answer["status"])
            if not self._last.running:
                self._ended = True
                raise _EndedError(self._last.stop_reason)
            if answer["number"] == number:
                return answer

    def _more(self) -> bytes:
        try:
            if data := self._pipe.recv(CHUNK):
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
