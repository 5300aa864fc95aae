"""The engine's side of the guard: laws, stops, and a heart that beats as long as the engine works."""

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from jaxtyping import Float

from policysearch.core import Array
from policysearch.hitl.guard.realtime import OWNER_PRIORITY, fifo

BEATS = 0.02  # s between beats
LAPSE = 1.0  # s without a sign of the engine's loop, after which its heart stops


class Guard(Protocol):
    """What the engine needs of a guard; see `policysearch.hitl.guard.owner.GuardProcess`."""

    def beat(self) -> None:
        """Tell it that its owner is alive; RuntimeError once it has ended."""

    def set_law(self, law: Float[Array, "4"] | None) -> None:
        """Follow this law, or none; ValueError for one that it refuses."""

    def lower(self, highest: float) -> None:
        """Let no more than this torque (N·m/kg) through from now on."""

    def stop(self, reason: str) -> None:
        """Let the torque go to zero, and stay there."""

    def arm(self, reason: str) -> None:
        """Let torque through again."""

    def status(self) -> Any:
        """Its state, as `policysearch.hitl.guard.wire.Status` has it."""

    def close(self) -> None:
        """End it."""


class Drive:
    """A guard that is started when it is armed, and its heart.

    The heart is a thread, so that a slow disk or a slow search makes no gap, and runs before every ordinary program
    where that is allowed. It stops when the engine's loop has not called `alive` for `LAPSE` seconds: an engine that
    hangs is one that has died.

    Args:
        make: starts a guard with this highest torque (N·m/kg), for a person of this mass (kg).

    Attributes:
        in_force: the law that the device followed on every side at the last `look`; None for none.
        counts: of ticks with an irregularity and of frames that were dropped, by kind, at the last `look`.
    """

    def __init__(self, make: Callable[[float, float], Guard]) -> None:
        self._make = make
        self._guard: Guard | None = None
        self._seen, self._quit = time.monotonic(), threading.Event()
        self._ended = ""
        self.in_force: list[float] | None = None
        self.counts: Counter[str] = Counter()
        self._device: dict[str, Any] = {}

    def look(self) -> str:
        """Why there is no torque although the guard was armed; empty if there may be some."""
        if self._guard is None:
            return self._ended
        try:
            status = self._guard.status()
        except RuntimeError as error:
            return self._lost(str(error))
        if not status.running:
            return self._lost(status.stop_reason)
        if status.stop_reason or not status.waiting:  # between two laws neither is followed on every side
            self.in_force = status.law
        self.counts, self._device = Counter(status.counts), dict(status.device)
        return str(status.stop_reason or status.refused)

    def alive(self) -> None:
        """The engine's loop works."""
        self._seen = time.monotonic()

    def arm(self, reason: str, highest: float, mass: float) -> dict[str, Any]:
        """Let torque through, of the next law that is told; start a guard if there is none.

        Returns what its device says of itself.

        Raises:
            RuntimeError: if it cannot be started.
            ValueError: while there is torque, or without a reason.
        """
        if self._guard is None:
            self._guard, self._ended = self._make(highest, mass), ""
            self._quit = threading.Event()
            threading.Thread(target=self._beat, args=(self._guard, self._quit), daemon=True).start()
        self._guard.beat()
        self._guard.set_law(None)  # that of a bout which was stopped does not come back
        self._guard.arm(reason)
        self.look()
        return self._device

    def law(self, law: Float[Array, "4"] | None) -> None:
        """Follow this law, or none.

        Raises:
            ValueError: for one that the guard refuses.
            RuntimeError: if it has ended, or is not armed.
        """
        if self._guard is None:
            if law is not None:
                raise RuntimeError("the guard is not armed: arm REASON")
            return
        self._guard.set_law(law)

    def lower(self, highest: float) -> None:
        """Let no more than this torque (N·m/kg) through, from now on.

        Raises:
            ValueError: if the guard refuses it.
        """
        if self._guard is not None:
            with contextlib.suppress(
                RuntimeError
            ):  # it has ended: `look` says so, and another one starts lower
                self._guard.lower(highest)

    def stop(self, reason: str) -> None:
        """Let the torque go to zero, whatever else is the matter."""
        if self._guard is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._guard.stop(reason)

    def state(self) -> dict[str, Any]:
        """What is shown of the guard."""
        if self._guard is None:
            return {"armed": False, "why": self._ended or "not armed yet", "torque": []}
        try:
            status = self._guard.status()
        except RuntimeError as error:
            return {"armed": False, "why": str(error), "torque": []}
        armed = status.running and not status.stop_reason
        torque = [number if math.isfinite(number) else None for number in status.torque]
        shown = {"armed": armed, "why": status.stop_reason, "torque": torque, "law": status.law}
        shown |= {"measured": [number if math.isfinite(number) else None for number in status.measured]}
        return shown | {"highest": status.highest, "counts": dict(status.counts)}

    def close(self) -> None:
        """End the guard, which ramps to zero first."""
        self._quit.set()
        self.in_force = None
        if self._guard is not None:
            guard, self._guard = self._guard, None
            with contextlib.suppress(RuntimeError):
                guard.close()

    def _lost(self, reason: str) -> str:
        """The guard has ended or hangs; the next `arm` starts another one."""
        self._ended = reason or "the guard has ended"
        self.close()
        return self._ended

    def _beat(self, guard: Guard, quit_: threading.Event) -> None:
        fifo(OWNER_PRIORITY)
        while not quit_.wait(BEATS):
            if time.monotonic() - self._seen < LAPSE:
                with contextlib.suppress(RuntimeError):  # `look` says so
                    guard.beat()
