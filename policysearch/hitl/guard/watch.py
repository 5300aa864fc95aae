"""What the guard watches on each side of a device: the stride that it reports, and the torque that it measures."""

import math
from collections import deque
from dataclasses import dataclass, fields

from policysearch.exoskeleton.torque_law import LATEST_END
from policysearch.hitl.guard.device import Stride
from policysearch.hitl.guard.numbers import positive

MIN_PROGRESS = 2.0  # % stride that count as progress
EARLY = 20.0  # % stride until which a heel strike may be noticed
SHORTEST, LONGEST = 0.3, 5.0  # s, of strides


@dataclass(frozen=True)
class WatchLimits:
    """When the guard stops because of what the device reports, or because it raises.

    Raises:
        ValueError: for what is not a positive number.
    """

    oldest: float = 0.1  # s, age of a reading of the stride
    stall: float = 0.25  # s without progress while a law has torque
    rest: float = 1.0  # s without progress in swing, where no law has torque
    jump: float = 15.0  # % stride, progress beyond what the stride time explains
    backward: float = 2.0  # % stride
    difference: float = 0.2  # N·m/kg between the torque told and measured
    lag: float = 0.1  # s within which the device follows, and for which the difference has to last
    exceptions: int = 3  # ticks in a row in which the device raises

    def __post_init__(self) -> None:
        positive(self, *(field.name for field in fields(self)))


class StrideWatch:
    """The stride of one side: where it is now, and whether it can be relied on.

    Between two readings it is extrapolated with the stride time, but not beyond the next heel strike.
    """

    def __init__(self, limits: WatchLimits) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        self.percent, self.stride_time = 100.0, math.nan  # where no law has torque
        self.moving = False  # whether it can be relied on, and has progressed lately
        self._read = self._read_at = math.nan
        self._progress_from = self._progress_at = math.nan

    def update(self, stride: Stride, now: float) -> str:
        """Take a reading; returns why the stride cannot be relied on, empty if it can."""
        self.moving = self.moving and now - self._progress_at <= self._limits.stall
        reason = self._why_unusable(stride)
        if not reason:
            reason = self._why_implausible(stride, now - stride.age)
            self._take(stride, now)
            reason = reason or self._why_still(now)
        if stride.age > self._limits.oldest:
            reason = f"the reading of the stride is {stride.age:.2g} s old"
        self.moving = self.moving and not reason
        return reason

    def _why_unusable(self, stride: Stride) -> str:
        percent, age, stride_time = stride
        usable = 0.0 <= percent <= 100.0 and 0.0 <= age < math.inf and SHORTEST <= stride_time <= LONGEST
        return (
            ""
            if usable
            else f"the stride is no stride: {percent:.4g} %, {age:.3g} s old, of {stride_time:.3g} s"
        )

    def _why_implausible(self, stride: Stride, at: float) -> str:
        if not at > self._read_at:  # the same reading again, or the first
            return ""
        here, last = stride.percent, self._read
        if last >= LATEST_END and here <= EARLY:  # a heel strike, early or late
            return ""
        progress = (here - last + 50.0) % 100.0 - 50.0
        if progress < -self._limits.backward:
            return f"the stride moved backwards, from {last:.1f} to {here:.1f} %"
        if progress > 100.0 * (at - self._read_at) / stride.stride_time + self._limits.jump:
            return f"the stride jumped from {last:.1f} to {here:.1f} %"
        return ""

    def _take(self, stride: Stride, now: float) -> None:
        self._read, self._read_at, self.stride_time = stride.percent, now - stride.age, stride.stride_time
        self.percent = min(stride.percent + 100.0 * stride.age / stride.stride_time, 100.0)
        if not abs((stride.percent - self._progress_from + 50.0) % 100.0 - 50.0) < MIN_PROGRESS:
            self.moving = not math.isnan(self._progress_from)
            self._progress_from, self._progress_at = stride.percent, now

    def _why_still(self, now: float) -> str:
        still, swing = now - self._progress_at, self._read >= LATEST_END
        if still > (self._limits.rest if swing else self._limits.stall):
            return f"the stride has stood at {self._read:.1f} % for {still:.2g} s"
        return ""


class TorqueWatch:
    """The torque of one side as told, compared with the torque as measured.

    A device follows with a lag, so the measured torque is compared with all that was told within that lag.
    """

    def __init__(self, limits: WatchLimits) -> None:
        self._limits = limits
        self._told: deque[tuple[float, float]] = deque(maxlen=1000)  # time and torque
        self._measures = False
        self.reset()

    def reset(self) -> None:
        """Forget since when the two have differed."""
        self._agreed_at = math.inf

    def told(self, torque: float, now: float) -> None:
        """Note what the device was told, in N·m/kg."""
        self._told.append((now, torque))
        while self._told[0][0] < now - self._limits.lag:
            self._told.popleft()

    def update(self, measured: float, now: float) -> str:
        """Why the torque cannot be relied on, empty if it can; `measured` in N·m/kg, NaN without a measurement."""
        self._measures = self._measures or not math.isnan(measured)
        if not (self._measures and self._told):
            return ""
        lowest, highest = (choose(torque for _, torque in self._told) for choose in (min, max))
        if lowest - self._limits.difference <= measured <= highest + self._limits.difference:
            self._agreed_at = now
        self._agreed_at = min(self._agreed_at, now)
        if now - self._agreed_at <= self._limits.lag:
            return ""
        return f"{measured:.3g} N·m/kg were measured, {self._told[-1][1]:.3g} told"
