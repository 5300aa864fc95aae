"""A ceiling of the peak torque that rises over the first bouts, while a person gets used to the device."""

from dataclasses import dataclass

from policysearch.hitl.guard.numbers import positive


@dataclass(frozen=True)
class Ceiling:
    """The highest peak torque of a law after some bouts: `first + step * bouts`, as far as the limits allow.

    Raises:
        ValueError: for a number that is not finite, negative, or zero where a torque or a time has to be positive.
    """

    first: float  # N·m/kg
    step: float  # N·m/kg per bout
    seconds: float = 60.0  # under one law that count as a bout
    bouts: int = 0  # that the person has walked before, on earlier days say

    def __post_init__(self) -> None:
        positive(self, "first", "seconds")
        positive(self, "step", "bouts", zero=True)

    def at(self, bouts: int, highest: float) -> float:
        """The ceiling after so many bouts in all, in N·m/kg."""
        return min(self.first + self.step * bouts, highest)
