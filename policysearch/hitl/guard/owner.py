"""The owner's side of a guard: `GuardProcess` starts the process, and tells it what to do."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from jaxtyping import Float

from policysearch.core import Array
from policysearch.files import check_writable
from policysearch.hitl.child import child_process
from policysearch.hitl.guard.connection import ANSWER_SECONDS, CLOSE_SECONDS, Connection, EndedError
from policysearch.hitl.guard.ring import AFTER, SECONDS, Ring, columns, shared_file
from policysearch.hitl.guard.settings import GuardSettings
from policysearch.hitl.guard.torque_guard import GuardLimits
from policysearch.hitl.guard.wire import BEAT, MAX_REASON, Status

START_SECONDS = 60.0  # that the process may take to start and to open the device


class GuardProcess:
    """A running guard, seen from its owner, which has to `arm` it and to `beat` more often than the heartbeat.

    Use it as a context manager, or call `close`. Threads may share it. The guard starts stopped, without a law.

    Args:
        limits: in N·m/kg, as laws are. The device's own limit in N·m holds as well; for one of yours, see
            `GuardLimits.within`.
        device: what makes the `Device`, as "module:name". It is imported and called in the guard's process.
        settings: the person's mass, and more.
        options: the arguments of the device, as JSON can carry them.

    Raises:
        ValueError: for limits in another unit, a device that is not "module:name", or a period above the longest
            tick.
        OSError: if no file can be made in the folder for records.
        RuntimeError: if the device cannot be opened.
    """

    def __init__(
        self,
        limits: GuardLimits,
        device: str,
        settings: GuardSettings,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if limits.unit != "N·m/kg":
            raise ValueError(f"limits: expected N·m/kg, as laws are, got {limits.unit}")
        if not all(device.partition(":")):
            raise ValueError(f"device: expected 'module:name', got {device!r}")
        if not settings.period <= limits.longest_tick:
            raise ValueError(
                f"period: expected at most the longest tick, {limits.longest_tick:g} s, got {settings.period}"
            )
        self._limits, self._modules = limits, frozenset[str]()
        if settings.records:
            settings.records.mkdir(parents=True, exist_ok=True)
            check_writable(settings.records)
        self._file, self._size = shared_file(), math.ceil(SECONDS / settings.period)
        alive, end = os.pipe()
        ours, theirs = socket.socketpair()
        with theirs:
            told = {"pipe": theirs.fileno(), "owner": os.getpid(), "ring": (self._file, self._size)}
            told |= {"device": device, "options": dict(options or {})}
            told |= {"settings": asdict(replace(settings, records=None)) | {"limits": asdict(limits)}}
            files = [theirs.fileno(), self._file, end]
            self._process = child_process(
                "guard.process", "serve", told, files=files, stderr=subprocess.DEVNULL
            )
        os.close(end)
        self._connection = Connection(ours, self._process)
        try:
            self._open(settings, alive)
        except BaseException:
            self._process.kill()
            self._process.wait()
            ours.close()
            os.close(self._file)
            raise
        finally:
            os.close(alive)

    def _open(self, settings: GuardSettings, alive: int) -> None:
        """Wait for the process, and start the recorder."""
        self._connection.pipe.settimeout(START_SECONDS)
        self._connection.answer(0)
        self._connection.pipe.settimeout(ANSWER_SECONDS)
        device = self._connection.last.device
        self._limits = self._limits.within(device["highest"], settings.mass)
        self._columns = columns(device["sides"])
        self._ring = Ring(self._file, len(self._columns), self._size)
        self._recorder = None
        if settings.records:
            told = {"file": self._file, "alive": alive, "columns": self._columns, "size": self._size}
            told |= {"after": self._limits.stop_time + AFTER, "folder": str(settings.records.absolute())}
            files = [self._file, alive]
            self._recorder = child_process(
                "guard.ring", "record", told, files=files, stderr=subprocess.DEVNULL
            )

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
        """The limits in force, that of the device included."""
        return self._limits

    def beat(self) -> None:
        """Tell the guard that its owner is alive.

        Raises:
            RuntimeError: if the process has ended or hangs; so do all methods that send a message.
        """
        self.send_raw(BEAT + b"\n")

    def send_raw(self, message: bytes) -> None:
        """Send bytes as they are: for checks of what the guard does with them."""
        with self._connection.lock:
            self._connection.send(message)

    def set_law(self, law: Float[Array, "d"] | None) -> None:
        """Follow this law from the next swing of each side on; `Status.law` tells when it is in force.

        Args:
            law: peak torque (N·m/kg), peak time, rise time and fall time (% stride); None is no torque.

        Raises:
            ValueError: for a law that is not feasible, but for rounding, with the highest torque in force, or that is
                steeper than the slope at the present stride time.
        """
        if law is not None and law.shape != (4,):
            raise ValueError(f"law: expected 4 numbers, got shape {law.shape}")
        self._connection.ask("law", law=None if law is None else law.tolist())

    def stop(self, reason: str) -> None:
        """Stop: the torque goes to zero and stays there. Only the first reason is kept."""
        self._connection.ask("stop", reason=reason[:MAX_REASON])

    def arm(self, reason: str) -> None:
        """Let torque through, with the law that was set last from the next swing on. It counts as a beat.

        Import all that the session needs before: an import takes longer than a heartbeat. See `late_imports`.

        Raises:
            ValueError: without a reason, or while the torque is not yet zero.
        """
        self._modules = frozenset(sys.modules)
        self._connection.ask("arm", reason=reason[:MAX_REASON])

    @property
    def late_imports(self) -> list[str]:
        """Modules that this process has imported since the guard was armed; there should be none."""
        return sorted(sys.modules.keys() - self._modules) if self._modules else []

    def recent(self) -> tuple[list[str], list[tuple[float, ...]]]:
        """Names of columns, and their numbers in the ticks of the last 10 s, oldest first; see `ring.columns`."""
        return self._columns, self._ring.rows()

    def restrict(self, limits: GuardLimits) -> None:
        """Lower the limits; see `TorqueGuard.restrict`. A law above the highest torque is clipped to it."""
        self._connection.ask("restrict", limits=asdict(limits))
        self._limits = limits

    def lower(self, highest: float) -> None:
        """Let no more than this torque (N·m/kg) through from now on; a higher one changes nothing.

        Raises:
            ValueError: for what is not a positive number.
        """
        if highest < self._limits.highest:
            self.restrict(replace(self._limits, highest=highest))

    def status(self) -> Status:
        """The state of the guard, the last one if it has ended.

        Raises:
            RuntimeError: if it hangs.
        """
        with contextlib.suppress(EndedError):
            self._connection.ask("status")
        return self._connection.last

    def close(self) -> None:
        """Make the guard ramp to zero, close the device and end.

        Raises:
            RuntimeError: if it was killed, also by this method because it hung.
        """
        connection = self._connection
        with connection.lock:
            connection.pipe.close()
            try:
                code = self._process.wait(self._limits.stop_time + CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            if self._recorder:
                self._recorder.wait(CLOSE_SECONDS)
            if not connection.ended:
                connection.end(f"exit code {code}" if code else "closed", math.nan if code else 0.0)
            if code == -signal.SIGKILL:
                raise RuntimeError("the guard process was killed: the device may still be under torque")
