"""The engine's side of the guard: laws, stops, and a heart that beats as long as the engine works."""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from jaxtyping import Float

from policysearch.core import Array

BEATS = 0.02  # s between beats
LAPSE = 1.0  # s without a sign of the engine's loop, after which its heart stops


class Guard(Protocol):
    """What the engine needs of a guard; see `policysearch.hitl.guard.owner.GuardProcess`."""

    def beat(self) -> None:
        """Tell it that its owner is alive; RuntimeError once it has ended."""

    def set_law(self, law: Float[Array, "4"] | None) -> None:
        """Follow this law, or none; ValueError for one that it refuses."""

    def stop(self, reason: str) -> None:
        """Let the torque go to zero, and stay there."""

    def arm(self, reason: str) -> None:
        """Let torque through again."""

    def status(self) -> Any:
        """Its state: `running`, `stop_reason`, `torque`, `law` and `device` are used."""

    def close(self) -> None:
        """End it."""


class Drive:
    """A guard that is started when it is first armed, and its heart.

    The heart is a thread, so that a slow disk or a slow search makes no gap. It stops when the engine's loop has not
    called `alive` for `LAPSE` seconds: an engine that hangs is one that has died.

    Args:
        make: starts a guard.
    """

    def __init__(self, make: Callable[[], Guard]) -> None:
        self._make = make
        self._guard: Guard | None = None
        self._seen, self._quit = time.monotonic(), threading.Event()
        self._ended = ""

    @property
    def trouble(self) -> str:
        """Why there is no torque although the guard was armed; empty if there may be some."""
        if self._guard is None:
            return self._ended
        try:
            status = self._guard.status()
        except RuntimeError as error:
            return self._lost(str(error))
        return self._lost(status.stop_reason) if not status.running else str(status.stop_reason)

    def alive(self) -> None:
        """The engine's loop works."""
        self._seen = time.monotonic()

    def arm(self, reason: str) -> dict[str, Any]:
        """Let torque through; start a guard if there is none. Returns what its device says of itself.

        Raises:
            RuntimeError: if it cannot be started.
            ValueError: while there is torque, or without a reason.
        """
        if self._guard is None:
            self._guard, self._ended = self._make(), ""
            self._quit = threading.Event()
            threading.Thread(target=self._beat, args=(self._guard, self._quit), daemon=True).start()
        self._guard.beat()
        self._guard.arm(reason)
        return dict(self._guard.status().device)

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
        return {"armed": armed, "why": status.stop_reason, "torque": torque, "law": status.law}

    def close(self) -> None:
        """End the guard, which ramps to zero first."""
        self._quit.set()
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
        while not quit_.wait(BEATS):
            if time.monotonic() - self._seen < LAPSE:
                with contextlib.suppress(RuntimeError):  # `trouble` says so
                    guard.beat()
