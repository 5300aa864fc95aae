"""What a guard is started with."""

from dataclasses import dataclass, field
from pathlib import Path

from policysearch.hitl.guard.ceiling import Ceiling
from policysearch.hitl.guard.numbers import positive
from policysearch.hitl.guard.watch import WatchLimits


@dataclass(frozen=True)
class GuardSettings:
    """What a guard is started with besides its limits.

    Raises:
        ValueError: for a mass or a period that is not positive.
    """

    mass: float  # kg, of the person who wears the device; the device is told torques in N·m
    period: float = 0.005  # s between ticks
    watch: WatchLimits = field(default_factory=WatchLimits)
    ceiling: Ceiling | None = None  # of the peak torque, for a person who is new to the device
    records: Path | None = None  # a folder for what the guard did in the last 10 s before each stop

    def __post_init__(self) -> None:
        positive(self, "mass", "period")
