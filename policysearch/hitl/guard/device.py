"""The device that a guard controls, and one to try things out."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from policysearch.files import begun


@dataclass(frozen=True)
class Description:
    """What a device says of itself."""

    serial: str
    firmware: str
    sides: tuple[str, ...]  # their names, in the order of all lists
    highest: float = math.inf  # N·m, the firmware's own limit of every side
    watchdog: float = (
        math.nan
    )  # s without a command after which the firmware lets the torque go; NaN without one


class Stride(NamedTuple):
    """Where one side was in its stride, and when."""

    percent: float  # from heel strike (0) to the next of the same foot (100)
    age: float  # s since it was there
    stride_time: float  # s that a stride takes at present


@runtime_checkable
class Device(Protocol):
    """An exoskeleton. No call may take longer than a period. An exception is counted; some in a row end the guard."""

    def describe(self) -> Description:
        """What it is. Called once, after it was opened."""

    def stride(self) -> tuple[Stride, ...]:
        """The latest reading of every side."""

    def apply(self, torque: tuple[float, ...]) -> None:
        """Make this the torque of every side until the next call, in N·m."""

    def measured(self) -> tuple[float, ...]:
        """The torque of every side as measured, in N·m; NaN where it is not measured."""

    def fault(self) -> str:
        """What the device reports to be wrong; empty if nothing is."""

    def estop(self) -> bool:
        """Whether its emergency stop is pressed."""

    def close(self) -> None:
        """Release the device. Called once, also after it has raised."""


def opened(device: str, options: Mapping[str, Any]) -> Device:
    """The device that `device`, "module:name", makes with these options.

    Raises:
        TypeError: for what is no device.
    """
    module, _, name = device.partition(":")
    made = getattr(import_module(module), name)(**options)
    if not isinstance(made, Device):
        raise TypeError(f"expected describe, stride, apply, measured, fault, estop and close, got {made!r}")
    return made


class SimulatedAnkle:
    """A device to try things out: walks with equal strides, and writes time (s) and torques (N·m) to a CSV file.

    The time is that of `time.monotonic`. The sides are apart by equal parts of a stride. The last line is "closed".
    """

    def __init__(
        self, log: str, stride_time: float = 1.1, sides: tuple[str, ...] | list[str] = ("left", "right")
    ) -> None:  # s
        self.stride_time, self.sides, self._start = stride_time, tuple(sides), time.monotonic()
        self._torque = (0.0,) * len(self.sides)
        self._log = begun(Path(log))

    def describe(self) -> Description:
        """A device without limits of its own."""
        return Description("simulated", "1", self.sides)

    def stride(self) -> tuple[Stride, ...]:
        """The moment of the stride now."""
        strides, n = (time.monotonic() - self._start) / self.stride_time, len(self.sides)
        return tuple(Stride(100.0 * ((strides + i / n) % 1.0), 0.0, self.stride_time) for i in range(n))

    def apply(self, torque: tuple[float, ...]) -> None:
        """Write the torques to the file."""
        self._torque = torque
        self._log.write(",".join(map(repr, (time.monotonic(), *torque))) + "\n")

    def measured(self) -> tuple[float, ...]:
        """What was applied last."""
        return self._torque

    def fault(self) -> str:
        """None."""
        return ""

    def estop(self) -> bool:
        """There is none."""
        return False

    def close(self) -> None:
        """Write the last line."""
        self._log.write("closed\n")
        self._log.close()
