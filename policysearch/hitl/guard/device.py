"""The device that a guard controls, and one to try things out."""

import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from policysearch.files import begun


@runtime_checkable
class Device(Protocol):
    """An exoskeleton. No call should take longer than a period."""

    def stride(self) -> float:
        """The moment of the stride now, in %."""

    def apply(self, torque: float) -> None:
        """Make this the torque until the next call, in N·m/kg."""

    def close(self) -> None:
        """Release the device. Called once, also after it has raised."""


class SimulatedAnkle:
    """A device to try things out: walks with equal strides, and writes time (s) and torque (N·m/kg) to a CSV file.

    The time is that of `time.monotonic`. The last line is "closed".
    """

    def __init__(self, log: str, stride_time: float = 1.1) -> None:  # s
        self.stride_time, self._start = stride_time, time.monotonic()
        self._log = begun(Path(log))

    def stride(self) -> float:
        """The moment of the stride now, in %."""
        return 100.0 * ((time.monotonic() - self._start) / self.stride_time % 1.0)

    def apply(self, torque: float) -> None:
        """Write the torque to the file."""
        self._log.write(f"{time.monotonic()!r},{torque!r}\n")

    def close(self) -> None:
        """Write the last line."""
        self._log.write("closed\n")
        self._log.close()
