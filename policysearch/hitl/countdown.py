"""A bout while the person walks: its clock, the breaths so far, and the time that is left.

The monotonic clock decides; where there is one, one that also counts the time for which the computer sleeps. A
`Window` is

    measuring    at first; from either of the other states it does not return
    paused       no breath for more than `MAX_GAP`, by the times of the breaths or by the clock, in a bout that is
                 averaged; the operator repeats it, with another window, or leaves it out
    void         between two ticks the monotonic clock went back, or advanced by more than 5 s: the computer slept

A bout to which a response is fitted tolerates gaps (`gaps`): the exact response is fitted across them. A wall clock
that is set is noted, and changes nothing.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Literal

import numpy as np

from policysearch.exoskeleton.breath_columns import RER, VCO2, VO2
from policysearch.exoskeleton.breath_file import BreathFile
from policysearch.exoskeleton.respirometry import MAX_GAP, MIN_BREATHS, TAU, Breaths, Estimate, running
from policysearch.hitl.agenda import Bout
from policysearch.hitl.clocks import Clocks, clocks

MAX_TICK = 5.0  # s between two ticks, and of difference between the clocks that is not noted


class Window:
    """A bout that is being measured. `tick` it every second or so, and `add` every breath.

    Args:
        listens: whether breaths are to come; without them only the clocks are watched, and nothing pauses.
        strict: whether a gap ends the measurement.
        tau: time constant of breathing (s), for the early estimate.
        delay: from a breath to its row (s); rows of the first `delay` seconds are those of what was before.

    Attributes:
        gaps: pauses (s) of more than `MAX_GAP` between two breaths.
        clock_steps: how the wall clock was set, in words.
    """

    def __init__(
        self, *, listens: bool = True, strict: bool = True, tau: float = TAU, delay: float = 0.0
    ) -> None:
        self._listens, self._strict, self._tau, self._delay = listens, strict, tau, delay
        self.gaps: list[float] = []
        self.clock_steps: list[str] = []
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

    @property
    def silence(self) -> float:
        """Seconds without a breath, at the last tick."""
        return self._last[0] - self._heard if self._listens and math.isfinite(self._heard) else 0.0

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
            self.clock_steps.append(f"the wall clock advanced by {by_wall:g} s in {passed:g} s: it was set")
        if math.isnan(self._heard) or not self._listens:
            self._heard = now[0]
        elif self._strict and self.silence > MAX_GAP:
            self._break_off("paused", f"no breath has come for {self.silence:.0f} s")

    def add(self, time: float, rate: float) -> None:
        """Take a breath (s, W/kg), or leave it out and count it."""
        last = self._time[-1] if self._time else -math.inf
        if self.state != "measuring":
            self.counts["the measurement was over"] += 1
        elif self.seconds < self._delay:
            self.counts["before the bout"] += 1
            self._heard = math.nan
        elif time in self._time:
            self.counts["duplicate"] += 1
        elif not last < time < math.inf:
            self.counts["time: not a finite number, or before the previous one"] += 1
        elif not 0.0 < rate < math.inf:
            self.counts["rate: not a positive finite number"] += 1
        elif self._time and time - last > MAX_GAP and self._strict:
            self._break_off("paused", f"no breath for {time - last:.0f} s after the one at {last:g} s")
        else:
            if self._time and time - last > MAX_GAP:
                self.gaps.append(time - last)
            self._time.append(time)
            self._rate.append(rate)
            self._heard = math.nan

    @property
    def taken(self) -> list[tuple[float, float]]:
        """The breaths that were taken: s, W/kg."""
        return list(zip(self._time, self._rate, strict=True))

    def early(self) -> Estimate | None:
        """The estimate so far, if it is being measured and there are enough breaths."""
        if self.state != "measuring" or len(self._time) < MIN_BREATHS:
            return None
        rates, errors = running(self.breaths(), self._tau, "exact" if self.gaps else "euler")
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


class Countdown:
    """The countdown of a bout that begins now.

    Args:
        bout: what is walked.
        averaged: the last minutes of it that are averaged; 0 where a response is fitted.
        source: the breaths; they come in from now on.
        now: the clocks.
        tau: time constant of breathing (s), for the early estimate.
        delay: of the breaths (s), see `Window`.

    Attributes:
        began: the clocks at the start.
        broken: why the bout does not count; empty if nothing has happened.
    """

    def __init__(
        self,
        bout: Bout,
        averaged: float = 0.0,
        source: BreathFile | None = None,
        *,
        now: Callable[[], Clocks] = clocks,
        tau: float = TAU,
        delay: float = 0.0,
    ) -> None:
        self._bout, self._averaged, self._source, self._now = bout, averaged, source, now
        self._delay = delay if source is not None else 0.0
        self.began = now()
        self.window = Window(listens=source is not None, strict=averaged > 0.0, tau=tau, delay=delay)
        self.broken, self._came = "", 0
        self._read(keep=False)
        self.window.tick(*self.began)

    @property
    def minutes(self) -> float:
        """Minutes walked, at the last look."""
        return min(self.window.seconds / 60.0, self._bout.minutes)

    @property
    def over(self) -> bool:
        """Whether the time is up, or the bout broken off."""
        return bool(self.broken) or self.minutes >= self._bout.minutes

    @property
    def complete(self) -> bool:
        """Whether no breath of the bout is to come any more: the last ones come by the delay after its end."""
        return bool(self.broken) or self.window.seconds >= 60.0 * self._bout.minutes + self._delay

    def look(self) -> None:
        """Look at the clocks, and at the breaths that have come."""
        now = self._now()
        self._read()
        self.window.tick(*now)
        if not self.broken and self.window.state != "measuring":
            self.broken = f"{self.window.state}: {self.window.reason}"

    def breaths(self) -> Breaths:
        """The breaths so far, with what else the file has of each.

        Raises:
            ValueError: if there are too few, or the measurement was broken off.
        """
        found = self.window.breaths()
        if self._source is None:
            return found
        rows = np.array([self._source.gases[time] for time in found.time.tolist()], dtype=float).T
        gases = dict(zip(self._source.columns, rows, strict=True))
        return Breaths(found.time, found.rate, gases, self._source.mass_of_rates, doubt=self._source.doubt)

    def latest(self, seconds: float = 30.0) -> dict[str, float]:
        """Means over the breaths of the last seconds of what else was measured of them, by column.

        The respiratory exchange ratio is that of the volumes if there is no column of it.
        """
        taken = self.window.taken
        if self._source is None or not taken:
            return {}
        rows = [self._source.gases[time] for time, _ in taken if time > taken[-1][0] - seconds]
        columns = zip(self._source.columns, np.array(rows, dtype=float).T, strict=True)
        means = {name: float(np.nanmean(values)) for name, values in columns if np.isfinite(values).any()}
        if {VO2, VCO2} <= means.keys():
            means.setdefault(RER, means[VCO2] / means[VO2])
        return means

    def line(self) -> str:
        """The time that is left, and the breaths so far, in one line."""
        left = round(60.0 * (self._bout.minutes - self.minutes))
        doing = "standing" if self._bout.purpose in ("rest", "standing") else "walking"
        if left <= 60.0 * self._averaged:
            doing += ", averaged"
        words = f"{left // 60}:{left % 60:02d} left, {doing}"
        if self._source is None:
            return words
        early, left_out = self.window.early(), sum(self.window.counts.values())
        words += f"; {self._came - left_out} breaths" + (f", {left_out} left out" if left_out else "")
        words += f", none for {self.window.silence:.0f} s" if self.window.silence > MAX_GAP else ""
        return words + (f", so far {early} W/kg" if early else "")

    def _read(self, *, keep: bool = True) -> None:
        if self._source is None or self.broken:
            return
        try:
            for breath in self._source.new():
                if keep:
                    self._came += 1
                    self.window.add(*breath)
            if not keep:
                self._source.gases.clear()  # the times may begin anew
        except (OSError, ValueError) as error:
            self.broken = f"breaths: {error}"
