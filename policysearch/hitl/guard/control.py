"""What the guard does in a tick: from the device's readings and the law to the torque of every side.

It is a state machine without a process, a device or a wait. A law comes into force side by side, in swing: when the
present law and the next have no torque at this moment of the stride, and the torque told is zero. After a stop no law
is in force; when the guard is armed again, the law that was set last waits for swing like a new one.

A law whose steepest moment, at the present stride time, needs more than the slope that the guard lets through would
be distorted. It is refused when it is set, or, if no stride is known yet, when it would come into force. If a stride
gets shorter under a law, the ticks in which the slope held the torque back are counted.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.torque_law import LATEST_END
from policysearch.exoskeleton.torque_profile import project, torque_and_slope_at, why_infeasible
from policysearch.hitl.guard.ceiling import Ceiling
from policysearch.hitl.guard.device import Stride
from policysearch.hitl.guard.torque_guard import GuardLimits, TorqueGuard
from policysearch.hitl.guard.watch import StrideWatch, TorqueWatch, WatchLimits

NOT_ARMED = "not armed yet"
HELD_BACK = "torque: held back by the slope"
_ROUNDING = 1e-9  # N·m/kg and % stride
_torque_at = torque_and_slope_at.py_func  # in plain Python: 2 µs, and no compiling before the first tick


@dataclass(frozen=True)
class Reading:
    """What a device says in one tick, with a number for every side."""

    strides: Sequence[Stride]
    measured: Sequence[float]  # N·m/kg, NaN where it is not measured
    fault: str = ""
    estop: bool = False


def law_of(value: object) -> Float[Array, "4"]:
    """Four numbers, as they came from an owner.

    Raises:
        TypeError: for anything else.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise TypeError(f"law: expected a list of 4 numbers, got {value!r}")
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
        raise TypeError(f"law: expected 4 numbers, got {value!r}")
    return np.array([float(number) for number in value])


