"""The guard's way to its device: calls that may raise anything, and torques in N·m/kg."""

import math
import time
import traceback
from collections.abc import Callable
from typing import Any

from policysearch.hitl.guard.control import Reading
from policysearch.hitl.guard.device import Device, Stride
from policysearch.hitl.guard.wire import MAX_REASON


class Driver:
    """The device, whose exceptions are counted, and whose last answers are kept.

    Attributes:
        in_a_row: ticks in which it has raised, without one between in which it has not.
        error: what it raised last.
        delivered: whether it has taken the torque that it was told last.
    """

    def __init__(self, device: Device, sides: int, mass: float, count: Callable[[str], None]) -> None:
        self.device, self.sides, self._mass, self._count = device, sides, mass, count
        unknown = Stride(math.nan, math.inf, math.nan)
        self.strides: tuple[Stride, ...] = (unknown,) * self.sides
        self.measured: tuple[float, ...] = (math.nan,) * self.sides
        self.in_a_row, self.error, self.delivered = 0, "", True
        self._read_at, self._raised = time.monotonic(), False

    def read(self) -> Reading:
        """What the device says now; what it does not say stays as it was, and gets older."""
        now, self._raised = time.monotonic(), False
        passed, self._read_at = now - self._read_at, now
        older = tuple(stride._replace(age=stride.age + passed) for stride in self.strides)
        self.strides = self._answer(
            "stride", lambda: tuple(map(_stride, self._all(self.device.stride()))), older
        )
        self.measured = self._answer(
            "measured",
            lambda: tuple(float(n) / self._mass for n in self._all(self.device.measured())),
            self.measured,
        )
        fault = self._answer("fault", lambda: str(self.device.fault())[:MAX_REASON], "")
        return Reading(
            self.strides,
            self.measured,
            fault,
            self._answer("estop", lambda: bool(self.device.estop()), False),
        )

    def apply(self, torques: tuple[float, ...]) -> None:
        """Tell the device torques in N·m/kg."""

        def deliver() -> bool:
            self.device.apply(tuple(torque * self._mass for torque in torques))
            return True

        self.delivered = self._answer("apply", deliver, False)
        self.in_a_row = self.in_a_row + 1 if self._raised else 0

    def dropped(self) -> dict[str, int]:
        """Numbers of what the device's line has received and not taken, by reason, where the device counts them."""

        def ask() -> dict[str, int]:
            return {f"line: {kind}": int(n) for kind, n in getattr(self.device, "dropped", {}).items()}

        found: dict[str, int] = self._answer("dropped", ask, {})
        return found

    def _all(self, numbers: Any) -> Any:
        if len(numbers) != self.sides:
            raise ValueError(f"expected {self.sides} sides, got {len(numbers)}")
        return numbers

    def _answer(self, name: str, ask: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return ask()
        except BaseException as error:  # the device's: it may raise anything
            self._raised, self.error = True, said(error)
            self._count(f"device: {name} raised {type(error).__name__}")
            return otherwise


def _stride(reading: Any) -> Stride:
    percent, age, stride_time = reading
    return Stride(float(percent), float(age), float(stride_time))


def said(error: BaseException) -> str:
    """An exception in one line."""
    return traceback.format_exception_only(error)[-1].strip()[:MAX_REASON]
