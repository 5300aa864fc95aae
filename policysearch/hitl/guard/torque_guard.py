"""The torque guard: what stands between a control law and the device that a person wears.

**It does not replace the device's firmware limits or its physical stop.** It is software that runs when it is
called, and a process that hangs calls nothing.

With the previous torque u, the commanded torque c and the time t since the last tick, the next torque is

    u' = min(max(c', u − S t), u + S t),    c' = min(max(c, lowest), highest) if c is a finite number, else 0

So the torque is finite whatever is commanded, changes by at most S t (but for rounding), and never leaves the
limits. After a limit has been lowered, a torque outside it returns at the slope S and moves no farther out. A stop is
latched: from then on the torque only approaches zero, at a constant rate that ends after the stop time (a sudden
release would be unsafe for somebody who walks), and it stays zero until an operator re-arms the guard with a reason.

Time is that of the guard's own monotonic clock, whichever thread calls it and however often. A tick counts for at
most the longest tick, so ticks farther apart ramp more slowly than the slope, after a stop too.

The guard stops by itself when the heartbeat is missing for too long, and when its clock runs backwards or shows no
number; such a tick counts as no time. **If the clock stands still, nothing ramps, not even after a stop, and no
missing heartbeat is noticed:** the torque stays as it is, and the device's own limits must act.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from policysearch.hitl.guard.numbers import number, positive


@dataclass(frozen=True)
class GuardLimits:
    """The limits of what the guard lets through.

    Raises:
        ValueError: for numbers that are not finite, have the wrong sign, or make a stop steeper than the slope.
    """

    highest: float  # in `unit`
    slope: float  # in `unit` per s, up and down
    stop_time: float  # s from any torque to zero after a stop
    unit: Literal["N·m", "N·m/kg"]
    lowest: float = 0.0  # in `unit`
    heartbeat: float = 0.1  # s without a beat, after which the guard stops
    longest_tick: float = 0.02  # s that a tick counts at most

    def __post_init__(self) -> None:
        if self.unit not in ("N·m", "N·m/kg"):
            raise ValueError(f"unit: expected 'N·m' or 'N·m/kg', got {self.unit!r}")
        positive(self, "highest", "slope", "stop_time", "heartbeat", "longest_tick")
        if not -math.inf < number(self.lowest) <= 0.0:
            raise ValueError(f"lowest: expected zero or a negative number, got {self.lowest!r}")
        farthest = max(self.highest, -self.lowest)
        if not self.slope * self.stop_time >= farthest:
            raise ValueError(
                f"stop_time: expected at least {farthest / self.slope:g} s, which {farthest:g} {self.unit} take "
                f"at {self.slope:g} {self.unit} per s, got {self.stop_time:g} s"
            )

    def within(self, newton_metres: float, mass: float) -> "GuardLimits":
        """These limits in N·m/kg, with torques of at most `newton_metres` for a person of `mass` kg too.

        Raises:
            ValueError: for numbers that are not positive, or limits in N·m.
        """
        if self.unit != "N·m/kg":
            raise ValueError(f"unit: expected N·m/kg, got {self.unit}")
        for name, value in (("newton_metres", newton_metres), ("mass", mass)):
            if not number(value) > 0.0:
                raise ValueError(f"{name}: expected a positive number, got {value!r}")
        most = newton_metres / mass
        return replace(self, highest=min(self.highest, most), lowest=max(self.lowest, -most))


class TorqueGuard:
    """A state machine that takes a commanded torque every tick and returns the torque for the device.

    It starts armed, with zero torque. One thread owns it.
    """

    def __init__(self, limits: GuardLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._torque = 0.0
        self._stop_reason = ""
        self._stop_rate = 0.0
        self._counts: Counter[str] = Counter()
        self._history: list[tuple[float, str, str]] = []
        self._last_tick = self._last_beat = clock()

    @property
    def limits(self) -> GuardLimits:
        """The limits in force."""
        return self._limits

    @property
    def torque(self) -> float:
        """The torque that the last tick returned."""
        return self._torque

    @property
    def stop_reason(self) -> str:
        """Why the guard has stopped; empty while it is armed."""
        return self._stop_reason

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of ticks with an irregularity, by kind."""
        return dict(self._counts)

    @property
    def history(self) -> tuple[tuple[float, str, str], ...]:
        """Every stop and re-arming: time by the guard's clock, kind and reason."""
        return tuple(self._history)

    def tick(self, command: object) -> float:
        """The torque for the device now, given the commanded one."""
        now = self._clock()
        self._listen(now)
        seconds = self._seconds(now - self._last_tick)
        self._last_tick = now
        target, slope = self._allowed(command), self._limits.slope
        if self._stop_reason:
            target, slope = 0.0, self._stop_rate
        step = slope * seconds
        self._torque = min(max(target, self._torque - step), self._torque + step)
        return self._torque

    def beat(self) -> None:
        """Tell the guard that its commander is alive. A beat that comes too late stops the guard."""
        now = self._clock()
        self._listen(now)
        self._last_beat = now

    def stop(self, reason: object) -> None:
        """Stop: from the next tick on the torque goes to zero. Only the first reason is kept."""
        if not self._stop_reason:
            self._stop_rate = abs(self._torque) / self._limits.stop_time
            self._stop_reason = reason if isinstance(reason, str) and reason else "no reason given"
            self._history.append((self._clock(), "stop", self._stop_reason))

    def rearm(self, reason: str) -> None:
        """Let torque through again, which counts as a beat and restarts the time; no effect on an armed guard.

        Raises:
            ValueError: without a reason, or while the torque is not yet zero.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"reason: expected the operator's words, got {reason!r}")
        if self._stop_reason:
            if self._torque != 0.0:
                raise ValueError(
                    f"torque: expected 0 {self._limits.unit} before re-arming, got {self._torque:g}"
                )
            self._stop_reason = ""
            self._last_tick = self._last_beat = self._clock()
            self._history.append((self._last_beat, "rearm", reason))

    def restrict(self, limits: GuardLimits) -> None:
        """Lower the limits, from the next tick on. The limits step; a torque outside them ramps.

        Raises:
            ValueError: as `check` does.
        """
        self.check(limits)
        self._limits = limits

    def check(self, limits: GuardLimits) -> None:
        """Whether the limits can be lowered to these now.

        Raises:
            ValueError: for a highest torque or a slope above the present one, a lowest torque below it, a slope
                with which a stop would take too long from the present torque, or another change.
        """
        present, unit = self._limits, self._limits.unit
        for name, inward in (("highest", -1.0), ("lowest", 1.0), ("slope", -1.0)):
            old, new = getattr(present, name), getattr(limits, name)
            if inward * new < inward * old:
                expected = f"at {'most' if inward < 0 else 'least'} {old:g}, as limits only get narrower"
                raise ValueError(f"{name}: expected {expected}, got {new:g}")
        for name in ("unit", "stop_time", "heartbeat", "longest_tick"):
            old, new = getattr(present, name), getattr(limits, name)
            if new != old:
                raise ValueError(f"{name}: expected {old}, as it is fixed for a session, got {new}")
        needed = self._stop_rate if self._stop_reason else abs(self._torque) / limits.stop_time
        if self._torque != 0.0 and limits.slope < needed:
            raise ValueError(
                f"slope: expected at least {needed:g} {unit} per s while the torque is {self._torque:g} {unit}, "
                f"so that a stop ends in time, got {limits.slope:g}"
            )

    def _allowed(self, command: object) -> float:
        """The commanded torque within the limits; zero for what is not a finite number."""
        c = number(command)
        if not math.isfinite(c):  # before any comparison: max(lowest, min(highest, nan)) would be highest
            self._counts["torque: not a finite number, counts as zero"] += 1
            return 0.0
        if not self._limits.lowest <= c <= self._limits.highest:
            self._counts["torque: outside the limits"] += 1
        return min(max(c, self._limits.lowest), self._limits.highest)

    def _seconds(self, elapsed: float) -> float:
        """For how many seconds the torque may change."""
        if not 0.0 <= elapsed < math.inf:
            return 0.0
        if elapsed > self._limits.longest_tick:
            self._counts["tick: longer than the longest tick"] += 1
        return min(elapsed, self._limits.longest_tick)

    def _listen(self, now: float) -> None:
        """Stop if there has been no beat for too long, or the clock runs backwards or shows no number."""
        silence = now - self._last_beat
        if not silence >= 0.0 or now < self._last_tick:
            self.stop("the guard's clock ran backwards or showed no number")
        elif silence >= self._limits.heartbeat:
            self.stop(f"no heartbeat for {self._limits.heartbeat:g} s")