class Control:
    """The laws, guards and watches of all sides. It starts stopped, without a law. One thread owns it.

    Attributes:
        limits: those of the watches.
        counts: numbers of ticks with an irregularity, by kind.
        refused: why the law that was set last did not come into force; empty if it did, or waits.
    """

    def __init__(
        self,
        limits: GuardLimits,
        sides: Sequence[str],
        watch: WatchLimits | None = None,
        ceiling: Ceiling | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = watch = watch or WatchLimits()
        self.sides, self._clock, self._rising = tuple(sides), clock, ceiling
        self.guards = tuple(TorqueGuard(limits, clock) for _ in sides)
        self.watches = tuple(StrideWatch(watch) for _ in sides)
        self._compared = tuple(TorqueWatch(watch) for _ in sides)
        self._laws: list[Float[Array, "4"] | None] = [None for _ in sides]
        self._asked: Float[Array, "4"] | None = None
        self._bouts, self._under_law, self._last_tick = ceiling.bouts if ceiling else 0, 0.0, clock()
        self.refused, self.counts = "", Counter[str]()
        self.stop(NOT_ARMED)

    @property
    def stop_reason(self) -> str:
        """Why it has stopped; empty while it is armed."""
        return self.guards[0].stop_reason

    @property
    def torques(self) -> tuple[float, ...]:
        """What every side was told last, in N·m/kg."""
        return tuple(guard.torque for guard in self.guards)

    @property
    def law(self) -> Float[Array, "4"] | None:
        """The law that is in force on every side; None without one, or while only some sides have it."""
        return self._laws[0] if all(law is self._laws[0] for law in self._laws) else None

    @property
    def waiting(self) -> bool:
        """Whether the law that was set last still waits for swing."""
        return any(law is not self._asked for law in self._laws)

    @property
    def highest(self) -> float:
        """The highest peak torque that a law may have now, in N·m/kg."""
        highest = self.guards[0].limits.highest
        return self._rising.at(self._bouts, highest) if self._rising else highest

    def count(self, kind: str) -> None:
        """Count an irregularity of this tick."""
        self.counts[kind] += 1

    def total(self) -> dict[str, int]:
        """All counts, those of the guards of all sides added up."""
        return dict(sum((Counter(guard.counts) for guard in self.guards), self.counts))

    def beat(self) -> None:
        """Tell the guards that their owner is alive."""
        for guard in self.guards:
            guard.beat()
        self._share_stop()

    def stop(self, reason: str) -> None:
        """Stop every side: the torque goes to zero and stays there. Only the first reason is kept."""
        for guard in self.guards:
            guard.stop(reason)
        self._share_stop()

    def arm(self, reason: str) -> None:
        """Let torque through again, with the law that was set last as soon as there is swing.

        Raises:
            ValueError: without a reason, or while the torque of a side is not yet zero.
        """
        if self.stop_reason:
            torque = max(self.torques, key=abs)
            if torque != 0.0:
                raise ValueError(f"torque: expected 0 N·m/kg before arming, got {torque:g}")
            for watch, compared in zip(self.watches, self._compared, strict=True):
                watch.reset()
                compared.reset()
        for guard in self.guards:
            guard.rearm(reason)

    def set_law(self, law: Float[Array, "4"] | None) -> None:
        """Follow this law from the next swing on; None is no torque.

        Raises:
            ValueError: for a law that is not feasible, but for rounding, with the highest torque in force, or too
                steep at the present stride time.
        """
        if law is not None:
            given, law = law, project(law, self.highest)
            if not (np.abs(law - given) <= _ROUNDING).all():
                raise ValueError(f"law: {why_infeasible(given, self.highest)}")
            times = [watch.stride_time for watch in self.watches if not math.isnan(watch.stride_time)]
            if times and (why := self._why_too_steep(law, min(times))):
                raise ValueError(f"law: {why}")
        self._asked, self.refused = law, ""

    def restrict(self, limits: GuardLimits) -> None:
        """Lower the limits of every side; see `TorqueGuard.restrict`.

        Raises:
            ValueError: as there; then no limit is changed.
        """
        for guard in self.guards:
            guard.check(limits)
        for guard in self.guards:
            guard.restrict(limits)

    def tick(self, reading: Reading) -> tuple[float, ...]:
        """The torque of every side now, in N·m/kg."""
        now = self._clock()
        if reading.estop:
            self.stop("the device's emergency stop is pressed")
        if reading.fault:
            self.stop(f"the device reports a fault: {reading.fault}")
        for i, side in enumerate(self.sides):
            unreliable = self.watches[i].update(reading.strides[i], now)
            if unreliable and self._laws[i] is not None:
                self.stop(f"{side}: {unreliable}")
            if unlike := self._compared[i].update(reading.measured[i], now):
                self.stop(f"{side}: {unlike}")
        for i in range(len(self.sides)):
            self._change_law(i)
            self._tick_side(i, now)
        self._share_stop()
        elapsed, self._last_tick = now - self._last_tick, now
        if self.law is not None and 0.0 < elapsed < 1.0:
            self._under_law += elapsed
        return self.torques

    def ramp(self) -> tuple[float, ...]:
        """The torque of every side now, on the way to zero, if a tick has failed."""
        self.stop("a tick failed")
        for guard in self.guards:
            guard.tick(0.0)
        return self.torques

    def _tick_side(self, i: int, now: float) -> None:
        law, guard = self._laws[i], self.guards[i]
        command = 0.0 if law is None else _torque_at(law, self.watches[i].percent, 0.0)[0]
        told = guard.tick(command)
        self._compared[i].told(told, now)
        if not guard.stop_reason and abs(told - min(command, guard.limits.highest)) > _ROUNDING:
            self.counts[HELD_BACK] += 1

    def _change_law(self, i: int) -> None:
        """Put the law that was set last in force on a side, if it is in swing under both laws."""
        law, asked, watch = self._laws[i], self._asked, self.watches[i]
        if law is asked or self.stop_reason or not watch.moving or self.guards[i].torque != 0.0:
            return
        if not watch.percent > max(_end(law), _end(asked)):
            return
        if asked is not None and (why := self._why_too_steep(asked, watch.stride_time)):
            self.refused, self._asked = f"law: {why}", law
            return
        if law is not None and all(here is law for here in self._laws):
            self._count_bout()
        self._laws[i] = asked

    def _count_bout(self) -> None:
        self._bouts += bool(self._rising and self._under_law >= self._rising.seconds)
        self._under_law = 0.0

    def _why_too_steep(self, law: Float[Array, "4"], stride_time: float) -> str:
        peak, _, rise, fall = law.tolist()
        needed, allowed = 1.5 * peak / min(rise, fall) * 100.0 / stride_time, self.guards[0].limits.slope
        if needed <= allowed:
            return ""
        return (
            f"expected at most {allowed:g} N·m/kg per s, the slope that the guard lets through, got {needed:.3g} "
            f"in strides of {stride_time:.2f} s: take less torque, or longer rise and fall times"
        )

    def _share_stop(self) -> None:
        """Stop every side for the reason for which one has stopped; after a stop no law is in force."""
        if reason := next((guard.stop_reason for guard in self.guards if guard.stop_reason), ""):
            for guard in self.guards:
                guard.stop(reason)
            self._laws = [None for _ in self.sides]


def _end(law: Float[Array, "4"] | None) -> float:
    """The moment (% stride) from which on a law has no torque."""
    return LATEST_END if law is None else float(law[1] + law[3])
