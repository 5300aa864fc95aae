"""The breaths of a bout while the person walks.

A bout is measured without a break or not at all: breaths before a gap are never averaged with breaths after it. A
`Window` is

    measuring    at first; from either of the other states it does not return
    paused       no breath for more than `MAX_GAP`, by the times of the breaths or by the clock; the operator repeats
                 the bout, with another window, or leaves it out
    void         between two ticks the monotonic clock went back, or advanced by more than 5 s, or the wall clock
                 differed from it by more than 5 s: the computer slept, or a clock was set
"""

import math
from collections import Counter
from typing import Literal

import numpy as np

from policysearch.exoskeleton.respirometry import MAX_GAP, MIN_BREATHS, Breaths, Estimate, running

MAX_TICK = 5.0  # s between two ticks, and of difference between the clocks


class Window:
    """A bout that is being measured. `tick` it every second or so, and `add` every breath.

    Args:
        listens: whether breaths are to come; without them only the clocks are watched, and nothing pauses.
    """

    def __init__(self, *, listens: bool = True) -> None:
        self._listens = listens
        self.state: Literal["measuring", "paused", "void"] = "measuring"
        self.reason = ""  # why it is no longer measuring
        self.counts: Counter[str] = Counter()  # of the breaths left out, by reason
        self._time: list[float] = []  # s
        self._rate: list[float] = []  # W/kg
        self._first = self._last = (math.nan, math.nan)  # s by the monotonic and the wall clock
        self._heard = math.nan  # s by the monotonic clock; NaN if a breath has come since the last tick

    @property
    def seconds(self) -> float:
        """Seconds from the first tick to the last."""
        walked = self._last[0] - self._first[0]
        return walked if walked > 0.0 else 0.0

    def tick(self, monotonic_now: float, wall_now: float) -> None:
        """Compare the clocks, both in s."""
        now = monotonic_now, wall_now
        if math.isnan(self._first[0]):
            self._first = self._last = now
        passed, by_wall = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        if not 0.0 <= passed <= MAX_TICK:
            self._break_off(
                "void", f"{passed:g} s passed between two looks at the clock: the computer slept or hung"
            )
        elif not abs(by_wall - passed) <= MAX_TICK:
            self._break_off(
                "void",
                f"the wall clock advanced by {by_wall:g} s in {passed:g} s: it was set, or the computer slept",
            )
        if math.isnan(self._heard) or not self._listens:
            self._heard = now[0]
        elif now[0] - self._heard > MAX_GAP:
            self._break_off("paused", f"no breath has come for {now[0] - self._heard:.0f} s")

    def add(self, time: float, rate: float) -> None:
        """Take a breath (s, W/kg), or leave it out and count it."""
        last = self._time[-1] if self._time else -math.inf
        if self.state != "measuring":
            self.counts["the measurement was over"] += 1
        elif time in self._time:
            self.counts["duplicate"] += 1
        elif not last < time < math.inf:
            self.counts["time: not a finite number, or before the previous one"] += 1
        elif not 0.0 < rate < math.inf:
            self.counts["rate: not a positive finite number"] += 1
        elif self._time and time - last > MAX_GAP:
            self._break_off("paused", f"no breath for {time - last:.0f} s after the one at {last:g} s")
        else:
            self._time.append(time)
            self._rate.append(rate)
            self._heard = math.nan

    def early(self) -> Estimate | None:
        """The estimate so far, if it is being measured and there are enough breaths."""
        if self.state != "measuring" or len(self._time) < MIN_BREATHS:
            return None
        rates, errors = running(self.breaths())
        return Estimate(float(rates[-1]), float(errors[-1]))

    def breaths(self) -> Breaths:
        """The breaths.

        Raises:
            ValueError: if there are too few, or the measurement was broken off.
        """
        if self.state != "measuring":
            raise ValueError(
                f"bout: expected a measurement without a break, got a {self.state} one: {self.reason}; repeat the "
                "bout or leave it out"
            )
        return Breaths(np.array(self._time), np.array(self._rate))

    def _break_off(self, state: Literal["paused", "void"], reason: str) -> None:
        if self.state == "measuring":
            self.state, self.reason = state, reason
