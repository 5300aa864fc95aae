"""Faults of a device and of its owner, to try a guard and an adapter with: `hitl device-check`."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policysearch.hitl.guard.device import Description, Stride, opened

SLOW = 0.2  # s that a call of a slow device takes, more than the heartbeat


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong while there is torque, and what the guard has to do."""

    name: str
    words: str
    reason: str  # a regular expression for the reason of the stop; empty if there is to be none
    ends: bool = False  # whether the guard's process ends too


#: Done by `Injected` in the guard's process.
OF_DEVICE = (
    Fault("stall", "the wearer stands still", "the stride has stood at"),
    Fault("jump", "the stride jumps by half a stride", "the stride (jumped|moved backwards)"),
    Fault("back", "the stride moves backwards by 10 %", "the stride moved backwards"),
    Fault("nan", "the stride is NaN", "the stride is no stride"),
    Fault("old", "no reading for 0.2 s", "the reading of the stride is"),
    Fault("once", "apply raises once", ""),
    Fault("row", "apply raises in every tick", "the device raised .* in a row", ends=True),
    Fault("differs", "0.5 N·m/kg more are measured than told", "were measured"),
    Fault("fault", "the device reports a fault", "the device reports a fault"),
    Fault("estop", "the emergency stop is pressed", "emergency stop is pressed"),
    Fault("slow", f"a call takes {SLOW:g} s", "a tick of the guard came|no heartbeat"),
)
#: Done by `check` in the owner's process.
OF_OWNER = (
    Fault("stop", "the owner stops", "a check"),
    Fault("silence", "the owner does not beat", "no heartbeat"),
    Fault("garbage", "a message that cannot be read", "cannot read"),
    Fault("law", "a law of nested numbers", "cannot read"),
    Fault("flood", "10,000 messages at once", "more messages"),
    Fault("sigterm", "the guard's process gets SIGTERM", "SIGTERM", ends=True),
    Fault("sigusr1", "the guard's process gets SIGUSR1", "SIGUSR1", ends=True),
)


class Injected:
    """A device, on which somebody walks with equal strides, until a fault happens at half of some torque.

    Args:
        device: what makes the device, as "module:name".
        options: its arguments.
        fault: the name of a fault.
        torque: N·m/kg; the fault begins when half of it is told to the first side.
        mass: kg
        stride_time: s; the device's own reading is left out, since it is not worn.
    """

    def __init__(
        self,
        device: str,
        options: Mapping[str, Any],
        *,
        fault: str,
        torque: float,
        mass: float,
        stride_time: float,
    ) -> None:
        self._device = opened(device, options)
        self._fault, self._at, self._extra = fault, 0.5 * torque * mass, 0.5 * mass
        self._stride_time, self._start = stride_time, time.monotonic()
        self._since, self._raised = math.inf, 0
        self._told: tuple[float, ...] = (0.0,)

    def describe(self) -> Description:
        """Of the device."""
        return self._device.describe()

    def stride(self) -> tuple[Stride, ...]:
        """Of somebody who walks, with the fault."""
        self._device.stride()
        now, n = time.monotonic(), len(self._device.describe().sides)
        seen = min(now, self._since) if self._fault in ("stall", "old") else now
        strides = (seen - self._start) / self._stride_time
        if self._happens("jump"):
            strides += 0.5
        if self._happens("back"):
            strides -= 0.1
        age = now - seen if self._fault == "old" else 0.0
        percent = [math.nan if self._happens("nan") else 100.0 * ((strides + i / n) % 1.0) for i in range(n)]
        return tuple(Stride(p, age, self._stride_time) for p in percent)

    def apply(self, torque: tuple[float, ...]) -> None:
        """Pass the torque on, with the fault."""
        if torque[0] > self._at:
            self._since = min(self._since, time.monotonic())
        if self._happens("row") or (self._happens("once") and not self._raised):
            self._raised += 1
            raise OSError("injected")
        if self._happens("slow") and not self._raised:
            self._raised += 1
            time.sleep(SLOW)
        self._told = torque
        self._device.apply(torque)

    def measured(self) -> tuple[float, ...]:
        """Of the device, with the fault."""
        if self._happens("differs"):
            return tuple(torque + self._extra for torque in self._told)
        return self._device.measured()

    def fault(self) -> str:
        """Of the device, with the fault."""
        return "injected" if self._happens("fault") else self._device.fault()

    def estop(self) -> bool:
        """Of the device, with the fault."""
        return self._happens("estop") or self._device.estop()

    @property
    def dropped(self) -> dict[str, int]:
        """Of the device, where it counts them."""
        return dict(getattr(self._device, "dropped", {}))

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def _happens(self, fault: str) -> bool:
        return self._fault == fault and self._since < math.inf
